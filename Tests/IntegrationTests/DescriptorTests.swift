import Foundation
import Glibc
import TestServers
import Testing

@testable import TestSupport

/// A process that runs out of file descriptors continues, logs it once, and does not use the CPU in a loop.
@Suite struct DescriptorTests {
  private func connect(_ address: String) throws -> Int32 {
    let port = try #require(UInt16(address.split(separator: ":").last ?? ""))
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var place = sockaddr_in()
    place.sin_family = sa_family_t(AF_INET)
    place.sin_port = port.bigEndian
    place.sin_addr.s_addr = inet_addr("127.0.0.1")
    let isConnected = withUnsafePointer(to: &place) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
      }
    }
    try #require(isConnected)
    return descriptor
  }

  /// Hundredths of a second.
  private func processorTime(_ program: ChildProcess) throws -> Int {
    let fields = try String(contentsOfFile: "/proc/\(program.id)/stat", encoding: .utf8).split(separator: " ")
    return (Int(fields[13]) ?? 0) + (Int(fields[14]) ?? 0)
  }

  private func limit(_ program: ChildProcess, to count: Int) throws {
    let process = try Process.run(
      URL(fileURLWithPath: "/usr/bin/prlimit"), arguments: ["--pid", "\(program.id)", "--nofile=\(count):4096"])
    process.waitUntilExit()
    try #require(process.terminationStatus == 0)
  }

  /// The limit is lowered to the open descriptors while API connections arrive and server connections are lost.
  @Test func aProcessWithoutAFreeDescriptorLivesOnWithoutSpinning() async throws {
    try await APIEnvironment.with(["DEAD_LETTERS_ARCHIVE": "false", "API_CONNECTIONS_PER_ADDRESS": "200"]) { api in
      let program = api.program
      // Descriptors that only the start needs are closed by then.
      #expect(try await api.get("/ready", nil).status == 200)
      var lowest = 0
      while access("/proc/\(program.id)/fd/\(lowest)", F_OK) == 0 { lowest += 1 }
      try limit(program, to: lowest)
      var open: [Int32] = []
      defer { for descriptor in open { close(descriptor) } }
      for _ in 0..<80 { open.append(try connect(api.address)) }
      try await eventually("a word about it", state: { program.standardError }) {
        program.standardError.contains("few file descriptors are left")
      }
      let before = try processorTime(program)
      try await api.environment.servers.erlang(
        "[rabbit_networking:close_connection(P, \"test\") || P <- rabbit_networking:local_connections(), "
          + "rabbit_reader:info(P, [vhost]) =:= [{vhost, <<\"\(api.environment.vhost)\">>}]]")
      try await eventually("consuming again", state: { program.standardError }) {
        program.standardError.contains("generation=2")
      }
      try await Task.sleep(for: .seconds(5))
      #expect(program.ending == nil, "\(program.standardError)")
      #expect(try processorTime(program) - before < 300, "it spins")
      #expect(program.standardError.components(separatedBy: "few file descriptors are left").count == 2, "said once")
      for descriptor in open { close(descriptor) }
      open = []
      try limit(program, to: 1024)
      try await eventually("enough again", state: { program.standardError }) {
        program.standardError.contains("enough file descriptors again")
      }
      #expect(try await api.get("/ready", nil).status == 200)
    }
  }

  @Test func aLimitThatIsTooLowIsSaidAtTheStart() async throws {
    try await TestEnvironment.with { environment in
      let command = "ulimit -n 60; exec '\(Repository.binary)' serve --config '\(Profile.defaultProfile.configuration)'"
      let environment = [
        "AMQP_URL": environment.logins.amqpURL, "DATABASE_URL": environment.logins.databaseURL, "PATH": "/usr/bin:/bin",
        "API_PORT": "0",
      ]
      let child = try ChildProcess.start(
        "/bin/bash", ["-c", command], environment: environment, directory: Repository.root)
      #expect(await child.ended(within: .seconds(30)) == .exited(78), "\(child.standardError)")
      #expect(child.standardError.contains("may open 60 files"), "\(child.standardError)")
    }
  }
}
