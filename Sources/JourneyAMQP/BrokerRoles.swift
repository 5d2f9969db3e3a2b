import AMQPClient
import Crypto
import FoundationEssentials
public import Journey

/// The users of the broker that a least-privilege installation has, as definitions for `rabbitmqctl import_definitions`.
public struct BrokerRoles: Sendable {
  public typealias User = (name: String, password: String)

  /// Regular expressions on the names of exchanges and queues.
  public struct Permissions: Hashable, Sendable {
    public var configure: String
    public var write: String
    public var read: String
  }

  private let names: MessagingNames
  private let virtualHost: String

  public init(_ names: MessagingNames, virtualHost: String) {
    self.names = names
    self.virtualHost = virtualHost
  }

  /// For `journey topology apply`: all of the adapter's names, and no others.
  public var owner: Permissions {
    let all = names.topology.pattern
    return Permissions(configure: all, write: all, read: all)
  }

  /// For `journey serve` and the operators' commands: it can neither change nor delete the topology.
  ///
  /// To write to a queue allows nothing without the permission to read from an exchange. But recent brokers show the
  /// depth of a queue only to users with some permission on it.
  public var service: Permissions {
    let queues = names.topology.queues.map(\.name)
    return Permissions(
      configure: "^$",
      write: Topology.pattern(
        [names.actions, names.changes, names.dead, names.events, names.outcomes, names.retry] + queues),
      read: Topology.pattern([names.actionQueue("human"), names.deadLetters, names.ingest, names.outcomes]))
  }

  /// For the worker of a channel: it reads its queue and reports outcomes.
  public func worker(of channel: String) -> Permissions {
    Permissions(
      configure: "^$", write: Topology.pattern([names.outcomes]), read: Topology.pattern([names.actionQueue(channel)]))
  }

  /// The definitions, which contain salted hashes of the passwords. Importing them again changes nothing else.
  ///
  /// - Parameter workers: by channel.
  public func definitions(owner: User, service: User, workers: [(channel: String, user: User)]) -> JSONObject {
    let users = [(owner, self.owner), (service, self.service)] + workers.map { ($1, worker(of: $0)) }
    return [
      "vhosts": [["name": virtualHost] as JSONObject],
      "users": users.map { user, _ -> JSONObject in
        [
          "name": user.name, "password_hash": Self.hash(user.password),
          "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": [String](),
        ]
      },
      "permissions": users.map { user, permissions -> JSONObject in
        [
          "user": user.name, "vhost": virtualHost, "configure": permissions.configure, "write": permissions.write,
          "read": permissions.read,
        ]
      },
    ]
  }

  /// Source: https://www.rabbitmq.com/docs/passwords
  private static func hash(_ password: String) -> String {
    let salt = (0..<4).map { _ in UInt8.random(in: .min ... .max) }
    return Data(salt + SHA256.hash(data: salt + Array(password.utf8))).base64EncodedString()
  }
}

extension Topology {
  /// A regular expression that matches all names; by default `^journey\..*`.
  var pattern: String {
    let all = exchanges.map(\.name) + queues.map(\.name)
    let families = Set(all.map { $0.prefix { $0 != "." } })
    if let family = families.first, families.count == 1, all.allSatisfy({ $0.contains(".") }) {
      return "^\(Self.escaped(family))\\..*"
    }
    return Self.pattern(all)
  }

  /// A regular expression that matches these names only.
  static func pattern(_ names: [String]) -> String {
    "^(\(Set(names).sorted().map { escaped($0[...]) }.joined(separator: "|")))$"
  }

  private static func escaped(_ name: Substring) -> String {
    name.map { $0.isLetter || $0.isNumber || "_-".contains($0) ? "\($0)" : "\\\($0)" }.joined()
  }
}
