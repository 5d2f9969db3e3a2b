import FoundationEssentials
import Journey
import PostgresClient

/// What the statements on dead letters have in common.
enum DeadLetterSQL {
  /// Conditions on `d` for a `DeadLetterFilter`, in parameters 1 to 9.
  static let filter = """
    (cardinality($1::uuid[]) = 0 OR d.id = ANY($1::uuid[]))
    AND (cardinality($2::text[]) = 0 OR d.state = ANY($2::text[]))
    AND ($3::text IS NULL OR d.code = $3::text)
    AND ($4::text IS NULL OR d.source = $4::text)
    AND ($5::text IS NULL OR d.type = $5::text)
    AND ($6::uuid IS NULL OR d.org_id = $6::uuid)
    AND ($7::timestamptz IS NULL OR d.failed_at >= $7::timestamptz)
    AND ($8::timestamptz IS NULL OR d.failed_at < $8::timestamptz)
    AND ($9::text IS NULL OR position(lower($9::text) IN lower(d.reason)) > 0 OR position(lower($9::text) IN lower(d.value)) > 0
      OR position($9::text IN d.message_id) > 0 OR position($9::text IN d.routing_key) > 0
      OR position(convert_to($9::text, 'UTF8') IN d.body) > 0)
    """

  static func parameters(_ filter: DeadLetterFilter, _ more: [PostgresParameters.Value] = []) -> PostgresParameters {
    PostgresParameters(
      [
        .uuids(filter.ids), .texts(filter.states.map(\.rawValue)), .text(filter.code), .text(filter.source),
        .text(filter.type), .uuid(filter.orgID), .timestamptz(filter.since?.microseconds),
        .timestamptz(filter.until?.microseconds), .text(filter.text),
      ] + more)
  }

  /// Who archives dead letters and deletes those whose time is over, for the log.
  static let serve = "journey serve"

  /// A page with bodies ends with the dead letter that reaches this size, which limits memory and a statement's time.
  static let pageBytes = 16 << 20

  /// What `deadLetter` reads, except the body.
  static let columns = """
    d.id, d.org_id, d.source, d.type, d.code, d.reason, d.field, d.value, d.exchange, d.routing_key, d.message_id, d.content_type,
    d.properties, d.headers, d.body_size, d.attempts, d.first_failed_at, d.failed_at, d.replay_count, d.caused_by, d.state,
    d.same_failures, d.received_at, d.settled_at, d.replay_id, d.redacted_headers, d.body_sha256
    """
  static let columnCount = 27

  /// A list of texts.
  static func json(_ texts: [String]) -> [UInt8] {
    var json = JSONWriter()
    json.beginArray()
    for text in texts { json.string(text) }
    json.endArray()
    return json.bytes
  }

  private static func names(_ json: [UInt8]) -> [String] {
    (try? JSONDocument(parsing: json))?.root.elements.compactMap(\.string) ?? []
  }

  /// - Parameter body: the body's column.
  static func deadLetter(_ result: PostgresResult, _ row: Int, body: Int = columnCount) throws(PostgresError)
    -> ArchivedDeadLetter
  {
    func time(_ column: Int) throws(PostgresError) -> Timestamp {
      Timestamp(microseconds: try result.timestamp(row, column))
    }
    let message = OriginalMessage(
      exchange: try result.text(row, 8), routingKey: try result.text(row, 9),
      messageID: try result.textIfPresent(row, 10),
      contentType: try result.textIfPresent(row, 11), properties: try result.json(row, 12),
      headers: try result.json(row, 13),
      redactedHeaders: names(try result.json(row, 25)), body: try result.bytes(row, body),
      bodySize: Int(try result.int64(row, 14)),
      bodyDigest: try result.bytesIfPresent(row, 26))
    let deadLetter = DeadLetter(
      message: message, orgID: try result.uuidIfPresent(row, 1), source: try result.textIfPresent(row, 2),
      type: try result.textIfPresent(row, 3), code: try result.text(row, 4), reason: try result.text(row, 5),
      field: try result.textIfPresent(row, 6), value: try result.textIfPresent(row, 7),
      attempts: Int(try result.int32(row, 15)),
      firstFailedAt: try time(16), failedAt: try time(17), replayCount: Int(try result.int32(row, 18)),
      causedBy: try result.uuidIfPresent(row, 19))
    return ArchivedDeadLetter(
      id: try result.uuid(row, 0), deadLetter: deadLetter,
      state: DeadLetterState(rawValue: try result.text(row, 20)) ?? .new,
      sameFailures: Int(try result.int32(row, 21)), receivedAt: try time(22),
      settledAt: try result.timestampIfPresent(row, 23).map { Timestamp(microseconds: $0) },
      replayID: try result.int32IfPresent(row, 24).map { Int($0) })
  }
}
