import Foundation

/// Private servers in a directory of their own. They end with this process in all cases.
struct Servers {
  let directory: String
  let amqpURL: String
  let databaseURL: String
  let brokerPID: Int32
  let postmasterPID: Int32

  static func start(directory: String) throws -> Servers {
    try execute(["scripts/servers", "start", directory, "--owner", "\(getpid())", "--ephemeral"])
    let text = try execute(["scripts/servers", "env", directory, "--json"])
    let urls = try JSONDecoder().decode([String: String].self, from: Data(text.utf8))
    guard let amqp = urls["AMQP_URL"], let database = urls["DATABASE_URL"] else {
      throw BenchmarkError("scripts/servers env names no URLs")
    }
    return Servers(
      directory: directory, amqpURL: amqp, databaseURL: database, brokerPID: try pid("\(directory)/rabbitmq/pid"),
      postmasterPID: try pid("\(directory)/postgres/pid"))
  }

  func stop() {
    _ = try? execute(["scripts/servers", "stop", directory, "--immediate", "--purge"])
  }

  var environment: [String: String] { ["AMQP_URL": amqpURL, "DATABASE_URL": databaseURL] }

  private static func pid(_ file: String) throws -> Int32 {
    guard let pid = Int32(try String(contentsOfFile: file, encoding: .utf8).prefix { $0.isNumber }) else {
      throw BenchmarkError("\(file) holds no process id")
    }
    return pid
  }
}
