/// What is wrong with a plan, as a person needs it to see why.
struct PlanFinding: CustomStringConvertible {
  var complaint: String
  var work: String
  var plan: ExecutedPlan

  var description: String { "\(work): \(complaint)\n\(plan.text)\n\(plan.root.drawing())" }
}

/// What is asked of every plan.
struct PlanRules {
  /// Tables with so many rows that reading all of them is a fault.
  let bigTables: Set<String>
  /// The most rows that a statement may read for one batch or one page: some hundred an event, where the tables hold
  /// hundreds of thousands.
  var maxRows = 4_000
  /// The most values that a condition on an array asks for, where fewer may be found.
  var maxValues = 1
  /// Statements that may read more than that, and more for a longer history, but no table from end to end.
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

  /// An index that is walked through from end to end for the few entries that fit, since its first column is not asked
  /// for.
  private func walk(by node: PlanNode) -> String? {
    // A descent takes some four pages, and a row may lie on a page of its own. A condition on an array descends for
    // each of its values, found or not.
    let descents = max(Int(node.loops), node.condition?.contains("= ANY (") == true ? maxValues : 1)
    guard node.isTableScan, let index = node.index, node.children.isEmpty,
      node.blocks > 50 + 10 * (descents + node.rowsRead)
    else { return nil }
    return "\(node.blocks) pages of \(index) read for \(node.rowsRead) rows"
  }

  /// What the same work costs more for a client with a long history than for one with a short one.
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
      // What a statement reads at most may be more than the short history holds: a hundred invoices, the newest hundred
      // events.
      guard rows > 120 + few * 3 / 2, !exempt.contains(plan.text) else { return nil }
      return PlanFinding(
        complaint: "\(rows) rows \(what) for the long history, \(few) for the short one", work: work, plan: plan)
    }
  }
}
