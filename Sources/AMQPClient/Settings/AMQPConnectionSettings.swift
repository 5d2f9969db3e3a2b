/// How to open and keep a connection. Create it from a URI, then change what differs from the defaults.
public struct AMQPConnectionSettings: Sendable, CustomStringConvertible {
  public struct Endpoint: Hashable, Sendable, CustomStringConvertible {
    public var host: String
    public var port: Int

    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
  }

  public struct TLS: Hashable, Sendable {
    /// PEM bundle of the trusted authorities; nil means the system's bundle.
    public var authoritiesFile: String?
    /// PEM files of the client certificate's chain and key; both or neither.
    public var certificateFile: String?
    public var keyFile: String?
    /// Whether the broker's certificate and host name are checked before credentials are sent. The library compares DNS
    /// names only, so a broker addressed by IP fails this check.
    public var verifiesPeer = true
  }

  enum Mechanism: String, Hashable, Sendable {
    case plain
    /// The client certificate is the identity.
    case external
  }

  /// Tried in turn: each new connection goes to the endpoint after the last one.
  public var endpoints: [Endpoint]
  public var user: String
  public var virtualHost: String
  var mechanism: Mechanism
  /// Nil for plain TCP.
  public var tls: TLS?
  /// What the broker's management page shows for the connection.
  public var connectionName: String

  /// The heartbeat interval, 1...3600 s. A peer that is silent for twice as long counts as lost.
  public var heartbeat: Duration = .seconds(10)
  /// The limit for TCP and TLS together, for each endpoint, and again for the AMQP handshake.
  public var connectTimeout: Duration = .seconds(5)
  /// The limit for a request to the broker and its reply.
  public var rpcTimeout: Duration = .seconds(10)
  /// How long a write may make no progress before the watchdog breaks the connection.
  public var stallTimeout: Duration = .seconds(30)
  /// How long written bytes may stay unacknowledged by the peer's kernel (TCP_USER_TIMEOUT).
  public var tcpUserTimeout: Duration = .seconds(30)
  /// The pause after the first failed attempt to connect (to every endpoint). It doubles up to `maxReconnectDelay`, and
  /// each pause is drawn at random from its upper half.
  public var minReconnectDelay: Duration = .milliseconds(250)
  public var maxReconnectDelay: Duration = .seconds(30)
  /// The maximum frame size in bytes, 8192...131072. Properties must fit one frame, and brokers from 4.1 on refuse
  /// smaller sizes.
  var frameMax = 131_072
  /// The maximum body size in bytes. Larger messages are not published, and are delivered without their body or with
  /// its beginning.
  public var maxBodyBytes = 32 << 20
  /// How many bytes of the beginning of a larger body are kept, with the SHA-256 of the whole. Nil: none.
  public var beginningOfLargerBodies: Int?
  /// A consumer stops reading while the bodies of its unsettled deliveries exceed this many bytes; one more body may
  /// exceed it. Properties come on top: normally a few hundred bytes for each delivery, at most 1 MiB (about `frameMax`
  /// before dead-lettering).
  public var maxBufferedBytes = 128 << 20

  /// The URI as it is now, asked for before each attempt to connect; nil: it never changes. Where its parameters are
  /// left out, what holds already stays. What cannot be read is ignored.
  public var currentURI: (@Sendable () -> String)?

  private(set) var password: Secret
  private var namesUser: Bool

  /// The user name that the broker compares with a message's user id. With a client certificate it is the URI's user;
  /// nil when the URI has none.
  public var userID: String? { mechanism == .plain || namesUser ? user : nil }

  /// Reads `amqp[s]://user:password@host[:port][,host[:port]…][/vhost][?key=value&…]`.
  ///
  /// Parts are percent-decoded. A missing or empty vhost means `/`. Defaults: user and password `guest`,
  /// port 5672, or 5671 for `amqps`. Keys: `heartbeat` (s), `connection_timeout` (ms), `cacertfile`, `certfile`,
  /// `keyfile`, `verify` (`verify_peer`, `verify_none`), `auth_mechanism` (`plain`, `external`), `frame_max` (bytes).
  ///
  /// - Throws: `AMQPError.Code.invalidURI`; the message names what is wrong and never repeats the password.
  public init(uri: String, connectionName: String) throws(AMQPError) {
    (endpoints, user, namesUser, password, virtualHost, mechanism) = ([], "", false, Secret(""), "", .plain)
    self.connectionName = connectionName
    try read(uri)
  }

  /// With the URI as it is now.
  func renewed() -> Self {
    guard let uri = currentURI?() else { return self }
    var renewed = self
    do { try renewed.read(uri) } catch { return self }
    return renewed
  }

  private mutating func read(_ uri: String) throws(AMQPError) {
    let parts = try AMQPURI(uri)
    endpoints = parts.endpoints
    user = parts.user ?? "guest"
    namesUser = parts.user != nil
    password = Secret(parts.password ?? "guest")
    virtualHost = parts.virtualHost
    mechanism = .plain
    tls = parts.isSecure ? TLS() : nil
    for (key, value) in parts.parameters { try apply(key, value) }
    if let tls, (tls.certificateFile == nil) != (tls.keyFile == nil) {
      throw AMQPURI.error("certfile and keyfile are only of use together")
    }
  }

  /// The connection as a URI without the password, for logs: `amqps://user@host:5671/vhost`.
  public var description: String {
    let hosts = endpoints.map(\.description).joined(separator: ",")
    let path = virtualHost == "/" ? "" : "/" + AMQPURI.percentEncoded(virtualHost)
    return "\(tls == nil ? "amqp" : "amqps")://\(AMQPURI.percentEncoded(user))@\(hosts)\(path)"
  }

  /// A part of a URI, such as the name of a virtual host.
  public static func percentEncoded(_ text: String) -> String { AMQPURI.percentEncoded(text) }

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

/// A string that neither interpolation nor reflection reveals.
struct Secret: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
  let value: String
  init(_ value: String) { self.value = value }
  var description: String { "[redacted]" }
  var customMirror: Mirror { Mirror(self, children: [:]) }
}
