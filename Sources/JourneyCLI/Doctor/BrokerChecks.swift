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
    var look: QueueLook?
    var refusal: AMQPError?
    do {
      look = try await settings.withAdmin { try await QueueLook.take($0, settings.messagingNames) }
    } catch let error as AMQPError where error.code == .accessRefused {
      refusal = error
    } catch {
      // A broker that has gone meanwhile fails the checks that follow.
    }
    await queues(settings, areSeen: refusal == nil)
    await limits(settings)
    await permissions(settings)
    if let refusal { hiddenQueues(settings, refusal, version) }
    return look
  }

  /// RabbitMQ 4.2.6 and 4.3.0 show queues only to users who may configure them; later versions want any permission.
  private mutating func hiddenQueues(
    _ settings: JourneyConfiguration.Settings, _ refusal: AMQPError, _ version: String
  ) {
    let permissions = (try? settings.brokerPermissions())?.advice
    let wantsConfigure = ["RabbitMQ 4.2.6", "RabbitMQ 4.3.0"].contains(version)
    add(
      "backlog", .failure, .brokerPermissions, "the depth of the queues cannot be seen: \(refusal.message)",
      wantsConfigure
        ? "upgrade RabbitMQ: 4.2.6 and 4.3.0 show it only to users who may configure the queues, later versions do not"
        : permissions.map { "as the broker's administrator run: \($0)" })
  }

  mutating func add(_ faults: [KnownFaults.Fault], _ subject: String) {
    for fault in faults { add(subject, fault.verdict, fault.code, fault.text, fault.advice) }
  }

  /// - Parameter areSeen: whether the broker shows this user which queues exist.
  private mutating func queues(_ settings: JourneyConfiguration.Settings, areSeen: Bool) async {
    var mismatches: [TopologyMismatch] = []
    let isRead = await check("queues", .queuesDiffer, advice: "run: \(Advice.verifyTopology)") {
      mismatches = try await settings.withAdmin { try await $0.verify(settings.messagingNames.topology) }
      return "as required"
    }
    guard isRead, !mismatches.isEmpty else { return }
    removeLast()
    let found = mismatches.filter { $0.difference != .notCompared }
    guard !found.isEmpty else {
      let text =
        areSeen
        ? "all exist; their arguments are not compared for this user" : "not compared: this user does not see them"
      return add("queues", .ok, .ok, "\(text) (as the owner: \(Advice.verifyTopology))")
    }
    let isMissing = found.allSatisfy { $0.difference == .missing }
    await check("queues", isMissing ? .queuesMissing : .queuesDiffer, advice: "") {
      try TopologyCommand.refuse(found)
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
  func brokerPermissions() throws -> BrokerPermissions {
    BrokerPermissions(
      messagingNames, of: try broker("topology"), archivesDeadLetters: archivesDeadLetters,
      listsHuman: actions.listsHuman, takesEvents: api.isEnabled, publishesChanges: actions.publishesChanges)
  }

  var virtualHost: String { (try? broker("doctor"))?.virtualHost ?? "/" }
}
