/// Rows of text under headings, laid out for a width.
struct TextTable {
  private let rows: [[String]]
  private let widths: [Int]
  private static let gap = 2
  /// A text is cut to no less than this.
  private static let minTextLength = 24

  init(_ headings: [String], _ rows: [[String]]) {
    widths = headings.indices.map { column in ([headings] + rows).map { $0[column].count }.max() ?? 0 }
    let numeric = headings.indices.map { column in
      !rows.isEmpty && rows.allSatisfy { $0[column].allSatisfy(\.isWholeNumber) && !$0[column].isEmpty }
    }
    self.rows = ([headings] + rows).map { [widths] row in
      row.indices.map { numeric[$0] ? String(repeating: " ", count: widths[$0] - row[$0].count) + row[$0] : row[$0] }
    }
  }

  /// - Parameter width: nil where there is no limit.
  func lines(width: Int?) -> [String] {
    let parts = parts(width ?? .max)
    return rows.flatMap { row in
      parts.enumerated().compactMap { number, part in
        var text = number == 0 ? "" : String(repeating: " ", count: Self.gap)
        for column in part {
          if column != part.first { text += String(repeating: " ", count: Self.gap) }
          text += row[column] + String(repeating: " ", count: widths[column] - row[column].count)
        }
        while text.last == " " { text.removeLast() }
        // A row that has nothing in these columns needs no line for them.
        return text.isEmpty && number > 0 ? nil : text.line(width ?? .max)
      }
    }
  }

  /// The columns that share a line.
  private func parts(_ width: Int) -> [[Int]] {
    var parts: [[Int]] = []
    var used = 0
    for (column, needed) in widths.enumerated() {
      let isLast = column == widths.count - 1
      let left = width - used - Self.gap
      if !parts.isEmpty, left >= needed || isLast && left >= Self.minTextLength {
        parts[parts.count - 1].append(column)
        used += Self.gap + needed
      } else {
        used = (parts.isEmpty ? 0 : Self.gap) + needed
        parts.append([column])
      }
    }
    return parts
  }
}
