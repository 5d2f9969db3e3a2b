import PostgresClient

enum RawStatements {
  static let insert = PostgresStatement(
    name: "insert_raw_batch",
    """
    INSERT INTO journey_raw_batches (id, received_from, received_until, sources, orgs, messages, records, event_ids, event_messages)
    VALUES ($1::uuid, $2::timestamptz, $3::timestamptz, $4::text[], CASE WHEN NOT $6::bool THEN $5::uuid[] END, $7::int4, $8::bytea,
      $9::uuid[], $10::int4[])
    """)

  /// Deletes up to $1 batches whose newest message came more than $2 days ago, oldest first: one, and more as long as
  /// all have at most $3 bytes. The ids are in order of time, so this needs no other index. The length of records that
  /// are not compressed is known without reading them.
  static let forget = PostgresStatement(
    name: "forget_raw_batches",
    """
    DELETE FROM journey_raw_batches WHERE id = ANY (ARRAY(
      SELECT id FROM (
      SELECT id, row_number() OVER w AS n, sum(size) OVER w AS total FROM (
      SELECT id, octet_length(records)::int8 AS size FROM journey_raw_batches
      WHERE id < (lpad(to_hex((extract(epoch FROM now() - $2::int4 * interval '1 day') * 1000)::int8), 12, '0') || repeat('0', 20))::uuid
        AND received_until < now() - $2::int4 * interval '1 day'
      ORDER BY id LIMIT $1::int4 FOR UPDATE SKIP LOCKED) b WINDOW w AS (ORDER BY id)) b
      WHERE n = 1 OR total <= $3::int8))
    RETURNING id
    """)
}
