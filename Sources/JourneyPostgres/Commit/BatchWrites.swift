import FoundationEssentials
import Journey
import PostgresClient

/// The rows that result from a batch's evaluations, collected as columns, the format in which they are sent.
struct BatchWrites: ~Copyable {
  let decider: Decider
  let instance: Int32
  let outboxID: UUID
  private(set) var messages: [ActionMessage] = []
  private var scores: ScoreColumns
  private var states: StateColumns
  private var changes = ActionChangeColumns()
  private var clientChanges = ClientChangeColumns()
  /// The clients of which nothing was decided: what is to be decided again stays so.
  private var undecided: [UUID] = []
  /// Those of them whose history was loaded: if they were due, they are still to be decided.
  private var loaded: [UUID] = []
  /// The clients whose state is updated without a new score.
  private var unscored: [UUID] = []
  private var random: IDRandom
  private var json = JSONWriter(reservingCapacity: 1024)

  /// - Parameter clients, events: expected counts.
  init(decider: Decider, instance: Int32, random: IDRandom, at now: Timestamp, clients: Int, events: Int) {
    self.decider = decider
    self.instance = instance
    self.random = random
    scores = ScoreColumns(rows: events)
    states = StateColumns(rows: clients)
    messages.reserveCapacity(events)
    outboxID = UUID.v7(at: now, using: &self.random)
  }

  /// Adds a client after its evaluations. Clients must come ordered by id.
  mutating func add(_ client: ClientSnapshot, _ evaluations: [Evaluation]) {
    guard let last = evaluations.last else { return }
    states.add(client, last, under: decider.fingerprint)
    changes.add(client)
    if !last.isDecided {
      undecided.append(client.id)
      if case .event = last.cause { loaded.append(client.id) }
    }
    follow(client, last)
    for evaluation in evaluations { add(client, evaluation) }
  }

  /// Updates the state only: the outcome equals the stored one, so no score is added.
  mutating func add(unscored client: ClientSnapshot, _ evaluation: Evaluation) {
    states.add(client, evaluation, under: decider.fingerprint)
    changes.add(client)
    follow(client, evaluation)
    unscored.append(client.id)
    undecided.append(client.id)
  }

  private mutating func follow(_ client: ClientSnapshot, _ last: Evaluation) {
    guard decider.followsChanges else { return }
    clientChanges.add(client, last, id: UUID.v7(at: last.at, using: &random))
  }

  /// Where among `commands` the changes of clients are recorded; nil: nowhere.
  var changesPosition: Int? { clientChanges.isEmpty ? nil : 1 }

  private mutating func add(_ client: ClientSnapshot, _ evaluation: Evaluation) {
    let recommended = Self.text(&json) { evaluation.assessment.writeRecommendedActions(into: &$0) }
    let risks = Self.text(&json) { evaluation.assessment.writeRisks(into: &$0) }
    let version = decider.rules.version
    json.removeAll()
    evaluation.writeExplanation(ruleVersion: version, risks: risks, into: &json)
    let action = decider.rules.action(of: evaluation, for: client, risks: risks, recommended: recommended)
    scores.add(client, evaluation, action, recommended: recommended, explanation: json)
    if let action { messages.append(decider.message(action)) }
  }

  private static func text(_ json: inout JSONWriter, _ write: (inout JSONWriter) -> Void) -> [UInt8] {
    json.removeAll()
    write(&json)
    return json.bytes
  }

  /// - Parameter published: outbox batches that the broker has confirmed since the last commit.
  func commands(published: [UUID]) -> [(PostgresStatement, PostgresParameters)] {
    var commands: [(PostgresStatement, PostgresParameters)] = []
    if !states.isEmpty {
      commands.append((CommitStatements.insertScores, scores.parameters(outboxID: outboxID)))
      // Before the states are written: what differs from them has changed.
      if !clientChanges.isEmpty {
        commands.append((ClientChangeStatements.record, clientChanges.parameters(outboxID: outboxID)))
      }
      if undecided.isEmpty {
        commands.append((CommitStatements.updateStates, states.parameters))
      } else {
        var parameters = states.parameters
        parameters.uuids(unscored)
        parameters.uuids(undecided)
        parameters.uuids(loaded)
        commands.append((CommitStatements.updateStatesAlone, parameters))
      }
    }
    if !changes.isEmpty { commands.append((ActionStatements.close, changes.parameters)) }
    if !clientChanges.isEmpty {
      commands.append((ClientChangeStatements.insertOutbox, outboxParameters))
    } else if !messages.isEmpty {
      commands.append((CommitStatements.insertOutbox, outboxParameters))
    }
    if !published.isEmpty {
      commands.append((CommitStatements.markPublished, PostgresParameters { $0.uuids(published) }))
    }
    return commands
  }

