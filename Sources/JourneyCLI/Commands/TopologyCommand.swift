import AMQPClient
import ArgumentParser
import Journey
import JourneyConfiguration
import JourneyAMQP

/// `journey topology apply|verify|show`
struct TopologyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "topology", abstract: "The exchanges and queues that the adapter needs.",
    subcommands: [Apply.self, Verify.self, Show.self])

  struct Apply: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Create what is missing. Changes nothing that is there.")
    @OptionGroup var common: CommonOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
      try await withExitStatus {
        let settings = try await common.settings()
        let topology = settings.messagingNames.topology
        try await withAdmin(settings) { admin in
          // Differences are told all at once, before anything is created.
          try TopologyCommand.refuse(try await admin.verify(topology).filter { $0.difference != .missing })
          let changes = try await admin.declare(topology)
          if output.json {
            printJSON { json in
              json.beginArray()
              for change in changes {
                json.beginObject()
                json.member("kind", change.object.kind.rawValue)
                json.member("name", change.object.name)
                json.member("outcome", change.outcome.rawValue)
                json.endObject()
              }
              json.endArray()
            }
          } else {
            for change in changes where change.outcome == .created { Output.line("created \(change.object)") }
            let created = changes.filter { $0.outcome == .created }.count
            let there = changes.filter { $0.outcome == .alreadyThere }.count
            Output.line("\(created) created, \(there) there already, \(topology.bindings.count) bindings ensured")
          }
        }
      }
    }
  }

  struct Verify: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Compare the broker with what is needed. Changes nothing.",
      discussion: "Bindings and policies cannot be read over AMQP and are not compared.")
    @OptionGroup var common: CommonOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
      try await withExitStatus {
        let settings = try await common.settings()
        let topology = settings.messagingNames.topology
        try await withAdmin(settings) { admin in
          let mismatches = try await admin.verify(topology)
          if output.json {
            printJSON { json in
              json.beginArray()
              for mismatch in mismatches {
                json.beginObject()
                json.member("kind", mismatch.object.kind.rawValue)
                json.member("name", mismatch.object.name)
                json.member("difference", mismatch.description)
                json.endObject()
              }
              json.endArray()
            }
          }
          try TopologyCommand.refuse(mismatches)
          if !output.json {
            Output.line(
              "\(topology.exchanges.count) exchanges and \(topology.queues.count) queues are as they have to be")
          }
        }
      }
    }
  }

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Print what is needed. Asks no server.")
    @OptionGroup var common: CommonOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
      try await withExitStatus {
        let topology = try await common.settings().messagingNames.topology
        if output.json { printJSON { write(topology, into: &$0) } } else { show(topology) }
      }
    }

    private func show(_ topology: Topology) {
      for exchange in topology.exchanges { Output.line("exchange \(exchange.name) (\(exchange.kind), durable)") }
      for queue in topology.queues {
        Output.line("queue \(queue.name)")
        for field in queue.arguments.fields { Output.line("  \(field.name) = \(text(field.value))") }
      }
      for binding in topology.bindings {
        Output.line("binding \(binding.exchange) -> \(binding.queue) (\(binding.routingKey))")
      }
    }

    private func write(_ topology: Topology, into json: inout JSONWriter) {
      json.beginObject()
      json.key("exchanges")
      json.beginArray()
      for exchange in topology.exchanges {
        json.beginObject()
        json.member("name", exchange.name)
        json.member("type", exchange.kind)
        json.endObject()
      }
      json.endArray()
      json.key("queues")
      json.beginArray()
      for queue in topology.queues {
        json.beginObject()
        json.member("name", queue.name)
        json.key("arguments")
        json.beginObject()
        for field in queue.arguments.fields {
          json.key(field.name)
          if let number = field.value.intValue { json.int(number) } else { json.string(text(field.value)) }
        }
        json.endObject()
        json.endObject()
      }
      json.endArray()
      json.key("bindings")
      json.beginArray()
      for binding in topology.bindings {
        json.beginObject()
        json.member("exchange", binding.exchange)
        json.member("queue", binding.queue)
        json.member("routingKey", binding.routingKey)
        json.endObject()
      }
      json.endArray()
      json.endObject()
    }

    private func text(_ value: FieldValue) -> String {
      value.stringValue ?? value.intValue.map { String($0) } ?? "\(value)"
    }
  }

  /// Fails with what is missing in one line, else with a line a difference that names what is there and what is wanted.
  static func refuse(_ mismatches: [TopologyMismatch]) throws {
    guard !mismatches.isEmpty else { return }
    guard mismatches.contains(where: { $0.difference != .missing }) else {
      throw Failure(
        .settings,
        "the broker lacks \(mismatches.map { "\($0.object)" }.joined(separator: ", ")); run: journey topology apply")
    }
    let advice = """
      an argument cannot be changed on a living queue: drain and delete it, then run journey topology apply; or give the adapter other names \
      (names.…)
      """
    throw Failure(.settings, mismatches.map(\.description).joined(separator: "\n") + "\n" + advice)
  }
}

func withAdmin(_ settings: JourneyConfiguration.Settings, _ body: (AMQPAdmin) async throws -> Void) async throws {
  let admin = AMQPAdmin(settings: try settings.broker("topology"))
  do {
    try await body(admin)
  } catch {
    await admin.close()
    throw error
  }
  await admin.close()
}

/// Fails where the broker does not let the adapter's user do what `serve` does.
func requirePermissions(_ settings: JourneyConfiguration.Settings, _ admin: AMQPAdmin) async throws {
  let permissions = BrokerPermissions(
    settings.messagingNames, of: try settings.broker("topology"), archivesDeadLetters: settings.archivesDeadLetters,
    takesEvents: settings.api.isEnabled)
  let problems = try await permissions.problems(admin)
  guard !problems.isEmpty else { return }
  throw Failure(
    .settings,
    "the broker's user lacks permissions:\n" + problems.joined(separator: "\n") + "\nrun: \(permissions.advice)")
}

func printJSON(_ write: (inout JSONWriter) -> Void) {
  var json = JSONWriter()
  write(&json)
  Output.json(String(decoding: json.bytes, as: UTF8.self))
}
