import AMQPClient
import ConnectionThreads
import Journey
import Logging
import Synchronization

/// What becomes of rejected messages: a copy goes to a retry queue or to the dead letters.
extension IngestConsumer {
  func retryTier(of delivery: Delivery, _ reasons: [Rejection]) -> String? {
    settings.retry.tier(for: reasons, attempts: AttemptRecord(delivery.properties.headers).attempts)
  }

  /// Publishes copies to the retry queues and the dead letters, and acks each message after the confirm of its copy.
  func deadLetter(_ rejected: [RejectedDelivery], attempt: Int) {
    let now = clock.now()
    if attempt == 0 {
      for item in rejected where !item.isPostponed { log(item) }
      let postponed = rejected.count(where: \.isPostponed)
      // One line for all: during an outage there are many.
      if postponed > 0 {
        logger.info(
          "messages are postponed, to be retried later",
          metadata: .fields([.code: "postponed", .count: "\(postponed)"]))
      }
    }
    let messages = rejected.map { $0.message(settings, own, now) }
    deadLetters.publish(messages) { [self] outcomes in
      var settled: [Settlement] = []
      var copies = CopyCounts()
      var again: [RejectedDelivery] = []
      // Retries that cannot be published become dead letters at once, so that they do not hold up the queue.
      var dead: [RejectedDelivery] = []
      var last: PublishOutcome?
      let isCrowded = shared.state.withLock { $0.deadLettersUnderWay } > Int(settings.prefetch) / 4
      for (var item, outcome) in zip(rejected, outcomes) {
        switch item.next(after: outcome, isCrowded: isCrowded) {
        case .settle(let settlement):
          settled.append(settlement)
          copies.count(item, isConfirmed: outcome.isConfirmed)
        case .deadLetter:
          item.tier = nil
          dead.append(item)
        case .again:
          last = outcome
          again.append(item)
        }
      }
      shared.state.withLock { [copies] in $0.copies += copies }
      record(messages, outcomes)
      consumer.settle(settled)
      deadLettersEnded(settled.count)
      if !dead.isEmpty { deadLetter(dead, attempt: attempt + 1) }
      if let last { retry(again, attempt: attempt, because: last) }
    }
  }

  private func record(_ messages: [OutboundMessage], _ outcomes: [PublishOutcome]) {
    let (news, startsForgetting) = shared.state.withLock { state in
      let news = zip(messages, outcomes).compactMap { state.refusals.record($1, by: $0.exchange, now: .now) }
      report(state.refusals)
      let starts = !state.isForgetting && !state.refusals.isEmpty
      if starts { state.isForgetting = true }
      return (news, starts)
    }
    for reason in news { logger.error("\(reason)") }
    if startsForgetting { Task { await forgetRefusals() } }
  }

  private func report(_ refusals: CopyRefusals) {
    if let problem = refusals.problem { health.failed(.copies, problem) } else { health.succeeded(.copies) }
  }

  /// Refusals must expire: if nothing more is published to an exchange, no confirm clears them.
  private func forgetRefusals() async {
    while true {
      let next = shared.state.withLock { state in
        state.refusals.forget(now: .now)
        report(state.refusals)
        state.isForgetting = !state.refusals.isEmpty
        return state.refusals.nextForgotten
      }
      guard let next else { return }
      try? await Task.sleep(until: next, clock: .continuous)
    }
  }

  /// Logs the code and the mapping's name of the field, but no values and no names from the body: these may be personal
  /// data.
  private func log(_ item: RejectedDelivery) {
    let reason = item.reasons.first
    let field = reason?.code == .malformed && reason?.field?.hasPrefix("$") == true ? "body" : reason?.field
    let properties = item.delivery.properties
    logger.log(
      level: item.tier == nil ? .notice : .info, item.tier == nil ? "dead letter" : "retry later",
      metadata: .fields([
        .code: reason?.code.rawValue ?? "", .field: field, .routingKey: item.delivery.routingKey, .tier: item.tier,
        .messageID: properties.messageID?.asIdentifier,
        .deadLetter: properties.headers[JourneyHeader.deadLetter]?.stringValue?.asIdentifier,
      ]))
  }

  private func retry(_ rejected: [RejectedDelivery], attempt: Int, because outcome: PublishOutcome) {
    if attempt == 0 {
      logger.warning(
        "retries or dead letters cannot be published, trying again: \(outcome.explanation)",
        metadata: .fields([.code: "copies_refused", .count: "\(rejected.count)"]))
    }
    let isFinished = shared.state.withLock(\.isFinished), lost = lostGeneration
    // The broker redelivers messages of a lost connection, and they are rejected again.
    let open = isFinished ? [] : rejected.filter { $0.delivery.tag.generation > lost }
    if isFinished {
      shared.state.withLock { $0.requeued += rejected.count }
      consumer.settle(rejected.map { .nack($0.delivery.tag, requeue: true) })
    }
    deadLettersEnded(rejected.count - open.count)
    guard !open.isEmpty else { return }
    Task {
      try? await Task.sleep(for: .seconds(min(30, 1 << min(attempt, 5))))
      deadLetter(open, attempt: attempt + 1)
    }
  }

  func deadLettersEnded(_ count: Int) {
    let ended = shared.state.withLock { state in
      state.deadLettersUnderWay -= count
      return state.deadLettersUnderWay == 0 ? state.copiesEnded : nil
    }
    ended?.open()
  }
}
