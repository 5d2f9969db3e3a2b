/// A violation in a plan, with the details to understand it.
struct PlanFinding: CustomStringConvertible {
  var complaint: String
  var work: String
  var plan: ExecutedPlan

  var description: String { "\(work): \(complaint)\n\(plan.text)\n\(plan.root.drawing())" }
}

/// The rules for every plan.
struct PlanRules {
  /// Tables that must never be read completely.
  let bigTables: Set<String>
  /// The maximum number of rows that a statement may read for one batch or page: about a hundred per event, while the
  /// tables contain hundreds of thousands.
  var maxRows = 4_000
  /// The maximum number of values in an array condition, if it may find fewer.
  var maxValues = 1
  /// Statements that may read more rows, and more for a longer history, but must not scan a whole table.
  var exempt: Set<String> = []

  func findings(_ plans: [ExecutedPlan], in work: String) -> [PlanFinding] {
    plans.flatMap { plan in
      var complaints = plan.root.all.compactMap(scanOfAll(by:)) + plan.root.all.compactMap(sortOnDisk(by:))
      if !exempt.contains(plan.text) {
        complaints += plan.root.all.compactMap(walk(by:))
        if plan.rowsRead > maxRows { complaints.append("\(plan.rowsRead) rows read") }
      }
      return complaints.map { PlanFinding(complaint: $0, work: work, plan: plan) }
    }
  }

  private func scanOfAll(by node: PlanNode) -> String? {
    guard node.type == "Seq Scan", let relation = node.relation, bigTables.contains(relation) else { return nil }
    return "a sequential scan of \(relation)"
  }

  private func sortOnDisk(by node: PlanNode) -> String? {
    node.sortSpace == "Disk" ? "\(node.rowsSorted) rows sorted on disk" : nil
  }

  /// A full index scan that returns few entries, because the condition does not cover the index's first column.
  private func walk(by node: PlanNode) -> String? {
    // A lookup reads about four pages, and each row may be on its own page. An array condition needs one lookup per
    // value, found or not.
    let descents = max(Int(node.loops), node.condition?.contains("= ANY (") == true ? maxValues : 1)
    guard node.isTableScan, let index = node.index, node.children.isEmpty,
      node.blocks > 50 + 10 * (descents + node.rowsRead)
    else { return nil }
    return "\(node.blocks) pages of \(index) read for \(node.rowsRead) rows"
  }

  /// How much more the same work costs for a client with a long history than for one with a short history.
  func growth(from short: [ExecutedPlan], to long: [ExecutedPlan], in work: String) -> [PlanFinding] {
    growth(from: short, to: long, in: work, of: "read", \.rowsRead)
      + growth(from: short, to: long, in: work, of: "sorted", \.rowsSorted)
  }

  private func growth(
    from short: [ExecutedPlan], to long: [ExecutedPlan], in work: String, of what: String,
    _ measure: (ExecutedPlan) -> Int
  ) -> [PlanFinding] {
    var before: [String: Int] = [:]
    for plan in short { before[plan.text] = max(before[plan.text] ?? 0, measure(plan)) }
    return long.compactMap { plan -> PlanFinding? in
      let (rows, few) = (measure(plan), before[plan.text] ?? 0)
      // A statement's row limit may exceed the short history: a hundred invoices, the newest hundred events.
      guard rows > 120 + few * 3 / 2, !exempt.contains(plan.text) else { return nil }
      return PlanFinding(
        complaint: "\(rows) rows \(what) for the long history, \(few) for the short one", work: work, plan: plan)
    }
  }
}
