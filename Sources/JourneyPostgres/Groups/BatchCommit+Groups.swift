import FoundationEssentials
import Journey
import PostgresClient

extension BatchCommit {
  func run(_ batch: EventBatch) throws(PostgresError) -> CommitResult {
    let reports = batch.events.indices.filter { batch.events[$0].report != nil }
    guard !reports.isEmpty else { return try choose(batch) }
    let reported = try record(reports, of: batch.events)
    var results = [CommitResult.Result](repeating: .duplicate, count: batch.events.count)
    for (index, result) in reported.results { results[index] = result }
    // Each event of the client's engagement is stored after its report, so that a crash in between repeats both. Its
    // message is none that a mapping could map again, so it is not kept.
    let others = batch.events.indices.filter { batch.events[$0].report == nil }
    let hasMessages = batch.messages.count == batch.events.count
    let stored = try choose(
      EventBatch(
        events: others.map { batch.events[$0] }, published: batch.published,
        messages: hasMessages ? others.map { batch.messages[$0] } : []))
    for (index, result) in zip(others, stored.results) { results[index] = result }
    guard !reported.events.isEmpty else {
      return CommitResult(results: results, outbox: stored.outbox, reportedKinds: reported.kinds)
    }
    var outbox = stored.outbox
    // One outbox batch is published at a time: events that lead to actions wait for the next commit if there are some.
    guard outbox == nil else {
      for (index, _) in reported.events { results[index] = .stateCreated }
      return CommitResult(results: results, outbox: outbox, reportedKinds: reported.kinds)
    }
    let engaged = try choose(EventBatch(events: reported.events.map(\.event)))
    for ((index, _), result) in zip(reported.events, engaged.results) { results[index] = result }
    outbox = engaged.outbox
    return CommitResult(results: results, outbox: outbox, reportedKinds: reported.kinds)
  }

  /// Commits events of clients and groups.
  private func choose(_ batch: EventBatch) throws(PostgresError) -> CommitResult {
    let events = batch.events
    guard !events.isEmpty || !batch.published.isEmpty else { return CommitResult(results: [], outbox: nil) }
    guard ReferenceChoice.isNeeded(events) else { return try store(batch) }
    let choice = try ReferenceChoice(events, groupEvents, on: connection)
    var results = [CommitResult.Result](repeating: .duplicate, count: events.count)
    for (index, rejection) in choice.rejected { results[index] = .rejected(rejection) }
    let hasMessages = batch.messages.count == events.count
    func part(_ events: [IncomingEvent], _ indices: [Int]) -> EventBatch {
      EventBatch(
        events: events, published: batch.published, messages: hasMessages ? indices.map { batch.messages[$0] } : [])
    }
    let kept = choice.kept.map { events[$0] }
    for (index, result) in zip(choice.kept, try keep(part(kept, choice.kept))) { results[index] = result }
    let stored = try store(part(choice.chosen.map(\.event), choice.chosen.map(\.index)))
    for ((index, _), result) in zip(choice.chosen, stored.results) { results[index] = result }
    // At once if there is progress that they may wait for.
    let hasProgress = stored.results.contains {
      switch $0 {
      case .stored, .stateCreated: true
      case .duplicate, .rejected, .locked: false
      }
    }
    for index in choice.later { results[index] = hasProgress ? .stateCreated : .locked }
    return CommitResult(results: results, outbox: stored.outbox)
  }

  /// Keeps events that nobody gets for their groups. Their raw bodies are part of the same transaction.
  private func keep(_ batch: EventBatch) throws(PostgresError) -> [CommitResult.Result] {
    let events = batch.events
    guard !events.isEmpty else { return [] }
    func groups(_ parameters: inout PostgresParameters) {
      parameters.uuids(events) { $0.event.orgID }
      parameters.texts(events) { $0.event.source }
      parameters.texts(events) { $0.event.client.group }
    }
    let keys = PostgresParameters { groups(&$0) }
    let rows = PostgresParameters {
      groups(&$0)
      $0.texts(events) { $0.event.sourceEventID }
      $0.uuids(events) { $0.id }
      $0.texts(events) { $0.event.type }
      $0.texts(events) { $0.event.stage?.rawValue }
      $0.timestamptzs(events) { $0.event.occurredAt.microseconds }
      $0.jsonbs(events) { $0.event.metadata }
      $0.jsonbs(events) { Self.list($0.event.client.linked) }
      $0.texts(events) { $0.event.minStage?.rawValue }
      $0.texts(events) { $0.event.actor?.rawValue }
      $0.bool(groupEvents == .owner)
      $0.bools(events) { $0.isBackfill }
    }
    let answer = try connection.pipeline([
      (.begin, PostgresParameters()), (GroupStatements.add, keys), (GroupStatements.lock, keys),
      (GroupStatements.keep, rows),
    ])[3]
    let results = try keptResults(of: events, answer)
    _ = try connection.pipeline(rawBatch(of: batch, results) + [(.commit, PostgresParameters())])
    return results
  }

  /// - Parameter answer: of the statement that keeps the events.
  private func keptResults(
    of events: [IncomingEvent], _ answer: PostgresResult
  ) throws(PostgresError) -> [CommitResult.Result] {
    var seen: Set<[String]> = []
    var results: [CommitResult.Result] = []
    for (row, event) in events.lazy.map(\.event).enumerated() {
      let isFirst = seen.insert([event.orgID.text, event.source, event.sourceEventID]).inserted
      if try !answer.bool(row, 0) {
        let rejection = Rejection(
          .unknownOrganization, field: "organization", value: event.orgID.text, "there is no such organisation")
        results.append(.rejected(rejection))
      } else if try !answer.bool(row, 1) {
        results.append(.locked)
      } else if try answer.bool(row, 2) || !isFirst {
        results.append(.duplicate)
      } else {
        // Somebody has joined the group or become its owner meanwhile.
        results.append(try answer.bool(row, 3) ? .stateCreated : .stored)
      }
    }
    return results
  }

  private static func list(_ texts: [String]) -> [UInt8] {
    var writer = JSONWriter()
    writer.beginArray()
    for text in texts { writer.string(text) }
    writer.endArray()
    return writer.bytes
  }

  /// The statement that adds the clients of new events to the groups that the events name; nil if they name none.
  static func joining(_ events: [IncomingEvent], _ new: [Int], _ rows: [EventRow?]) -> (
    PostgresStatement, PostgresParameters
  )? {
    let members = new.filter { events[$0].event.client.group != nil }
    guard !members.isEmpty else { return nil }
    let parameters = PostgresParameters {
      $0.uuids(members) { events[$0].event.orgID }
      $0.texts(members) { events[$0].event.source }
      $0.texts(members) { events[$0].event.client.group }
      $0.uuids(members) { rows[$0].map { $0.originID ?? $0.clientID } }
    }
    return (GroupStatements.join, parameters)
  }
}
