import FoundationEssentials
@testable import PostgresClient
import Testing

/// What goes in comes out, through the server, in binary.
@Suite struct RoundTripTests {
  private static let ids = (0..<3).map { _ in UUID() }
  private static let lowest = -210_866_803_200_000_000 as Int64  // 4714-11-24 BC, the first day of timestamptz

  @Test func scalars() async throws {
    try await withConnection { connection in
      let json = Array(#"{"a": [1, 2.50, "é\"\n"], "b": null}"#.utf8)
      let raw = Array(#"{ "kept" :  1.50 }"#.utf8)
      let every = (0...255).map { UInt8($0) }
      let echo = PostgresStatement(name: "echo", "SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10")
      let result = try connection.execute(
        echo,
        PostgresParameters {
          $0.uuid(Self.ids[0])
          $0.text("naïve \u{1F600} \u{7F}")
          $0.int4(.min)
          $0.int8(.max)
          $0.float8(.leastNonzeroMagnitude)
          $0.bool(true)
          $0.timestamptz(1_763_632_800_123_456)
          $0.bytea(every)
          $0.jsonb(json)
          $0.json(raw)
        })
      #expect(try result.uuid(0, 0) == Self.ids[0])
      #expect(try result.text(0, 1) == "naïve \u{1F600} \u{7F}")
      #expect(try result.int32(0, 2) == .min)
      #expect(try result.int64(0, 3) == .max)
      #expect(try result.double(0, 4) == .leastNonzeroMagnitude)
      #expect(try result.bool(0, 5))
      #expect(try result.timestamp(0, 6) == 1_763_632_800_123_456)
      #expect(try result.bytes(0, 7) == every)
      #expect(try result.json(0, 8) == json)
      #expect(try result.json(0, 9) == raw)
      #expect(result.columnCount == 10)
      #expect(result.rowCount == 1)
    }
  }

  @Test func nullScalars() async throws {
    try await withConnection { connection in
      let result = try connection.execute(
        PostgresStatement(name: "nulls", "SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10"),
        PostgresParameters {
          $0.uuid(nil)
          $0.text(nil)
          $0.int4(nil)
          $0.int8(nil)
          $0.float8(nil)
          $0.bool(nil)
          $0.timestamptz(nil)
          $0.bytea(nil)
          $0.jsonb(nil)
          $0.json(nil)
        })
      #expect((0..<10).allSatisfy { result.isNull(0, $0) })
      #expect(try result.uuidIfPresent(0, 0) == nil)
      #expect(try result.textIfPresent(0, 1) == nil)
      #expect(try result.jsonIfPresent(0, 8) == nil)
      let error = try failure { _ = try result.int32(0, 2) }
      #expect(error.kind == .decoding)
      #expect(error.message.contains("is NULL"))
    }
  }

  /// An empty text alone in its buffer must not turn into NULL.
  @Test func emptyTextIsNotNull() async throws {
    try await withConnection { connection in
      let result = try connection.execute(PostgresStatement(name: "t", "SELECT $1"), PostgresParameters { $0.text("") })
      #expect(try result.text(0, 0).isEmpty)
      let bytes = try connection.execute(PostgresStatement(name: "b", "SELECT $1"), PostgresParameters { $0.bytea([]) })
      #expect(try bytes.bytes(0, 0).isEmpty)
    }
  }

  /// A row that a statement promises may be gone: an error, and not the end of the process.
  @Test func aRowThatIsMissingIsAnError() async throws {
    try await withConnection { connection in
      let result = try connection.execute(PostgresStatement(name: "none", "SELECT 1::int8, 'a'::text WHERE false"))
      #expect(throws: PostgresError.self) { try result.int64(0, 0) }
      #expect(throws: PostgresError.self) { try result.textIfPresent(0, 1) }
    }
  }

  @Test func extremes() async throws {
    try await withConnection { connection in
      let instants: [Int64?] = [.min, Self.lowest, -1, 0, 946_684_800_000_000, .max - 1, .max, nil]
      let numbers: [Double?] = [
        -.infinity, -.greatestFiniteMagnitude, -0.0, 0.1, .greatestFiniteMagnitude, .infinity, nil,
      ]
      let result = try connection.execute(
        PostgresStatement(name: "x", "SELECT $1, $2, $3, $4, ($1)[1]::text, ($1)[7]::text, $5"),
        PostgresParameters {
          $0.timestamptzs(instants) { $0 }
          $0.float8s(numbers) { $0 }
          $0.int4s([Int32.min, -1, 0, Int32.max])
          $0.int8s([Int64.min, -1, 0, Int64.max]) { $0 }
          $0.float8(.nan)
        })
      #expect(try result.timestamps(0, 0) == instants)
      #expect(try result.doubles(0, 1) == numbers)
      #expect(try result.int4s(0, 2) == [.min, -1, 0, .max])
      #expect(try result.int8s(0, 3) == [.min, -1, 0, .max])
      #expect(try result.text(0, 4) == "-infinity")
      #expect(try result.text(0, 5) == "infinity")
      #expect(try result.double(0, 6).isNaN)
    }
  }

  /// The server, not the client, judges a time that `timestamptz` cannot hold.
  @Test(arguments: [lowest - 1, Int64.min + 1])
  func timesOutOfRangeAreRefused(_ instant: Int64) async throws {
    try await withConnection { connection in
      let error = try failure {
        try connection.execute(
          PostgresStatement(name: "t", "SELECT $1"), PostgresParameters { $0.timestamptz(instant) })
      }
      #expect(error.sqlState == "22008")
      #expect(error.kind == .poison)
    }
  }

  /// The last 29 years of `timestamptz` lie beyond 64 bits of microseconds since 1970.
  @Test func timesBeyondOurRangeSaturate() async throws {
    try await withConnection { connection in
      let last = PostgresStatement(name: "last", "SELECT '294276-12-31 23:59:59.999999+00'::timestamptz")
      let result = try connection.execute(last)
      #expect(try result.timestamp(0, 0) == Int64.max - 1)
    }
  }

  @Test func arraysWithNulls() async throws {
    try await withConnection { connection in
      let uuids: [UUID?] = [Self.ids[0], nil, Self.ids[1]]
      let result = try connection.execute(
        PostgresStatement(name: "arrays", "SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, to_jsonb($10)"),
        PostgresParameters {
          $0.uuids(uuids)
          $0.texts(["", nil, "NULL", "{\"quoted\\\"}"])
          $0.int4s([1, nil]) { $0 }
          $0.int8s([nil, 2]) { $0 }
          $0.float8s([nil, 1.5]) { $0 }
          $0.bools([true, nil, false]) { $0 }
          $0.timestamptzs([nil, 5]) { $0 }
          $0.byteas([[], nil, [0, 255]]) { $0 }
          $0.jsonbs([Array("1".utf8), nil, Array("{}".utf8)]) { $0 }
          $0.jsons([Array("[1.50]".utf8), nil]) { $0 }
        })
      #expect(try result.uuids(0, 0) == uuids)
      #expect(try result.texts(0, 1) == ["", nil, "NULL", "{\"quoted\\\"}"])
      #expect(try result.int4s(0, 2) == [1, nil])
      #expect(try result.int8s(0, 3) == [nil, 2])
      #expect(try result.doubles(0, 4) == [nil, 1.5])
      #expect(try result.bools(0, 5) == [true, nil, false])
      #expect(try result.timestamps(0, 6) == [nil, 5])
      #expect(try result.byteas(0, 7) == [[], nil, [0, 255]])
      #expect(try result.jsonbs(0, 8) == [Array("1".utf8), nil, Array("{}".utf8)])
      #expect(try String(decoding: result.json(0, 9), as: UTF8.self) == "[[1.50], null]")
    }
  }

  @Test func emptyArrays() async throws {
    try await withConnection { connection in
      let result = try connection.execute(
        PostgresStatement(name: "empty", "SELECT $1, $2, cardinality($3), array_ndims($4) IS NULL"),
        PostgresParameters {
          $0.texts([String]())
          $0.uuids([UUID]())
          $0.jsonbs([[UInt8]]()) { $0 }
          $0.int8s([Int64]()) { $0 }
        })
      #expect(try result.texts(0, 0).isEmpty)
      #expect(try result.uuids(0, 1).isEmpty)
      #expect(try result.int32(0, 2) == 0)
      #expect(try result.bool(0, 3))
    }
  }

  @Test func readingAnotherTypeIsAClearError() async throws {
    try await withConnection { connection in
      let result = try connection.execute(
        PostgresStatement(name: "list_things", "SELECT 1::int8 AS amount, 'x'::text AS label"))
      let error = try failure { _ = try result.uuid(0, 0) }
      #expect(error.kind == .decoding)
      #expect(error.operation == "list_things")
      #expect(error.column == "amount")
      #expect(error.message.contains("uuid") && error.message.contains("type 20"))
      #expect(throws: PostgresError.self) { try result.texts(0, 1) }
      #expect(throws: PostgresError.self) { try result.int32(0, 0) }
    }
  }

  private struct Row {
    var id: UUID
    var name: String?
    var at: Int64
    var body: [UInt8]
  }

  /// One plan and one round trip for a batch of any size, with columns written straight from the rows.
  @Test(arguments: [1, 2, 5_000]) func batchInsertThroughUnnest(_ count: Int) async throws {
    try await withConnection { connection in
      try connection.execute("CREATE TABLE things (id uuid PRIMARY KEY, name text, at timestamptz, body jsonb)")
      let rows = (0..<count).map {
        Row(id: UUID(), name: $0 % 3 == 0 ? nil : "n\($0)", at: Int64($0), body: Array("{\"n\": \($0)}".utf8))
      }
      let insert = PostgresStatement(
        name: "insert_things",
        "INSERT INTO things SELECT * FROM unnest($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING id")
      let parameters = PostgresParameters {
        $0.uuids(rows) { $0.id }
        $0.texts(rows) { $0.name }
        $0.timestamptzs(rows) { $0.at }
        $0.jsonbs(rows) { $0.body }
      }
      let inserted = try connection.execute(insert, parameters)
      #expect(inserted.affectedRows == count)
      #expect(inserted.commandTag == "INSERT 0 \(count)")
      #expect(try (0..<count).map { try inserted.uuid($0, 0) } == rows.map(\.id))
      #expect(try connection.execute(insert, parameters).affectedRows == 0)
      let stored = try connection.execute(
        PostgresStatement(name: "read", "SELECT count(*), count(name), sum((body->>'n')::int8)::int8 FROM things"))
      #expect(try stored.int64(0, 0) == Int64(count))
      #expect(try stored.int64(0, 1) == Int64(count - (count + 2) / 3))
      #expect(try stored.int64(0, 2) == Int64(count * (count - 1) / 2))
    }
  }
}
