import Foundation
import Glibc

/// Private RabbitMQ and PostgreSQL servers for tests, on free ports of the loopback interface.
///
/// `scripts/servers` starts them. The test process owns them, and they are removed when it ends, in whatever way. The
/// machine's own servers and the environment's `AMQP_URL` and `DATABASE_URL` are never used.
///
/// Tests share one pair, ``shared()``; each test has its own virtual host and database. A test that injects faults into
/// its servers starts its own pair with ``dedicated(_:tls:)``.
public actor TestServers {
  /// The two kinds of servers.
  public enum Kind: String, Sendable, CaseIterable {
    case rabbitmq
    case postgres
  }

  /// The directory of `Package.swift`.
  public static var packageRoot: String { ServerDirectories.packageRoot }
  /// The script that starts, stops and inspects servers.
  public static var script: String { ServerDirectories.script }

  private static let sharedServers = Task { try await TestServers.dedicated() }

  /// The directory of the servers' data and logs. It is deleted when they are stopped with `stop()`.
  public nonisolated let directory: String
  /// Directories of the further servers that belong to these: nodes of the broker's cluster, then the standby.
  nonisolated let members: [String]
  private let urls: [String: String]
  private var created = 0

  init(directory: String, members: [String] = [], urls: [String: String]) {
    self.directory = directory
    self.members = members
    self.urls = urls
  }

  /// The pair that all tests of this process share. The first call starts it; all other calls wait for it.
  ///
  /// - Throws: `TestServersError` if the servers did not start. All calls throw the same error then.
  public static func shared() async throws -> TestServers { try await sharedServers.value }

  /// Starts servers for one test and waits until they are ready, about three to five seconds for both.
  ///
  /// - Parameters:
  ///   - kinds: the servers to start; both by default.
  ///   - tls: whether they also listen with TLS, with a certificate for `localhost` from a private authority.
  ///   - directory: for their data; by default a new one. Servers that an earlier process left there are stopped and
  ///     deleted first.
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

  /// Shuts the servers down and deletes their directory. Only for servers from ``dedicated(_:tls:)``, and optional: the
  /// end of the process does the same.
  public func stop() async throws {
    // The members first: the first server runs the port mapper of the cluster.
    for directory in members.reversed() + [directory] {
      _ = try await Self.run(["stop", directory, "--purge"])
      ServerDirectories.forget(directory)
    }
  }

  // MARK: - RabbitMQ

  /// The broker's URL with an administrator's login.
  ///
  /// - Parameters:
  ///   - vhost: the virtual host, not yet percent-encoded.
  ///   - tls: an `amqps` URL with the authority's file; only for servers started with TLS.
  public nonisolated func amqpURL(vhost: String = "/", tls: Bool = false) -> String {
    let base = url(tls ? "AMQP_TLS_URL" : "AMQP_URL")
    let parts = base.split(separator: "?", maxSplits: 1)
    let path = vhost.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? vhost
    return "\(parts[0])/\(path)" + (parts.count > 1 ? "?\(parts[1])" : "")
  }

  /// Creates a virtual host with a new name.
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

  /// Runs `rabbitmqctl` against this broker, about a second per call. For frequent calls use ``erlang(_:)``.
  ///
  /// - Returns: its output.
  @discardableResult
  public func rabbitmqctl(_ arguments: String...) async throws -> String {
    try await command("ctl", arguments)
  }

  /// Evaluates an Erlang expression in the broker, within milliseconds.
  ///
  /// - Returns: the value as Erlang prints it.
  @discardableResult
  public func erlang(_ expression: String) async throws -> String {
    try await command("eval", [expression])
  }

  // MARK: - PostgreSQL

  /// The maintenance database `postgres`, with a superuser's login.
  public nonisolated func databaseURL(tls: Bool = false) -> String { url(tls ? "DATABASE_TLS_URL" : "DATABASE_URL") }

  /// Creates an empty database with a new name and the default privileges of a Supabase project.
  ///
  /// - Returns: its URL, with a superuser's login.
  /// - Parameter template: a database to copy, to which nobody is connected.
  public func makeDatabase(tls: Bool = false, template: String? = nil) async throws -> String {
    let name = nextName("test")
    // No session ever connects to template0, so concurrent creations do not block each other.
    _ = try await sql("CREATE DATABASE \(name) TEMPLATE \(template ?? "template0")")
    if template == nil { try await grantDefaults(of: "postgres", in: name) }
    // URLComponents cannot parse URLs with several hosts.
    let parts = databaseURL(tls: tls).split(separator: "?", maxSplits: 1)
    guard let slash = parts[0].lastIndex(of: "/") else { preconditionFailure("scripts/servers printed no URL") }
    return "\(parts[0][..<slash])/\(name)" + (parts.count > 1 ? "?\(parts[1])" : "")
  }

  /// Runs SQL as superuser through `psql`, in the maintenance database or in `database`.
  ///
  /// - Returns: the rows, columns separated by `|`.
  @discardableResult
  public func sql(_ statement: String, database: String = "postgres") async throws -> String {
    try await command(
      "psql",
      ["--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1", "--dbname", database, "--command", statement])
  }

  // MARK: - Faults

  /// Kills a server, as a power failure would.
  public func kill(_ kind: Kind) async throws {
    if kind == .rabbitmq { try await Self.writeQueueDirectory(directory) }
    try await command("kill-9", ["--\(kind.rawValue)"])
  }

  /// RabbitMQ 3.10 writes its directory of quorum queues (`dets`) up to three seconds late. If it is killed before
  /// that, the queue starts empty and without a leader, and the broker never confirms a message to it. The tests avoid
  /// this bug of the broker.
  static func writeQueueDirectory(_ directory: String) async throws {
    _ = try await run(["eval", directory, "[dets:sync(Table) || Table <- dets:all()]"])
  }

  /// Starts a killed or stopped server again on the same port and waits until it is ready.
  public func start(_ kind: Kind) async throws { try await command("start", ["--\(kind.rawValue)"]) }

  /// Shuts a server down. With `immediately` PostgreSQL closes its connections and recovers at the next start.
  public func stop(_ kind: Kind, immediately: Bool = false) async throws {
    try await command("stop", ["--\(kind.rawValue)"] + (immediately ? ["--immediate"] : []))
  }

  /// Shuts a server down and starts it again on the same port.
  public func restart(_ kind: Kind) async throws { try await command("restart", ["--\(kind.rawValue)"]) }

  /// Freezes a server: its connections stay open, but it does not answer.
  public func pause(_ kind: Kind) async throws { try await command("pause", ["--\(kind.rawValue)"]) }

  /// Continues a frozen server.
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
