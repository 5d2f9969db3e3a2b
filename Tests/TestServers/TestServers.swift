import Foundation
import Glibc

/// Private RabbitMQ and PostgreSQL servers for tests, on free ports of the loopback interface.
///
/// They are started through `scripts/servers`, owned by the test process, and gone after it, however it ends. The
/// machine's own servers, and `AMQP_URL` or `DATABASE_URL` of the environment, are never used.
///
/// Tests share one pair, ``shared()``, and keep apart by a virtual host and a database each. A test that breaks its
/// servers takes a pair of its own from ``dedicated(_:tls:)``.
public actor TestServers {
  /// One of the two kinds of servers.
  public enum Kind: String, Sendable, CaseIterable {
    case rabbitmq
    case postgres
  }

  /// Where `Package.swift` lies.
  public static var packageRoot: String { ServerDirectories.packageRoot }
  /// The script that starts, stops and asks servers.
  public static var script: String { ServerDirectories.script }

  private static let sharedServers = Task { try await TestServers.dedicated() }

  /// Where the servers keep their data and logs; deleted when they are stopped for good.
  public nonisolated let directory: String
  /// Further servers that belong to these, a directory each: nodes of the broker's cluster, then the database's
  /// standby.
  nonisolated let members: [String]
  private let urls: [String: String]
  private var created = 0

  init(directory: String, members: [String] = [], urls: [String: String]) {
    self.directory = directory
    self.members = members
    self.urls = urls
  }

  /// The pair that all tests of this process share: started by the first call, awaited by every other.
  ///
  /// - Throws: `TestServersError` when the servers did not start; then every call throws the same error.
  public static func shared() async throws -> TestServers { try await sharedServers.value }

  /// Starts servers of the test's own and waits until they are ready, about three to five seconds for both.
  ///
  /// - Parameters:
  ///   - kinds: the servers wanted; both by default.
  ///   - tls: whether they also listen with TLS, with a certificate for `localhost` signed by a private authority.
  ///   - directory: where they keep their data. What an earlier process left there is stopped and deleted first. A
  ///     directory of this process's own by default.
  /// - Throws: `TestServersError`.
  public static func dedicated(
    _ kinds: Set<Kind> = Set(Kind.allCases), tls: Bool = false, directory: String? = nil
  ) async throws -> TestServers {
    if let directory { _ = try await run(["stop", directory, "--purge"]) }
    let (directory, urls) = try await create(kinds, tls ? ["--tls"] : [], in: directory ?? ServerDirectories.next())
    return TestServers(directory: directory, urls: urls)
  }

  static func create(
    _ kinds: Set<Kind>, _ options: [String], in directory: String = ServerDirectories.next()
  ) async throws -> (directory: String, urls: [String: String]) {
    ServerDirectories.register(directory)
    let arguments = ["start", directory, "--owner", String(getpid()), "--ephemeral", "--json"]
    let json = try await run(arguments + kinds.map { "--\($0.rawValue)" } + options)
    return (directory, try JSONDecoder().decode([String: String].self, from: Data(json.utf8)))
  }

  /// Stops the servers in order and deletes their directory. Only for ``dedicated(_:tls:)``, and optional there: the
  /// end of the process does the same.
  public func stop() async throws {
    // Those that joined first: the first one runs the port mapper of a cluster.
    for directory in members.reversed() + [directory] {
      _ = try await Self.run(["stop", directory, "--purge"])
      ServerDirectories.forget(directory)
    }
  }

  // MARK: - RabbitMQ

  /// The broker's address with an administrator's login.
  ///
  /// - Parameters:
  ///   - vhost: the virtual host; percent-encoded here.
  ///   - tls: an `amqps` URL with the authority's file; only for servers started with TLS.
  public nonisolated func amqpURL(vhost: String = "/", tls: Bool = false) -> String {
    let base = url(tls ? "AMQP_TLS_URL" : "AMQP_URL")
    let parts = base.split(separator: "?", maxSplits: 1)
    let path = vhost.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? vhost
    return "\(parts[0])/\(path)" + (parts.count > 1 ? "?\(parts[1])" : "")
  }

  /// Creates a virtual host with a name that was never used before.
  ///
  /// - Returns: its name, for ``amqpURL(vhost:tls:)``.
  public func makeVirtualHost() async throws -> String {
    let name = nextName("vhost")
    _ = try await erlang(
      """
      rabbit_vhost:add(<<"\(name)">>, <<"journey">>),
      rabbit_auth_backend_internal:set_permissions(
        <<"journey">>, <<"\(name)">>, <<".*">>, <<".*">>, <<".*">>, <<"journey">>)
      """)
    return name
  }

  /// Runs `rabbitmqctl` against this broker; about a second each, see ``erlang(_:)`` for what is called often.
  ///
  /// - Returns: what it printed.
  @discardableResult
  public func rabbitmqctl(_ arguments: String...) async throws -> String {
    try await command("ctl", arguments)
  }

  /// Evaluates an Erlang expression in the broker, in milliseconds.
  ///
  /// - Returns: the value as Erlang prints it.
  @discardableResult
  public func erlang(_ expression: String) async throws -> String {
    try await command("eval", [expression])
  }

  // MARK: - PostgreSQL

  /// The maintenance database `postgres`, with a superuser's login.
  public nonisolated func databaseURL(tls: Bool = false) -> String { url(tls ? "DATABASE_TLS_URL" : "DATABASE_URL") }

  /// Creates an empty database with a name that was never used before, and the default privileges of a Supabase
  /// project.
  ///
  /// - Returns: its URL, with a superuser's login.
  public func makeDatabase(tls: Bool = false) async throws -> String {
    let name = nextName("test")
    // From the pristine template, which is never connected to: concurrent creations do not meet.
    _ = try await sql("CREATE DATABASE \(name) TEMPLATE template0")
    try await grantDefaults(of: "postgres", in: name)
    // Not by URLComponents, which knows no URL with several hosts.
    let parts = databaseURL(tls: tls).split(separator: "?", maxSplits: 1)
    guard let slash = parts[0].lastIndex(of: "/") else { preconditionFailure("scripts/servers printed no URL") }
    return "\(parts[0][..<slash])/\(name)" + (parts.count > 1 ? "?\(parts[1])" : "")
  }

  /// Runs SQL as superuser through `psql`, in the maintenance database unless `database` names another.
  ///
  /// - Returns: the rows, columns separated by `|`.
  @discardableResult
  public func sql(_ statement: String, database: String = "postgres") async throws -> String {
    try await command(
      "psql",
      ["--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1", "--dbname", database, "--command", statement])
  }

  // MARK: - Faults

  /// Kills a server at once, as a power cut would.
  public func kill(_ kind: Kind) async throws {
    if kind == .rabbitmq { try await Self.writeQueueDirectory(directory) }
    try await command("kill-9", ["--\(kind.rawValue)"])
  }

  /// RabbitMQ 3.10 writes its directory of quorum queues up to three seconds late (`dets`), and starts a queue that is
  /// missing there anew, empty and without a leader: nothing that is published to it is ever confirmed. That is the
  /// broker's fault, not one to test here.
  static func writeQueueDirectory(_ directory: String) async throws {
    _ = try await run(["eval", directory, "[dets:sync(Table) || Table <- dets:all()]"])
  }

  /// Brings a killed or stopped server back on the same port and waits until it is ready.
  public func start(_ kind: Kind) async throws { try await command("start", ["--\(kind.rawValue)"]) }

  /// Stops a server in order; with `immediately` PostgreSQL cuts its connections and leaves recovery to the next start.
  public func stop(_ kind: Kind, immediately: Bool = false) async throws {
    try await command("stop", ["--\(kind.rawValue)"] + (immediately ? ["--immediate"] : []))
  }

  /// Stops a server in order and brings it back on the same port.
  public func restart(_ kind: Kind) async throws { try await command("restart", ["--\(kind.rawValue)"]) }

  /// Freezes a server: its connections stay open and nothing answers any more.
  public func pause(_ kind: Kind) async throws { try await command("pause", ["--\(kind.rawValue)"]) }

  /// Lets a frozen server go on.
  public func resume(_ kind: Kind) async throws { try await command("resume", ["--\(kind.rawValue)"]) }

  // MARK: - Private

  private nonisolated func url(_ name: String) -> String {
    guard let url = urls[name] else { preconditionFailure("these servers were started without what \(name) needs") }
    return url
  }

  private func nextName(_ prefix: String) -> String {
    created += 1
    return "\(prefix)_\(created)"
  }

  @discardableResult
  private func command(_ name: String, _ arguments: [String]) async throws -> String {
    try await Self.run([name, directory] + arguments)
  }

  static func run(_ arguments: [String]) async throws -> String {
    try await Command.run([ServerDirectories.script] + arguments, operation: "scripts/servers \(arguments[0])")
  }
}
