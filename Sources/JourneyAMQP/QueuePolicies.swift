public import AMQPClient
public import Journey

/// A policy of the broker that gives one queue of an earlier version what a new queue has in its arguments, which cannot
/// be changed. Where a queue has both, its arguments win; of two limits the lower one.
public struct QueuePolicy: Sendable {
  /// Of the queue; the policy has the same.
  public let name: String
  /// A regular expression that matches the queue alone.
  public let pattern: String
  let definition: FieldTable

  /// Only one policy applies to a queue: this one, rather than a general one without a priority.
  static let priority = 10

  /// The names of what the queue has neither in its arguments nor by a policy, in their order. A limit may have any
  /// value.
  ///
  /// - Parameter value: of the queue; the argument if it has both.
  public func lacks(_ value: (String) -> String?) -> [String] {
    definition.fields.filter { field in
      let actual = value(field.name)
      return field.value.intValue == nil ? actual != field.value.stringValue : actual == nil
    }.map(\.name)
  }

  public var json: JSONObject {
    JSONObject(
      definition.fields.map { ($0.name, $0.value.intValue.map { $0 as any Encodable } ?? $0.value.stringValue) })
  }

  /// For a shell.
  public func command(virtualHost: String) -> String {
    let definition = String(decoding: encodeJSON(json), as: UTF8.self)
    return
      "rabbitmqctl set_policy -p '\(virtualHost)' --priority \(Self.priority) --apply-to queues '\(name)' '\(pattern)' '\(definition)'"
  }
}

extension MessagingNames {
  /// One for each queue that earlier versions declared without a limit or a dead-letter target.
  public var policies: [QueuePolicy] {
    let concerned = Set(
      queues.filter {
        switch $0.contents {
        case .actions, .outcomes: true
        case .events, .retries, .deadLetters: false
        }
      }.map(\.name))
    return topology.queues.filter { concerned.contains($0.name) }.map { queue in
      let definition = queue.arguments.fields.filter { $0.name != "x-queue-type" }.map {
        FieldTable.Field(String($0.name.dropFirst(2)), $0.value)
      }
      return QueuePolicy(name: queue.name, pattern: Topology.pattern([queue.name]), definition: FieldTable(definition))
    }
  }

  /// Definitions for `rabbitmqctl import_definitions`, or `POST /api/definitions` of the management API.
  public func policyDefinitions(virtualHost: String) -> JSONObject {
    [
      "policies": policies.map { policy -> JSONObject in
        [
          "vhost": virtualHost, "name": policy.name, "pattern": policy.pattern, "apply-to": "queues",
          "priority": QueuePolicy.priority, "definition": policy.json,
        ]
      }
    ]
  }

  /// As a new broker would have them: without what is accepted of earlier versions.
  public var newTopology: Topology {
    var result = topology
    result.exchanges = []
    result.queues = result.queues.filter { queue in policies.contains { $0.name == queue.name } }
    for index in result.queues.indices { result.queues[index].acceptedArguments = [] }
    return result
  }
}
