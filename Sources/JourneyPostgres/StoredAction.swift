import FoundationEssentials
import Journey
import PostgresClient

/// A row of `OutboxStatements.actions`: an action with the content of its message, or why no message can be built.
struct StoredAction {
  var batch: UUID
  var id: UUID
  var content: Result<RecommendedAction, UnreadableAction>
  /// Whether it was revoked or superseded, and certainly never reached the broker.
  var isTakenBack: Bool

  init(_ result: PostgresResult, _ row: Int) throws(PostgresError) {
    batch = try result.uuid(row, 0)
    id = try result.uuid(row, 1)
    isTakenBack = try result.bool(row, 18)
    do {
      content = .success(try Self.read(result, row))
    } catch let error as UnreadableAction {
      content = .failure(error)
    } catch {
      content = .failure(
        UnreadableAction("its row cannot be read: \((error as? PostgresError)?.message ?? "\(error)")"))
    }
  }

  private static func read(_ result: PostgresResult, _ row: Int) throws -> RecommendedAction {
    let explanation: JSONValue
    do {
      explanation = try JSONDocument(parsing: try result.json(row, 11)).root
    } catch let error as JSONError {
      throw UnreadableAction("its explanation cannot be read: \(error)")
    }
    let id = try result.uuid(row, 1)
    let now = Timestamp(microseconds: try result.timestamp(row, 14))
    let expiresAt = try result.timestampIfPresent(row, 13).map { Timestamp(microseconds: $0) }
    if let expiresAt, expiresAt <= now { throw UnreadableAction("it expired before it was published", isFinal: true) }
    let decidedAt = try id.timestamp ?? Timestamp(microseconds: result.timestamp(row, 17))
    // Read as text: members can write this column, and a number out of range must not fail the query for all others.
    guard let score = try explanation["score"]?.double ?? Double(result.text(row, 15)), score.isFinite else {
      throw UnreadableAction("its score is not a finite number")
    }
    let level = try explanation["riskLevel"]?.string ?? result.text(row, 16)
    return RecommendedAction(
      id: id, clientID: try result.uuid(row, 2), orgID: try result.uuid(row, 3), name: try result.textIfPresent(row, 4),
      email: try result.textIfPresent(row, 5), phone: try result.textIfPresent(row, 6),
      action: try keyword(result.text(row, 7), "action"),
      channel: Channel(rawValue: try result.text(row, 8)), priority: try keyword(result.text(row, 9), "priority"),
      reason: try result.text(row, 10),
      score: score, level: try keyword(level, "riskLevel"), stage: try keyword(explanation["stage"]?.string, "stage"),
      risks: explanation["risks"].map { Array($0.rawBytes) } ?? Array("[]".utf8), recommended: recommended(explanation),
      causeID: explanation["cause"]?["id"]?.string ?? "", traceparent: try result.textIfPresent(row, 12),
      decidedAt: decidedAt, expiresAt: expiresAt,
      timeToLive: expiresAt.map { $0 - now }, ruleVersion: explanation["ruleVersion"]?.string ?? "")
  }

  /// The candidates' names, best first.
  private static func recommended(_ explanation: JSONValue) -> [UInt8] {
    var json = JSONWriter(reservingCapacity: 128)
    json.beginArray()
    if let candidates = explanation["candidates"], candidates.kind == .array {
      for candidate in candidates.elements { json.string(candidate["action"]?.string ?? "") }
    }
    json.endArray()
    return json.bytes
  }

  private static func keyword<Keyword: RawRepresentable<String>>(_ text: String?, _ name: String)
    throws(UnreadableAction)
    -> Keyword
  {
    guard let keyword = text.flatMap(Keyword.init(rawValue:)) else {
      throw UnreadableAction("its \(name) has an unknown value")
    }
    return keyword
  }
}

/// Why no message can be built for an action. Never quotes values of the row.
struct UnreadableAction: Error {
  var reason: String
  /// Whether every further attempt would fail too.
  var isFinal: Bool

  init(_ reason: String, isFinal: Bool = false) {
    self.reason = reason
    self.isFinal = isFinal
  }
}
