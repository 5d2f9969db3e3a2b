import Foundation
import TestServers

/// The private servers with the adapter's login, and questions to them.
struct DemoServers: Sendable {
  let directory: String
  let ownerURL: String
  let amqpURL: String
  /// Of a role that is no owner and no superuser, only a member of the roles that the adapter's work needs.
  let loginURL: String
  private let servers: TestServers
  private let password: String

  init(_ servers: TestServers) {
    self.servers = servers
    directory = servers.directory
    amqpURL = servers.amqpURL()
    ownerURL = servers.databaseURL()
    password = Self.randomToken()
    let host = ownerURL.split(separator: "@", maxSplits: 1).last ?? ""
    loginURL = "postgresql://journey_demo:\(password)@\(host)"
  }

  /// Needs the roles that `journey migrate` creates.
  func createLogin() async throws {
    try await script("CREATE ROLE journey_demo LOGIN PASSWORD '\(password)' IN ROLE journey_adapter, authenticated")
  }

  /// The broker's URL for a user that may do what a worker of a channel has to, and nothing else.
  func workerURL(_ channel: String) async throws -> String {
    try await servers.allow(
      "worker_\(channel)", in: "/", configure: "^$", write: "^journey\\.outcomes$",
      read: "^journey\\.actions\\.\(channel)$")
  }

  /// Runs SQL as superuser from standard input, since other users of the machine can read arguments.
  func script(_ sql: String) async throws {
    let psql = Program(executable: TestServers.script)
    _ = try await psql.output(["psql", directory, "--quiet", "--set", "ON_ERROR_STOP=1"], input: sql)
  }

  /// One value, as text.
  func value(_ sql: String) async throws -> String {
    try Task.checkCancellation()
    return try await servers.sql(sql)
  }

  /// One value that the query makes as JSON.
  func decode<Value: Decodable>(_ type: Value.Type, _ sql: String) async throws -> Value {
    try JSONDecoder().decode(type, from: Data(try await value(sql).utf8))
  }

  /// How many messages are ready in a queue, as the queue itself says.
  func depth(of queue: String) async throws -> String {
    try Task.checkCancellation()
    return try await servers.erlang(
      """
      begin {ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"\(queue)">>)), \
      element(2, rabbit_amqqueue:stat(Q)) end
      """)
  }

  /// 128 bits from the kernel's generator, in hexadecimal.
  static func randomToken() -> String {
    (0..<2).map { _ in String(format: "%016lx", UInt64.random(in: 0...UInt64.max)) }.joined()
  }
}
