/// How the API is served and whom it believes.
public struct APISettings: Sendable {
  /// How a token's signature is checked. One algorithm, fixed here: a token does not choose.
  public enum Keys: Sendable {
    /// HS256 by shared secrets, any of which a token may be signed with: those that the function returns at the time.
    case secrets(@Sendable () -> [String])
    /// RS256 or ES256 by the public keys in a file.
    case file(String, JWTAlgorithmName)
    /// RS256 or ES256 by the public keys at an https address (http on loopback).
    case address(String, JWTAlgorithmName)
  }

  public var host = "127.0.0.1"
  /// 0: any free one.
  public var port = 8080
  /// nil: nobody is believed, and everything that needs a token is refused.
  public var keys: Keys?
  /// `iss` has to be this; nil: anything.
  public var issuer: String?
  /// `aud` has to hold this; nil: anything.
  public var audience: String? = "authenticated"
  /// The claim that opens operations when it is true, by its dotted path.
  public var operatorClaim = "app_metadata.journey_operator"
  public var maxConnections = 256
  /// Of one address, or of one IPv6 network of 64 bits; never more than three quarters of all. With a trusted proxy:
  /// requests under way.
  public var connectionsPerAddress = 64
  /// Addresses and networks of reverse proxies: their connections are not counted by address, and their X-Forwarded-For
  /// is believed.
  public var trustedProxies: [String] = []
  /// Requests under way of one user.
  public var requestsPerUser = 16
  /// Live streams of one user.
  public var streamsPerUser = 8
  /// Of a request.
  public var maxBodyBytes = 65_536
  /// For a request to arrive, and for a connection to say nothing.
  public var requestTimeout = Duration.seconds(15)
  /// Requests a second of one subject; twice as many at once.
  public var requestsPerSecond = 50.0

  public init() {}
}

/// The algorithms of public keys that are taken.
public enum JWTAlgorithmName: String, Sendable, CaseIterable {
  case rs256 = "RS256"
  case es256 = "ES256"

  var keyType: String { self == .rs256 ? "RSA" : "EC" }
}
