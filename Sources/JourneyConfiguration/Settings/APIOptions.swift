import Configuration

/// `api.…`: how the HTTP API is served and whom it believes.
public struct APIOptions: Sendable {
  /// `api.enabled`: whether `serve` answers HTTP.
  public var isEnabled: Bool
  /// `api.host`: the address to listen on.
  public var host: String
  /// `api.port`: 0...65,535; 0 is any free one.
  public var port: Int
  /// `api.jwtAlgorithm`: HS256, RS256 or ES256. A token of another one is refused.
  public var algorithm: String
  /// `api.jwtSecret`, secret: what HS256 signs with; at least 32 bytes. Empty: none.
  public var secret: String
  /// `api.jwksFile`, made absolute: public keys for RS256 or ES256.
  public var keyFile: String?
  /// `api.jwksURL`: where public keys are fetched.
  public var keyAddress: String?
  /// `api.jwtAudience`. Empty: not looked at.
  public var audience: String
  /// `api.jwtIssuer`. Empty: not looked at.
  public var issuer: String
  /// `api.operatorClaim`: the dotted path of the claim that opens operations where it is true.
  public var operatorClaim: String
  /// `api.requestsPerSecond`: of one subject. 1...100,000.
  public var requestsPerSecond: Int
  /// `api.maximumConnections`: 1...10,000.
  public var maximumConnections: Int
  /// `api.connectionsPerAddress`: 1...10,000.
  public var connectionsPerAddress: Int
  /// `api.trustedProxies`: addresses and networks whose connections are many clients'.
  public var trustedProxies: [String]
  /// `api.requestsPerUser`: under way at the same time. 1...1,000.
  public var requestsPerUser: Int
  /// `api.streamsPerUser`: live streams at the same time. 1...1,000.
  public var streamsPerUser: Int
  /// `api.maximumBodyBytes`: of a request. 1 KiB...1 MiB.
  public var maximumBodyBytes: Int
  /// `api.requestSeconds`: for a request to arrive. 1...300.
  public var requestSeconds: Int
  /// `api.databaseConnections`: reads at the same time. 1...64.
  public var databaseConnections: Int

  static let keys = [
    "enabled", "host", "port", "jwtAlgorithm", "jwtSecret", "jwksFile", "jwksURL", "jwtAudience", "jwtIssuer",
    "operatorClaim", "requestsPerSecond",
    "maximumConnections", "connectionsPerAddress", "trustedProxies", "requestsPerUser", "streamsPerUser",
    "maximumBodyBytes", "requestSeconds",
    "databaseConnections",
  ]

  init(
    _ config: ConfigReader, int: (String, Int, ClosedRange<Int>) -> Int, bool: (String, Bool) -> Bool,
    resolved: (String) -> String
  ) {
    isEnabled = bool("api.enabled", true)
    host = config.string(forKey: "api.host", default: "127.0.0.1")
    port = int("api.port", 8080, 0...65_535)
    algorithm = config.string(forKey: "api.jwtAlgorithm", default: "HS256")
    secret = config.secret("api.jwtSecret")
    keyFile = config.string(forKey: "api.jwksFile").flatMap { $0.isEmpty ? nil : resolved($0) }
    keyAddress = config.string(forKey: "api.jwksURL").flatMap { $0.isEmpty ? nil : $0 }
    audience = config.string(forKey: "api.jwtAudience", default: "authenticated")
    issuer = config.string(forKey: "api.jwtIssuer", default: "")
    operatorClaim = config.string(forKey: "api.operatorClaim", default: "app_metadata.journey_operator")
    requestsPerSecond = int("api.requestsPerSecond", 50, 1...100_000)
    maximumConnections = int("api.maximumConnections", 256, 1...10_000)
    connectionsPerAddress = int("api.connectionsPerAddress", 64, 1...10_000)
    trustedProxies = config.stringArray(forKey: "api.trustedProxies", default: []).filter { !$0.isEmpty }
    requestsPerUser = int("api.requestsPerUser", 16, 1...1000)
    streamsPerUser = int("api.streamsPerUser", 8, 1...1000)
    maximumBodyBytes = int("api.maximumBodyBytes", 65_536, 1024...(1 << 20))
    requestSeconds = int("api.requestSeconds", 15, 1...300)
    databaseConnections = int("api.databaseConnections", 4, 1...64)
  }

  /// What does not go together, a line each.
  var problems: [String] {
    var problems: [String] = []
    if host.isEmpty { problems.append("api.host: empty; 127.0.0.1 is this machine alone") }
    switch algorithm {
    case "HS256":
      if keyFile != nil || keyAddress != nil {
        problems.append(
          "api.jwtAlgorithm: HS256 takes no public keys; write RS256 or ES256, or leave api.jwksFile and api.jwksURL out"
        )
      }
      // RFC 7518, section 3.2: a key of at least the size of the hash.
      if !secret.isEmpty, secret.utf8.count < 32 {
        problems.append("api.jwtSecret: shorter than 32 bytes can be guessed")
      }
    case "RS256", "ES256":
      if !secret.isEmpty {
        problems.append("api.jwtSecret: \(algorithm) takes no secret; write HS256, or leave it out")
      }
      if keyFile != nil, keyAddress != nil { problems.append("api.jwksURL: api.jwksFile is given already") }
    default: problems.append("api.jwtAlgorithm: \(algorithm) is none of HS256, RS256, ES256")
    }
    return problems
  }
}

/// `probes.…`: where `/live` and `/ready` are answered whatever else goes on.
public struct ProbeOptions: Sendable {
  /// `probes.host`: the address to listen on; empty: the API's alone answers them.
  public var host: String
  /// `probes.port`: 0...65,535; 0 is any free one.
  public var port: Int

  static let keys = ["host", "port"]

  init(_ config: ConfigReader, int: (String, Int, ClosedRange<Int>) -> Int) {
    host = config.string(forKey: "probes.host", default: "127.0.0.1")
    port = int("probes.port", 8081, 0...65_535)
  }
}
