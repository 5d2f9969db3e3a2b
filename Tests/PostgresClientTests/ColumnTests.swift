import FoundationEssentials
import Testing

@testable import PostgresClient

/// Arrays as the server's binary form wants them: dimensions, has-nulls flag, element type, count, lower bound, then
/// each element after its length.
@Suite struct ColumnTests {
  private static func bytes(_ parameters: PostgresParameters) -> [[UInt8]] {
    parameters.slots.map { slot in
      Array(UnsafeRawBufferPointer(start: (slot.column ?? parameters.bytes).start + slot.offset, count: slot.length))
    }
  }

  private static func column(_ fill: (inout PostgresColumn) -> Void, _ column: PostgresColumn) -> [UInt8] {
    var column = column
    fill(&column)
    return bytes(PostgresParameters { $0.column(column) })[0]
  }

  @Test func aColumnIsAnArrayWithAndWithoutElementsAndNulls() {
    #expect(Self.column({ _ in }, .texts()) == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25])
    let header: [UInt8] = [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 25, 0, 0, 0, 3, 0, 0, 0, 1]
    let null: [UInt8] = [255, 255, 255, 255]
    let text: [UInt8] = [0, 0, 0, 2] + Array("ab".utf8)
    #expect(
      Self.column({ for value in [nil, "ab", nil] as [String?] { $0.append(value) } }, .texts()) == header + null + text
        + null)
    let jsonb = Self.column({ $0.append([UInt8]("{}".utf8)) }, .jsonbs())
    #expect(jsonb == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 14, 218, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 3, 1] + Array("{}".utf8))
    #expect(Self.column({ $0.append(true) }, .bools()).suffix(5) == [0, 0, 0, 1, 1])
  }

  /// From the smallest capacity on, with values of every length around it.
  @Test func aColumnThatGrowsHoldsWhatAnArrayOfRowsDoes() {
    let id = UUID()
    let rows = (0..<300).map { $0 % 7 == 3 ? nil : String(repeating: "x", count: $0 % 61) }
    for expected in [0, 1, 300] {
      let texts = Self.column({ for row in rows { $0.append(row) } }, .texts(expected, size: 1))
      let ids = Self.column({ for row in rows { $0.append(row.map { _ in id }) } }, .uuids(expected))
      let numbers = Self.column(
        { for row in rows { $0.append(row.map { Double($0.utf8.count) }) } }, .float8s(expected))
      let wanted = PostgresParameters {
        $0.texts(rows)
        $0.uuids(rows) { row in row.map { _ in id } }
        $0.float8s(rows) { row in row.map { Double($0.utf8.count) } }
      }
      #expect([texts, ids, numbers] == Self.bytes(wanted))
    }
  }

  @Test func aCopyIsIndependentOnceItIsWritten() {
    var first = PostgresColumn.texts()
    first.append("a")
    var second = first
    second.append("b")
    first.append(nil as String?)
    let texts = PostgresParameters { for values in [["a", nil], ["a", "b"]] as [[String?]] { $0.texts(values) } }
    let columns = PostgresParameters {
      $0.column(first)
      $0.column(second)
    }
    #expect(Self.bytes(columns) == Self.bytes(texts))
  }
}
