/// Rows in aligned columns, as psql prints them.
struct Table {
  let header: [String]
  /// The columns of numbers, which end at the right.
  let numbers: Set<Int>
  let rows: [[String]]

  var lines: [String] {
    let widths = header.indices.map { column in ([header] + rows).map { $0[column].count }.max() ?? 0 }
    func line(_ cells: [String], _ align: (String, Int, Int) -> String) -> String {
      let aligned = zip(cells, widths).enumerated().map { " \(align($1.0, $1.1, $0)) " }.joined(separator: "|")
      return String(aligned.reversed().drop { $0 == " " }.reversed())
    }
    let title = line(header) { text, width, _ in
      let left = (width - text.count) / 2
      return padding(left) + text + padding(width - text.count - left)
    }
    let rule = widths.map { String(repeating: "-", count: $0 + 2) }.joined(separator: "+")
    return [title, rule]
      + rows.map { row in
        line(row) { text, width, column in
          let space = padding(width - text.count)
          return numbers.contains(column) ? space + text : text + space
        }
      }
  }

  private func padding(_ width: Int) -> String { String(repeating: " ", count: width) }
}

extension Table {
  init(_ outcomes: [Outcome]) {
    self.init(
      header: ["client", "organisation", "stage", "score", "risk", "action", "channel", "priority", "reason"],
      numbers: [3],
      rows: outcomes.map {
        [$0.client, $0.organisation, $0.stage, $0.score, $0.risk, $0.action, $0.channel, $0.priority, $0.reason]
      })
  }
}