  // Empty parameters, for `CommitCheck`.
  static var noScores: PostgresParameters { ScoreColumns(rows: 0).parameters(outboxID: UUID()) }
  static var noStates: PostgresParameters { StateColumns(rows: 0).parameters }
  static var noStatesAlone: PostgresParameters {
    var parameters = noStates
    for _ in 0..<3 { parameters.uuids([UUID]()) }
    return parameters
  }

  private var outboxParameters: PostgresParameters {
    PostgresParameters {
      $0.uuid(outboxID)
      $0.int4(Int32(messages.count))
      $0.int4(instance)
    }
  }
}

private struct StateColumns {
  private var ids, summaries, actionHistories, stages, scores, levels, risks, lastEvents, evaluations, dues,
    stageTimes: PostgresColumn

  init(rows: Int) {
    ids = .uuids(rows)
    summaries = .byteas(rows, size: 512)
    actionHistories = .byteas(rows)
    stages = .texts(rows)
    scores = .float8s(rows)
    levels = .texts(rows)
    risks = .texts(rows, size: 32)
    lastEvents = .timestamptzs(rows)
    evaluations = .timestamptzs(rows)
    dues = .timestamptzs(rows)
    stageTimes = .timestamptzs(rows)
  }

  var isEmpty: Bool { ids.count == 0 }

  mutating func add(_ client: ClientSnapshot, _ last: Evaluation, under fingerprint: UInt64) {
    ids.append(client.id)
    summaries.append(client.summary.encoded(under: fingerprint))
    actionHistories.append(client.actionHistory.encoded())
    stages.append(last.assessment.stage.rawValue)
    scores.append(last.assessment.score)
    levels.append(last.assessment.level.rawValue)
    risks.append(last.assessment.risks.map(\.risk.rawValue).joined(separator: ","))
    lastEvents.append(microseconds: client.summary.lastEventAt?.microseconds)
    evaluations.append(microseconds: last.at.microseconds)
    dues.append(microseconds: last.assessment.nextChange?.microseconds)
    stageTimes.append(microseconds: client.summary.stage?.stamp.at.microseconds)
  }

  var parameters: PostgresParameters {
    PostgresParameters {
      for column in [
        ids, summaries, actionHistories, stages, scores, levels, risks, lastEvents, evaluations, dues, stageTimes,
      ] { $0.column(column) }
    }
  }
}

private struct ScoreColumns {
  private var ids, clients, organizations, scores, levels, recommended, times, events, explanations, actions, channels,
    priorities, reasons, traceparents,
    expiries, inputs: PostgresColumn

  init(rows: Int) {
    ids = .uuids(rows)
    clients = .uuids(rows)
    organizations = .uuids(rows)
    scores = .texts(rows)
    levels = .texts(rows)
    recommended = .jsonbs(rows)
    times = .timestamptzs(rows)
    events = .uuids(rows)
    explanations = .jsons(rows, size: 768)
    actions = .texts(rows, size: 24)
    channels = .texts(rows)
    priorities = .texts(rows)
    reasons = .texts(rows, size: 48)
    traceparents = .texts(rows, size: 56)
    expiries = .timestamptzs(rows)
    inputs = .byteas(rows, size: 512)
  }

  mutating func add(
    _ client: ClientSnapshot, _ evaluation: Evaluation, _ action: RecommendedAction?, recommended: [UInt8],
    explanation: borrowing JSONWriter
  ) {
    ids.append(evaluation.id)
    clients.append(client.id)
    organizations.append(client.orgID)
    scores.append(evaluation.assessment.score.decimalText)
    levels.append(evaluation.assessment.level.rawValue)
    self.recommended.append(recommended)
    times.append(microseconds: evaluation.at.microseconds)
    events.append(evaluation.cause.eventID)
    explanation.withBytes { explanations.append($0) }
    actions.append(action?.action.rawValue)
    channels.append(action?.channel.rawValue)
    priorities.append(action?.priority.rawValue)
    reasons.append(action?.reason)
    traceparents.append(action?.traceparent)
    expiries.append(microseconds: action?.expiresAt?.microseconds)
    inputs.append(evaluation.input)
  }

  func parameters(outboxID: UUID) -> PostgresParameters {
    PostgresParameters {
      for column in [
        ids, clients, organizations, scores, levels, recommended, times, events, explanations, actions, channels,
        priorities, reasons, traceparents,
        expiries, inputs,
      ] { $0.column(column) }
      $0.uuid(outboxID)
    }
  }
}
