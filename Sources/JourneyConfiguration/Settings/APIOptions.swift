/// `api.…`: the HTTP API and the page.
public struct APIOptions: Sendable {
  public let isEnabled: Bool
  public let host: String
  public let port: Int
  public let algorithm: String
  /// The first one signs, all verify. Empty: none.
  public let secrets: [String]
  /// Where the secrets come from a file, a line each.
  public let secretFile: SecretFile?
  public let keyFile: String?
  public let keyAddress: String?
  /// Empty: not checked.
  public let audience: String
  /// Empty: not checked.
  public let issuer: String
  public let operatorClaim: String
  public let requestsPerSecond: Int
  public let maxConnections: Int
  public let connectionsPerAddress: Int
  public let trustedProxies: [String]
  public let requestsPerUser: Int
  public let streamsPerUser: Int
  public let maxBodyBytes: Int
  public let requestSeconds: Int
  public let databaseConnections: Int

  init(_ read: SettingsReader) {
    isEnabled = read.boolean("api.enabled", true, "the HTTP API and the page, see docs/api.md")
    host = read.text("api.host", "127.0.0.1", "address to listen on; for other machines use a proxy with TLS")
    port = read.integer("api.port", 8080, 0...65_535, "port to listen on; 0: any free one")
    algorithm = read.text(
      "api.jwtAlgorithm", "HS256", oneOf: ["HS256", "RS256", "ES256"],
      "HS256 needs `jwtSecret`, the others `jwksFile` or `jwksURL`")
    let secret = read.secret("api.jwtSecret", credential: "jwt-secret", "for HS256; at least 32 bytes")
    // The package makes this credential whatever the algorithm is.
    let isIgnored = algorithm != "HS256" && secret.file?.name == "credential jwt-secret"
    secretFile = isIgnored ? nil : secret.file
    secrets = isIgnored ? [] : secret.file?.lines ?? [secret.text].filter { !$0.isEmpty }
    keyFile = read.path(
      "api.jwksFile", example: "# keys.json", isNoneIfEmpty: true, "file of public keys for RS256 and ES256")
    keyAddress = read.text(
      "api.jwksURL", example: "https://login.example.com/jwks.json", "address of public keys for RS256 and ES256")
    audience = read.text("api.jwtAudience", "authenticated", "`aud` must contain it; empty: not checked")
    issuer = read.text("api.jwtIssuer", "", "`iss` must equal it; empty: not checked")
    operatorClaim = read.text(
      "api.operatorClaim", "app_metadata.journey_operator", "claim that grants access to operations if it is true")
    requestsPerSecond = read.integer("api.requestsPerSecond", 50, 1...100_000, "maximum for one user")
    maxConnections = read.integer("api.maximumConnections", 256, 1...10_000, "concurrent connections")
    connectionsPerAddress = read.integer(
      "api.connectionsPerAddress", 64, 1...10_000,
      "concurrent connections of one address; never more than three quarters of `maximumConnections`")
    trustedProxies = read.list(
      "api.trustedProxies", [],
      "addresses or networks of reverse proxies whose `X-Forwarded-For` is used, see docs/api.md")
    requestsPerUser = read.integer("api.requestsPerUser", 16, 1...1000, "concurrent requests of one user")
    streamsPerUser = read.integer("api.streamsPerUser", 8, 1...1000, "live streams of one user")
    maxBodyBytes = read.integer(
      "api.maximumBodyBytes", 65_536, 1024...(1 << 20), unit: .bytes, "maximum size of a request's body")
    requestSeconds = read.integer("api.requestSeconds", 15, 1...300, unit: .seconds, "timeout for a request to arrive")
    databaseConnections = read.integer("api.databaseConnections", 4, 1...64, "database connections for reading")
    report(to: read)
  }

  /// Reports the values that contradict each other.
  private func report(to read: SettingsReader) {
    if host.isEmpty { read.report("api.host: empty; 127.0.0.1 is this machine alone") }
    if algorithm == "HS256" {
      if keyFile != nil || keyAddress != nil {
        read.report(
          "api.jwtAlgorithm: HS256 takes no public keys; write RS256 or ES256, or leave api.jwksFile and api.jwksURL out"
        )
      }
      do throws(SettingsError) { try Self.check(secrets) } catch { read.report(error.description) }
    } else if algorithm == "RS256" || algorithm == "ES256" {
      if !secrets.isEmpty {
        read.report("api.jwtSecret: \(algorithm) takes no secret; write HS256, or leave it out")
      }
      if keyFile != nil, keyAddress != nil { read.report("api.jwksURL: api.jwksFile is given already") }
    }
  }
}

extension APIOptions {
  /// - Throws: `SettingsError` if a secret is too short.
  public static func check(_ secrets: [String]) throws(SettingsError) {
    // RFC 7518, section 3.2: a key of at least the size of the hash.
    if secrets.contains(where: { $0.utf8.count < 32 }) {
      throw SettingsError("api.jwtSecret: shorter than 32 bytes can be guessed")
    }
  }
}

/// `probes.…`: the separate address of `/live`, `/ready`, `/startup` and `/metrics`.
public struct ProbeOptions: Sendable {
  /// Empty: only the API serves `/live` and `/ready`.
  public let host: String
  public let port: Int
  /// Whether `/metrics` is served there.
  public let hasMetrics: Bool

  init(_ read: SettingsReader) {
    host = read.text(
      "probes.host", "127.0.0.1",
      "separate address of `/live`, `/ready`, `/startup` and `/metrics`; empty: only the API serves `/live` and `/ready`"
    )
    port = read.integer("probes.port", 8081, 0...65_535, "port to listen on; 0: any free one")
    hasMetrics = read.boolean("probes.metrics", true, "whether `/metrics` is served there, see docs/metrics.md")
  }
}
