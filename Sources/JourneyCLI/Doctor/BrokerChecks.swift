import AMQPClient
import JourneyAMQP
import JourneyConfiguration

/// The broker: its version, its queues and what its user may do there.
extension DiagnosticReport {
  /// - Returns: how the queues stood; nil if they cannot be seen.
  mutating func broker(_ settings: JourneyConfiguration.Settings) async -> QueueLook? {
    var version = ""
    let isReachable = await reach("broker", (.brokerUnreachable, .brokerRefuses), setting: "amqp.url (AMQP_URL)") {
      version = try await settings.withAdmin { try await $0.ping() }
      return version
    }
    guard isReachable else { return nil }
    add(KnownFaults.ofBroker(version, settings.messagingNames, virtualHost: settings.virtualHost), "broker version")
    await queues(settings)
    await permissions(settings)
    return try? await settings.withAdmin { try await QueueLook.take($0, settings.messagingNames) }
  }

  mutating func add(_ faults: [KnownFaults.Fault], _ subject: String) {
    for fault in faults { add(subject, fault.verdict, fault.code, fault.text, fault.advice) }
  }

  private mutating func queues(_ settings: JourneyConfiguration.Settings) async {
    var mismatches: [TopologyMismatch] = []
    let isRead = await check("queues", .queuesDiffer, advice: "run: journey topology verify") {
      mismatches = try await settings.withAdmin { try await $0.verify(settings.messagingNames.topology) }
      return "as required"
    }
    guard isRead, !mismatches.isEmpty else { return }
    removeLast()
    let isMissing = mismatches.allSatisfy { $0.difference == .missing }
    await check("queues", isMissing ? .queuesMissing : .queuesDiffer, advice: "") {
      try TopologyCommand.refuse(mismatches)
      return ""
    }
  }

  private mutating func permissions(_ settings: JourneyConfiguration.Settings) async {
    var alarm: String?
    let isPermitted = await check("permissions", .brokerPermissions, advice: "run: journey topology show") {
      try await settings.withAdmin {
        do { try await requirePermissions(settings, $0) } catch let error as AMQPError where error.code == .blocked {
          alarm = error.message
        }
      }
      return "all that serve needs"
    }
    // The check has passed without an answer about the permissions.
    guard let alarm, isPermitted else { return }
    removeLast()
    add(
      "permissions", .warning, .brokerAlarm, "not checked: the broker takes no messages for now (\(alarm))",
      "clear the broker's alarm, which rabbitmq-diagnostics alarms names, then run journey doctor again")
  }
}

extension JourneyConfiguration.Settings {
  var virtualHost: String { (try? broker("doctor"))?.virtualHost ?? "/" }
}
