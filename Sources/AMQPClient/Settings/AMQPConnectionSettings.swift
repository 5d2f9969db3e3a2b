/// Everything needed to open and keep a connection. Build it from a URI, then change what differs from the defaults.
public struct AMQPConnectionSettings: Sendable {
  public struct Endpoint: Hashable, Sendable, CustomStringConvertible {
    public var host: String
    public var port: Int

    public init(host: String, port: Int) {
      self.host = host
      self.port = port
    }

    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
  }

  public struct TLS: Hashable, Sendable {
    /// PEM bundle of the authorities to trust; `nil` is the system's bundle.
    public var authoritiesFile: String?
    /// PEM chain and key of the client certificate; both or none.
    public var certificateFile: String?
    public var keyFile: String?
    /// Whether the broker's certificate and host name are checked before credentials are sent. The library compares DNS
    /// names only, so a broker addressed by IP fails this check.
    public var verifiesPeer: Bool

    public init(
      authoritiesFile: String? = nil, certificateFile: String? = nil, keyFile: String? = nil, verifiesPeer: Bool = true
    ) {
      self.authoritiesFile = authoritiesFile
      self.certificateFile = certificateFile
      self.keyFile = keyFile
      self.verifiesPeer = verifiesPeer
    }
  }

  enum Mechanism: String, Hashable, Sendable {
    case plain
    /// The client certificate is the identity.
    case external
  }

  /// Tried in this order, and round again: each new connection takes the one after the last.
  public var endpoints: [Endpoint]
  public var user: String
  public var virtualHost: String
  var mechanism: Mechanism
  /// `nil` is plain TCP.
  public var tls: TLS?
  /// What the broker's management page shows for the connection.
  public var connectionName: String

  /// The interval at which both sides show signs of life; a peer silent for twice as long is lost. 1...3600 s.
  public var heartbeat: Duration = .seconds(10)
  /// For TCP and TLS together, per endpoint; then once more for the AMQP handshake.
  public var connectTimeout: Duration = .seconds(5)
  /// For a request to the broker and its reply.
  public var rpcTimeout: Duration = .seconds(10)
  /// How long a write may make no progress before the watchdog breaks the connection.
  public var stallTimeout: Duration = .seconds(30)
  /// How long written bytes may stay unacknowledged by the peer's kernel (TCP_USER_TIMEOUT).
  public var tcpUserTimeout: Duration = .seconds(30)
  /// The pause after the first failed attempt to connect (to every endpoint). It doubles up to `maxReconnectDelay`, and
  /// each pause is drawn at random from its upper half.
  public var minReconnectDelay: Duration = .milliseconds(250)
  public var maxReconnectDelay: Duration = .seconds(30)
  /// The largest frame in bytes, 8192...131072: properties have to fit one frame, and brokers from 4.1 on refuse less.
  var frameMax = 131_072
  /// The largest body in bytes, both ways. Larger ones are delivered without their body, or with its beginning, and not
  /// published.
  public var maxBodyBytes = 32 << 20
  /// What is kept of larger bodies: so many bytes of the beginning, and the SHA-256 of the whole. nil: nothing is.
  public var beginningOfLargerBodies: Int?
  /// The bodies of unsettled deliveries together, in bytes: while they have more, a consumer reads nothing. So there
  /// are at most as many, and one body. Their properties come on top: normally a few hundred bytes each, and never more
  /// than 1 MiB (about `frameMax` before dead-lettering) times the prefetch.
  public var maxBufferedBytes = 128 << 20

  var password: Secret
  private let namesUser: Bool

  /// The name that the broker compares with a message's user id. With a certificate it is the URI's user, where it has
  /// one; else it is not known here.
  public var userID: String? { mechanism == .plain || namesUser ? user : nil }

  /// Reads `amqp[s]://user:password@host[:port][,host[:port]…][/vhost][?key=value&…]`.
  ///
  /// Parts are percent-decoded. Without a vhost, or with an empty one, it is `/`. Defaults: user and password `guest`,
  /// port 5672, or 5671 for `amqps`. Keys: `heartbeat` (s), `connection_timeout` (ms), `cacertfile`, `certfile`,
  /// `keyfile`, `verify` (`verify_peer`, `verify_none`), `auth_mechanism` (`plain`, `external`), `frame_max` (bytes).
  ///
  /// - Throws: `AMQPError.Code.invalidURI`; the message names what is wrong and never repeats the password.
  public init(uri: String, connectionName: String) throws(AMQPError) {
    let parts = try AMQPURI(uri)
    endpoints = parts.endpoints
    user = parts.user ?? "guest"
    namesUser = parts.user != nil
    password = Secret(parts.password ?? "guest")
    virtualHost = parts.virtualHost
    mechanism = .plain
    tls = parts.isSecure ? TLS() : nil
    self.connectionName = connectionName
    for (key, value) in parts.parameters { try apply(key, value) }
    if let tls, (tls.certificateFile == nil) != (tls.keyFile == nil) {
      throw AMQPURI.error("certfile and keyfile are only of use together")
    }
  }

  /// The connection as a URI without user secrets, for logs: `amqps://user@host:5671/vhost`.
  public var safeDescription: String {
    let hosts = endpoints.map(\.description).joined(separator: ",")
    let path = virtualHost == "/" ? "" : "/" + AMQPURI.percentEncoded(virtualHost)
    return "\(tls == nil ? "amqp" : "amqps")://\(AMQPURI.percentEncoded(user))@\(hosts)\(path)"
  }

  private mutating func apply(_ key: String, _ value: String) throws(AMQPError) {
    switch key {
    case "heartbeat":
      heartbeat = .seconds(try AMQPURI.integer(key, value, in: 1...3600))
    case "connection_timeout":
      connectTimeout = .milliseconds(try AMQPURI.integer(key, value, in: 1...600_000))
    case "frame_max":
      frameMax = try AMQPURI.integer(key, value, in: 8192...131_072)
    case "auth_mechanism":
      guard let mechanism = Mechanism(rawValue: value.lowercased()) else {
        throw AMQPURI.error("auth_mechanism is plain or external")
      }
      self.mechanism = mechanism
    case "cacertfile", "certfile", "keyfile", "verify":
      guard tls != nil else { throw AMQPURI.error("\(key) needs the scheme amqps") }
      switch (key, value) {
      case ("cacertfile", _): tls?.authoritiesFile = value
      case ("certfile", _): tls?.certificateFile = value
      case ("keyfile", _): tls?.keyFile = value
      case (_, "verify_peer"): tls?.verifiesPeer = true
      case (_, "verify_none"): tls?.verifiesPeer = false
      default: throw AMQPURI.error("verify is verify_peer or verify_none")
      }
    default:
      throw AMQPURI.error("a parameter that is not read")
    }
  }
}

extension AMQPConnectionSettings: CustomStringConvertible {
  public var description: String { safeDescription }
}

/// A text that neither interpolation nor reflection shows.
struct Secret: Sendable, CustomStringConvertible, CustomReflectable {
  let value: String
  init(_ value: String) { self.value = value }
  var description: String { "[redacted]" }
  var customMirror: Mirror { Mirror(self, children: [:]) }
}
