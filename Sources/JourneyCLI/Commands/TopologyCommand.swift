import AMQPClient
import ArgumentParser
import Journey
import JourneyConfiguration
import JourneyAMQP

/// `journey topology apply|verify|show|policy`
struct TopologyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "topology", abstract: "Manage the exchanges and queues that the adapter needs.",
    subcommands: [Apply.self, Verify.self, Show.self, Policy.self])

  struct Apply: Command {
    static let configuration = CommandConfiguration(
      abstract: "Create what is missing. Changes nothing that exists.",
      examples: [
        "journey topology apply",
        "journey topology apply --json",
      ])
    @OptionGroup var common: CommonOptions
    @OptionGroup var output: OutputOptions

    func execute() async throws {
      let settings = try await common.settings()
      let topology = settings.messagingNames.topology
      try await settings.withAdmin { admin in
        // All differences are reported before anything is created.
        try TopologyCommand.refuse(try await admin.verify(topology).filter { $0.difference != .missing })
        let changes = try await admin.declare(topology)
        if output.json {
          printJSON(
            changes.map { change -> JSONObject in
              [
                "kind": change.object.kind.rawValue, "name": change.object.name, "outcome": change.outcome.rawValue,
              ]
            })
        } else {
          for change in changes where change.outcome == .created { Output.line("created \(change.object)") }
          let created = changes.filter { $0.outcome == .created }.count
          let there = changes.filter { $0.outcome == .alreadyThere }.count
          Output.line("\(created) created, \(there) exist already, \(topology.bindings.count) bindings ensured")
          let old = try await admin.queuesOfEarlierVersions(settings.messagingNames)
          if !old.isEmpty {
            Output.line("of an earlier version, without a limit: \(old.joined(separator: ", ")); see \(Advice.policy)")
          }
        }
      }
    }
  }

  struct Verify: Command {
    static let configuration = CommandConfiguration(
      abstract: "Compare the broker with what is needed. Changes nothing.",
      discussion: "Does not compare bindings and policies: AMQP cannot read them.",
      examples: [
        "journey topology verify",
        "journey topology verify --json",
      ])
    @OptionGroup var common: CommonOptions
    @OptionGroup var output: OutputOptions

    func execute() async throws {
      let settings = try await common.settings()
      let topology = settings.messagingNames.topology
      try await settings.withAdmin { admin in
        let mismatches = try await admin.verify(topology)
        if output.json {
          printJSON(
            mismatches.map { mismatch -> JSONObject in
              [
                "kind": mismatch.object.kind.rawValue, "name": mismatch.object.name,
                "difference": mismatch.description,
              ]
            })
        }
        try TopologyCommand.refuse(mismatches)
        guard !output.json else { return }
        if let unknown = mismatches.first {
          Output.line("\(topology.exchanges.count) exchanges and \(topology.queues.count) queues exist; \(unknown)")
        } else {
          Output.line("\(topology.exchanges.count) exchanges and \(topology.queues.count) queues are as required")
        }
      }
    }
  }

  struct Show: Command {
    static let configuration = CommandConfiguration(
      abstract: "Print what is needed. Needs no server.",
      examples: [
        "journey topology show",
        "journey topology show --json",
      ])
    @OptionGroup var common: LocalOptions
    @OptionGroup var output: OutputOptions

    func execute() async throws {
      let topology = try await common.settings().messagingNames.topology
      if output.json { printJSON(topology.json) } else { show(topology) }
    }

    private func show(_ topology: Topology) {
      for exchange in topology.exchanges { Output.line("exchange \(exchange.name) (\(exchange.kind), durable)") }
      for queue in topology.queues {
        Output.line("queue \(queue.name)")
        for field in queue.arguments.fields { Output.line("  \(field.name) = \(field.value.text)") }
      }
      for binding in topology.bindings {
        Output.line("binding \(binding.exchange) -> \(binding.queue) (\(binding.routingKey))")
      }
    }
  }

  struct Policy: Command {
    static let configuration = CommandConfiguration(
      abstract: "Print the policies that give queues of earlier versions their limits. Needs no server.",
      discussion: """
        Each action queue gets a limit, a limit of deliveries, and journey.outcomes as the target of its dead letters. A new queue has them in \
        its arguments. Messages that wait there stay. Only one policy applies to a queue: add what another one of yours says. Where a queue has a \
        limit already, the lower one applies.

        With --json: definitions for rabbitmqctl import_definitions, or POST /api/definitions of the management API.
        """,
      examples: [
        "journey topology policy",
        "journey topology policy | sudo sh",
        "journey topology policy --json | sudo rabbitmqctl import_definitions",
      ])
    @OptionGroup var common: LocalOptions
    @OptionGroup var output: OutputOptions

    func execute() async throws {
      let settings = try await common.settings()
      let names = settings.messagingNames, virtualHost = settings.virtualHost
      if output.json { return printJSON(names.policyDefinitions(virtualHost: virtualHost)) }
      for policy in names.policies { Output.line(policy.command(virtualHost: virtualHost)) }
    }
  }

  /// Fails with one line if objects are missing, otherwise with a line per difference: what exists and what is needed.
  /// What the user may not compare is the owner's matter.
  static func refuse(_ mismatches: [TopologyMismatch]) throws {
    let mismatches = mismatches.filter { $0.difference != .notCompared }
    guard !mismatches.isEmpty else { return }
    guard mismatches.contains(where: { $0.difference != .missing }) else {
      throw Failure(
        .settings,
        "the broker lacks \(mismatches.map { "\($0.object)" }.joined(separator: ", "))",
        advice: "run: \(Advice.topology)")
    }
    let advice = """
      the arguments of an existing queue cannot be changed: drain and delete it, then run \(Advice.topology); or configure other names \
      (names.…)
      """
    throw Failure(.settings, mismatches.map(\.description).joined(separator: "\n"), advice: advice)
  }
}

/// Fails if the broker's user may not do all that `serve` does.
func requirePermissions(_ settings: JourneyConfiguration.Settings, _ admin: AMQPAdmin) async throws {
  let permissions = try settings.brokerPermissions()
  let problems = try await permissions.problems(admin)
  guard !problems.isEmpty else { return }
  throw Failure(
    .settings,
    "the broker's user lacks permissions:\n" + problems.joined(separator: "\n"),
    advice: "as the broker's administrator run: \(permissions.advice)")
}

extension AMQPAdmin {
  /// The queues that lack what a new one has in its arguments, as far as the user may compare them.
  func queuesOfEarlierVersions(_ names: MessagingNames) async throws -> [String] {
    try await verify(names.newTopology).compactMap {
      if case .argument = $0.difference { $0.object.name } else { nil }
    }
  }
}

extension Topology {
  fileprivate var json: JSONObject {
    [
      "exchanges": exchanges.map { ["name": $0.name, "type": $0.kind] as JSONObject },
      "queues": queues.map { queue -> JSONObject in
        [
          "name": queue.name,
          "arguments": JSONObject(queue.arguments.fields.map { ($0.name, $0.value.intValue ?? $0.value.text) }),
        ]
      },
      "bindings": bindings.map {
        ["exchange": $0.exchange, "queue": $0.queue, "routingKey": $0.routingKey] as JSONObject
      },
    ]
  }
}

extension FieldValue {
  fileprivate var text: String { stringValue ?? intValue.map { String($0) } ?? "\(self)" }
}
