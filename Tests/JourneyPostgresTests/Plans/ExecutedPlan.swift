import Foundation

/// An executed statement: its text, its plan, and the actual row counts of each step.
struct ExecutedPlan: Decodable, Sendable {
  let text: String
  let root: PlanNode
  /// Whether a trigger or function ran it.
  var isNested = false

  private enum CodingKeys: String, CodingKey {
    case text = "Query Text"
    case root = "Plan"
  }

  init(from decoder: any Decoder) throws {
    let values = try decoder.container(keyedBy: CodingKeys.self)
    text = try values.decode(String.self, forKey: .text).trimmingCharacters(in: .whitespacesAndNewlines)
    root = try values.decode(PlanNode.self, forKey: .root)
  }

  /// Rows read from tables, including those that a filter dropped.
  var rowsRead: Int { root.all.reduce(0) { $0 + $1.rowsRead } }
  /// Rows sorted.
  var rowsSorted: Int { root.all.reduce(0) { $0 + $1.rowsSorted } }
}

/// One step of a plan.
struct PlanNode: Decodable, Sendable {
  let type: String
  let relation: String?
  let index: String?
  let condition: String?
  let filter: String?
  let sortKey: [String]?
  /// Where rows were sorted: Memory or Disk.
  let sortSpace: String?
  let rows: Double
  let loops: Double
  let removed: Double
  let blocks: Int
  let children: [PlanNode]

  private enum CodingKeys: String, CodingKey {
    case type = "Node Type"
    case relation = "Relation Name"
    case index = "Index Name"
    case condition = "Index Cond"
    case filter = "Filter"
    case sortKey = "Sort Key"
    case sortSpace = "Sort Space Type"
    case rows = "Actual Rows"
    case loops = "Actual Loops"
    case removedByFilter = "Rows Removed by Filter"
    case removedByRecheck = "Rows Removed by Index Recheck"
    case hit = "Shared Hit Blocks"
    case read = "Shared Read Blocks"
    case children = "Plans"
  }

  init(from decoder: any Decoder) throws {
    let values = try decoder.container(keyedBy: CodingKeys.self)
    func number(_ key: CodingKeys) throws -> Double { try values.decodeIfPresent(Double.self, forKey: key) ?? 0 }
    type = try values.decode(String.self, forKey: .type)
    relation = try values.decodeIfPresent(String.self, forKey: .relation)
    index = try values.decodeIfPresent(String.self, forKey: .index)
    condition = try values.decodeIfPresent(String.self, forKey: .condition)
    filter = try values.decodeIfPresent(String.self, forKey: .filter)
    sortKey = try values.decodeIfPresent([String].self, forKey: .sortKey)
    sortSpace = try values.decodeIfPresent(String.self, forKey: .sortSpace)
    rows = try number(.rows)
    loops = try number(.loops)
    removed = try number(.removedByFilter) + number(.removedByRecheck)
    blocks = try Int(number(.hit) + number(.read))
    children = try values.decodeIfPresent([PlanNode].self, forKey: .children) ?? []
  }

  var all: [PlanNode] { [self] + children.flatMap(\.all) }

  /// Whether it reads a table or an index. Scans of functions, values or subqueries do not.
  var isTableScan: Bool { type.hasSuffix("Scan") && (relation != nil || index != nil) }
  var rowsRead: Int { isTableScan ? Int((rows + removed) * loops) : 0 }
  var rowsSorted: Int { type.hasSuffix("Sort") ? children.reduce(0) { $0 + Int($1.rows * $1.loops) } : 0 }

  /// In the format of `EXPLAIN`.
  func drawing(indent: Int = 0) -> String {
    var line = String(repeating: "  ", count: indent) + type
    if let index { line += " using \(index)" }
    if let relation { line += " on \(relation)" }
    line += " (rows=\(Int(rows)) loops=\(Int(loops))\(removed > 0 ? " removed=\(Int(removed))" : "") blocks=\(blocks))"
    for (name, value) in [("cond", condition), ("filter", filter), ("key", sortKey?.joined(separator: ", "))] {
      if let value { line += " \(name): \(value)" }
    }
    return ([line] + children.map { $0.drawing(indent: indent + 1) }).joined(separator: "\n")
  }
}
