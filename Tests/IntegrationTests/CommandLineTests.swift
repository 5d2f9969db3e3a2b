import Foundation
import TestServers
import Testing

@testable import TestSupport

/// How the command line answers what it cannot do: suggestions, JSON, colours. Without servers.
@Suite struct CommandLineTests {
  private func run(_ arguments: [String], _ environment: [String: String] = [:], input: String = "") async throws
    -> TestEnvironment.Finished
  {
    let all = ["PATH": "/usr/bin:/bin", "HOME": NSTemporaryDirectory()].merging(environment) { $1 }
    let child = try ChildProcess.start(
      Repository.binary, arguments, environment: all, directory: Repository.root, input: Array(input.utf8))
    guard case .exited(let status)? = await child.ended(within: .seconds(60)) else {
      throw Timeout(description: "journey \(arguments) did not end: \(child.standardError)")
    }
    return .init(status: status, output: child.standardOutput, errors: child.standardError)
  }

  private func error(_ finished: TestEnvironment.Finished) throws -> (status: Int, message: String, advice: String?) {
    let last = try #require(finished.errors.split(separator: "\n").last)
    let object = try JSONSerialization.jsonObject(with: Data(last.utf8)) as? [String: Any]
    let error = try #require(object?["error"] as? [String: Any], "\(finished)")
    return (
      try #require(error["status"] as? Int), try #require(error["message"] as? String), error["advice"] as? String
    )
  }

  private static let servers = [
    "AMQP_URL": "amqp://nobody:nothing@127.0.0.1:1/", "DATABASE_URL": "postgresql://nobody:nothing@127.0.0.1:1/x",
  ]

