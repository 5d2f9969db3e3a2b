import Journey
import PostgresClient
import FoundationEssentials

/// An event on its way into the table.
struct EventRow {
  /// The event's place in the batch.
  var index: Int
  var clientID: UUID
  var stage: StageMarks.Stage

  /// What makes events the same, in the order of the batch.
  static func keys(_ events: [StagedEvent]) -> PostgresParameters {
    PostgresParameters {
      $0.uuids(events) { $0.event.orgID }
      $0.texts(events) { $0.event.source }
      $0.texts(events) { $0.event.sourceEventID }
    }
  }

  static func parameters(_ rows: [EventRow], _ events: [StagedEvent]) -> PostgresParameters {
    PostgresParameters {
      $0.uuids(rows) { events[$0.index].id }
      $0.uuids(rows) { $0.clientID }
      $0.uuids(rows) { events[$0.index].event.orgID }
      $0.texts(rows) { $0.stage.known?.rawValue }
      $0.texts(rows) { events[$0.index].event.type }
      $0.jsonbs(rows) { events[$0.index].event.metadata }
      $0.timestamptzs(rows) { events[$0.index].event.occurredAt.microseconds }
      $0.texts(rows) { events[$0.index].event.source }
      $0.texts(rows) { events[$0.index].event.sourceEventID }
      $0.bools(rows) { events[$0.index].event.stage != nil }
      $0.texts(rows) { $0.stage.hint?.stage.rawValue }
      $0.timestamptzs(rows) { $0.stage.hint?.stamp.at.microseconds }
    }
  }
}

/// The stage-setting events that are known of a client, its state's newest and the batch's: what a row that does not set the stage takes its stage from.
struct StageMarks {
  /// The stage of a row: known, or to be looked for among the stored events after the hint.
  struct Stage {
    var known: Journey.Stage?
    var hint: ClientSummary.StageMark?
  }

  private let newest: ClientSummary.StageMark?
  private var batch: [ClientSummary.StageMark] = []

  init(_ newest: ClientSummary.StageMark?, _ events: some Sequence<JourneyEvent>) {
    self.newest = newest
    for event in events {
      if let stage = event.stage { batch.append(ClientSummary.StageMark(stamp: event.stamp, stage: stage)) }
    }
  }

  func stage(of event: JourneyEvent) -> Stage {
    if let stage = event.stage { return Stage(known: stage) }
    let hint = batch.filter { $0.stamp <= event.stamp }.max { $0.stamp < $1.stamp }
    // An event that comes late may lie between the newest mark of the state and earlier ones, which only the table knows.
    guard let newest, newest.stamp <= event.stamp else { return Stage(hint: hint) }
    return Stage(known: hint.map { $0.stamp < newest.stamp ? newest.stage : $0.stage } ?? newest.stage)
  }
}

extension JourneyEvent {
  /// The order of the unique key, by bytes as the database compares, the same in all instances. Of two events that are the same neither precedes.
  func precedes(_ other: JourneyEvent) -> Bool {
    if orgID != other.orgID { return orgID.precedesByBytes(other.orgID) }
    if !source.hasSameBytes(as: other.source) { return source.precedesByBytes(other.source) }
    return sourceEventID.precedesByBytes(other.sourceEventID)
  }
}
