import Journey
import PostgresClient

enum FeedStatements {
  private static let now = "(now() + $1::int8 * interval '1 microsecond')"
  private static let mark = "(SELECT mark FROM journey_listening)"
  private static let day = "(\(now) AT TIME ZONE 'UTC')::date"

  /// Adds the time from $2 on to the time during which any instance consumed, at most $3 microseconds; NULL: none. Locks
  /// the row, so that one instance at a time goes on; a row that is gone is made again, as of the feed that was heard
  /// last. Returns the time.
  static let listen = PostgresStatement(
    name: "listen_to_feeds",
    """
    INSERT INTO journey_listening AS l (mark, until)
    VALUES (COALESCE((SELECT max(heard_mark) FROM journey_feeds), 0), CASE WHEN $2::timestamptz IS NULL THEN '-infinity' ELSE \(now) END)
    ON CONFLICT (id) DO UPDATE
    SET mark = l.mark + CASE WHEN $2::timestamptz IS NULL THEN 0 ELSE GREATEST(0, extract(epoch FROM \(now) - GREATEST(
        $2, l.until, \(now) - $3::int8 * interval '1 microsecond')) * 1000000)::int8 END,
      until = CASE WHEN $2::timestamptz IS NULL THEN l.until ELSE GREATEST(l.until, \(now)) END
    RETURNING \(now)
    """)

  /// Records that feeds were heard: the organisations $2, the sources $3. A row is written every ten minutes. An
  /// organisation has at most 100, because senders may choose the sources. One that the host holds is passed over.
  ///
  /// The usual gap is the longest of those by day; of ten days the longest is left out, and of twenty the two longest:
  /// these may have been outages, whereas nights and weekends are more.
  static let hear = PostgresStatement(
    name: "hear_feeds",
    """
    INSERT INTO journey_feeds AS f (org_id, source, first_heard_at, heard_at, first_mark, heard_mark)
    SELECT i.org_id, i.source, \(now), \(now), \(mark), \(mark)
    FROM (
      SELECT i.org_id, i.source, k.org_id IS NOT NULL AS is_known,
        row_number() OVER (PARTITION BY i.org_id, k.org_id IS NULL ORDER BY i.source) AS n
      FROM unnest($2::uuid[], $3::text[]) AS i(org_id, source)
      JOIN journey_lock_organizations($2::uuid[]) o ON o = i.org_id
      LEFT JOIN journey_feeds k ON k.org_id = i.org_id AND k.source = i.source) AS i
    WHERE i.is_known OR i.n + (SELECT count(*) FROM journey_feeds k WHERE k.org_id = i.org_id) <= 100
    ORDER BY i.org_id, i.source
    ON CONFLICT (org_id, source) DO UPDATE
    SET heard_at = EXCLUDED.heard_at, heard_mark = EXCLUDED.heard_mark, frozen_since = NULL,
      (gaps, usual_gap) = (
        SELECT COALESCE(jsonb_object_agg(d.day, d.gap), '{}'),
          CASE WHEN count(*) >= 3 THEN (array_agg(d.gap ORDER BY d.gap DESC))[(1 + LEAST(2, count(*) / 10))::int4] END
        FROM (
          SELECT x.day, max(x.gap) AS gap
          FROM (
            SELECT key AS day, value::int8 AS gap FROM jsonb_each_text(f.gaps)
            UNION ALL SELECT (\(day))::text, (EXCLUDED.heard_mark - f.heard_mark) / 1000000) x
          WHERE x.day > (\(day) - 30)::text GROUP BY x.day) d)
    WHERE f.frozen_since IS NOT NULL OR f.heard_at < \(now) - interval '10 minutes'
    """)

  /// Freezes and releases feeds: $1 times the usual gap, at least $2, heard for at least $3, given up after $4; all but
  /// the first in microseconds.
  static let freeze: PostgresStatement = {
    let isSilent = """
      COALESCE(m.mark - f.heard_mark > GREATEST($1::float8 * f.usual_gap * 1000000, $2::int8), false)
        AND f.heard_mark - f.first_mark >= $3::int8 AND m.mark - f.heard_mark <= $4::int8
      """
    return PostgresStatement(
      name: "freeze_feeds",
      """
      UPDATE journey_feeds f SET frozen_since = CASE WHEN f.frozen_since IS NULL THEN f.heard_at END
      FROM (SELECT mark FROM journey_listening) m
      WHERE (f.heard_mark BETWEEN m.mark - $4::int8 AND m.mark - $2::int8 OR f.frozen_since IS NOT NULL)
        AND (f.frozen_since IS NOT NULL) <> (\(isSilent))
      """)
  }()

  static func freeze(_ rule: FeedOutage) -> PostgresParameters {
    PostgresParameters {
      $0.float8(rule.longerThan)
      $0.int8(rule.atLeast.microseconds)
      $0.int8(rule.knownFor.microseconds)
      $0.int8(rule.givenUpAfter.microseconds)
    }
  }

  static let frozen = PostgresStatement(
    name: "frozen_feeds",
    "SELECT org_id, source, frozen_since FROM journey_feeds WHERE frozen_since IS NOT NULL ORDER BY org_id, source")

  /// Feeds that were not heard for half a year.
  static let forgetOld = PostgresStatement(
    name: "forget_old_feeds", "DELETE FROM journey_feeds WHERE heard_at < \(now) - interval '180 days'")

  static let list = PostgresStatement(
    name: "list_feeds",
    """
    SELECT f.org_id, f.source, f.first_heard_at, f.heard_at, GREATEST(0, \(mark) - f.heard_mark) / 1000000, f.usual_gap,
      f.frozen_since
    FROM journey_feeds f WHERE $1::uuid IS NULL OR f.org_id = $1 ORDER BY f.frozen_since NULLS LAST, f.org_id, f.source
    """)

  static let forget = PostgresStatement(
    name: "forget_feed", "DELETE FROM journey_feeds WHERE org_id = $1::uuid AND source = $2::text")
}
