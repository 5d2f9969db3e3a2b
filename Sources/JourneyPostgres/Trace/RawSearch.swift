public import FoundationEssentials
public import Journey
public import PostgresClient

/// Searches the messages that are kept as they came, the newest first. Nothing is indexed, so it reads them.
public struct RawSearch: Sendable {
  /// A message whose record has the bytes in it.
  public struct Match: Sendable {
    public var record: ArraySlice<UInt8>
    /// The rows of the events that were made of it.
    public var eventIDs: Set<UUID>
  }

  public struct Page: Sendable {
    public var matches: [Match] = []
    /// The newest commit that was looked at; nil: there is none.
    public var first: UUID?
    /// The oldest commit that was looked at; nil: all were.
    public var last: UUID?
  }

  private let worker: PostgresWorker
  private let bytes: [UInt8]
  private let since: Timestamp
  private let orgID: UUID?

  /// - Parameters:
  ///   - since: commits before are not looked at.
  ///   - orgID: leaves out commits that have nothing of the organisation; the matches may be of any.
  public init(worker: PostgresWorker, for bytes: [UInt8], since: Timestamp, orgID: UUID?) {
    self.worker = worker
    self.bytes = bytes
    self.since = since
    self.orgID = orgID
  }

  /// - Parameter last: of the page before; nil: from the newest on.
  public func page(after last: UUID?) async throws -> Page {
    try await worker.perform { [bytes, since, orgID] connection in
      let found = try connection.execute(
        Self.statement,
        PostgresParameters {
          $0.uuid(last)
          $0.timestamptz(since.microseconds)
          $0.uuid(orgID)
          $0.bytea(bytes)
          $0.int4(Self.batches)
        })
      var page = Page()
      if found.rowCount > 0 { page.first = try found.uuid(0, 0) }
      if found.rowCount == Int(Self.batches) { page.last = try found.uuid(found.rowCount - 1, 0) }
      for row in 0..<found.rowCount where try found.bool(row, 4) {
        let batch = try RawBatchRow(found, row)
        for (position, record) in batch.messages.enumerated() where record.contains(bytes) {
          page.matches.append(Match(record: record, eventIDs: batch.events[Int32(position)] ?? []))
        }
      }
      return page
    }
  }

  /// A row has up to some MiB, and a page has to end well within a statement's time.
  private static let batches: Int32 = 50

  static let statement = PostgresStatement(
    name: "search_raw_batches",
    """
    SELECT id, CASE WHEN is_match THEN records END, CASE WHEN is_match THEN event_ids END,
      CASE WHEN is_match THEN event_messages END, is_match
    FROM (
      SELECT id, records, event_ids, event_messages, position($4::bytea IN records) > 0 AS is_match
      FROM journey_raw_batches
      WHERE id < COALESCE($1::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        AND id >= (lpad(to_hex((extract(epoch FROM $2::timestamptz) * 1000)::int8), 12, '0') || repeat('0', 20))::uuid
        AND ($3::uuid IS NULL OR orgs IS NULL OR $3::uuid = ANY(orgs))
      ORDER BY id DESC LIMIT $5::int4) b
    ORDER BY id DESC
    """)
}