  @Test(arguments: [
    (["sevre"], "journey has no command sevre; did you mean serve?"),
    (["dlq", "lsit"], "journey dlq has no command lsit; did you mean list?"),
    (["identity", "group", "ower"], "journey identity group has no command ower; did you mean owner?"),
    (["bogus"], "journey has no command bogus; known: serve, "),
  ])
  func anUnknownCommandNamesTheNearest(_ arguments: [String], _ words: String) async throws {
    let refused = try await run(arguments)
    #expect(
      refused.status == 64 && refused.output.isEmpty && refused.errors.hasPrefix("journey: \(words)"), "\(refused)")
  }

  @Test func anUnknownSourceNamesTheNearest() async throws {
    for arguments in [
      ["map", "-", "--source", "strpe"], ["mappings", "test", "strpe"], ["mappings", "describe", "strpe"],
      ["publish", "-", "--source", "strpe"], ["mappings", "coverage", "docs", "--source", "strpe"],
    ] {
      let refused = try await run(arguments, Self.servers, input: "{}")
      #expect([65, 78].contains(refused.status), "\(refused)")
      #expect(refused.errors.contains("strpe; did you mean stripe?"), "\(refused)")
    }
  }

  /// The broker is not reachable: what is refused is refused before anything is sent.
  @Test func bodiesThatWouldBeDeadLettersAreNotPublished() async throws {
    let org = ["--org", "11111111-2222-4333-8444-555555555555"]
    let body = try String(
      contentsOfFile: Repository.root + "/Tests/JourneyConfigurationTests/Bodies/stripe.txt", encoding: .utf8)
    let first = try #require(body.split(separator: "\n").first { $0.contains(#""type":"invoice.payment_failed""#) })
    func publish(_ options: [String]) async throws -> TestEnvironment.Finished {
      try await run(["publish", "-", "--timeout", "0"] + options, Self.servers, input: String(first))
    }
    let unknown = try await publish(["--source", "nosuch"] + org)
    #expect(unknown.status == 65 && unknown.errors.contains("--force"), "\(unknown)")
    let ownerless = try await publish(["--source", "stripe"])
    #expect(ownerless.status == 65 && ownerless.errors.contains("--org"), "\(ownerless)")
    #expect(try await publish(["--source", "stripe"] + org).status == 69)
    for forced in [["--source", "nosuch"] + org, ["--source", "stripe"]] {
      #expect(try await publish(forced + ["--force"]).status == 69)
    }
  }

  @Test func aMisspeltVariableIsAnErrorOfEveryCommand() async throws {
    let environment = Self.servers.merging(["PIPELINE_BATCHSIZE": "9"]) { $1 }
    for arguments in [
      ["serve"], ["doctor"], ["migrate"], ["dlq", "list"], ["mappings", "check"], ["topology", "show"],
    ] {
      let refused = try await run(arguments, environment)
      #expect(
        refused.status == 78
          && (refused.output + refused.errors).contains("did you mean PIPELINE_BATCH_SIZE?"), "\(arguments): \(refused)"
      )
    }
    let others = ["DATABASE_HOST": "db", "API_SERVICE_HOST": "10.0.0.1", "API_PORT": "tcp://10.0.0.1:80"]
    #expect(try await run(["topology", "show"], Self.servers.merging(others) { $1 }).status == 0)
  }

  @Test func withJSONAnErrorIsOneObject() async throws {
    let usage = try error(try await run(["dlq", "list", "--limt", "5", "--json"]))
    #expect(usage.status == 64 && usage.message.contains("--limt"))
    let command = try error(try await run(["dlq", "lsit", "--json"]))
    #expect(command.status == 64 && command.message.contains("did you mean list?") && command.advice != nil)
    let settings = try await run(["topology", "show", "--json"], ["LOG_LEVEL": "wraning"])
    let found = try error(settings)
    #expect(found.status == 78 && found.message.contains("did you mean warning?") && settings.output.isEmpty)
    let unavailable = try await run(["dlq", "stats", "--json"], Self.servers)
    #expect(try error(unavailable).status == 69 && unavailable.status == 69)
    #expect(unavailable.output.isEmpty && !unavailable.errors.contains("nothing"))
  }

  @Test func coloursAreForTerminalsAlone() async throws {
    let piped = try await run(["doctor"], Self.servers)
    #expect(!(piped.output + piped.errors).contains("\u{1B}"))
    let forced = try await run(["doctor"], Self.servers.merging(["CLICOLOR_FORCE": "1"]) { $1 })
    #expect(forced.output.contains("\u{1B}[32mok") && forced.output.contains("\u{1B}[31mFAILED"), "\(forced.output)")
    let refused = try await run(["dlq", "lsit"], ["CLICOLOR_FORCE": "1"])
    #expect(refused.errors.hasPrefix("\u{1B}[31mjourney:\u{1B}[0m "), "\(refused.errors)")
    let without = try await run(["doctor"], Self.servers.merging(["CLICOLOR_FORCE": "1", "NO_COLOR": "1"]) { $1 })
    #expect(!without.output.contains("\u{1B}"))
  }

  @Test(arguments: [60, 100]) func wordsAreNotBrokenInANarrowTerminal(_ columns: Int) async throws {
    for arguments in ["doctor", "dlq replay --help", "dlq list"] {
      let terminal = try ChildProcess.start(
        "/usr/bin/script",
        ["--quiet", "--command", "stty columns \(columns); exec \(Repository.binary) \(arguments)", "/dev/null"],
        environment: Self.servers.merging(["PATH": "/usr/bin:/bin", "NO_COLOR": "1"]) { $1 },
        directory: Repository.root)
      _ = try #require(await terminal.ended(within: .seconds(60)))
      let lines = terminal.standardOutput.split(whereSeparator: \.isNewline)
      #expect(lines.count > 1 && lines.allSatisfy { $0.count <= columns }, "\(terminal.standardOutput)")
    }
  }

  /// Every command says how it is used: its help holds examples.
  @Test func everyCommandHasExamples() async throws {
    func visit(_ path: [String]) async throws {
      let help = try await run(path + ["--help"])
      #expect(help.status == 0)
      let lines = help.output.split(separator: "\n")
      let commands = lines.drop { !$0.hasPrefix("SUBCOMMANDS:") }.dropFirst()
      guard !commands.isEmpty else {
        let examples = lines.drop { $0 != "Examples:" }.dropFirst().prefix { $0.hasPrefix("  ") }
        #expect(examples.contains { $0.contains("journey \(path.joined(separator: " "))") }, "\(path): \(help.output)")
        return
      }
      // A name is indented by two blanks, the text beside it further; the last line says how to get help.
      let names = commands.filter { $0.hasPrefix("  ") && !$0.hasPrefix("   ") && !$0.hasPrefix("  See") }
        .compactMap { $0.split(separator: " ").first }
      #expect(!names.isEmpty)
      for name in names { try await visit(path + [String(name)]) }
    }
    try await visit([])
  }
}
