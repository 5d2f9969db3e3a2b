import Journey

/// Work on many items, some per transaction, beside others who lock the same rows: what they hold is tried again, and
/// what the database refuses is found by halving.
struct HeldWork {
  /// Items per transaction.
  var limit: Int
  /// How many times held items are tried again, with `pause` before each time.
  var rounds: Int
  var pause: Duration
  /// So many refused items stop the work, because the cause is then not the items.
  static let maxRefused = 20

  /// - Parameters:
  ///   - refused: records an item that the database refuses.
  ///   - work: one transaction. Returns the items that others hold.
  /// - Returns: the items that others hold.
  /// - Throws: an error that is not about the items, or the last of too many refusals.
  func apply<Item>(
    _ items: [Item], refused: (Item, StoreError) -> Int, _ work: ([Item]) async throws(StoreError) -> [Item]
  ) async throws(StoreError) -> [Item] {
    guard !items.isEmpty else { return [] }
    do throws(StoreError) { return try await work(items) } catch {
      switch error.kind {
      case .contended: return items
      case .transient: throw error
      case .poison, .permanent:
        guard items.count == 1 else { break }
        guard refused(items[0], error) < Self.maxRefused else { throw error }
        return []
      }
    }
    let middle = items.count / 2
    var held = try await apply(Array(items[..<middle]), refused: refused, work)
    held += try await apply(Array(items[middle...]), refused: refused, work)
    return held
  }

  /// Tries held items again.
  /// - Parameter part: works on at most `limit` items and returns those that are held still.
  /// - Returns: the items that are held after the last time, or when the task was cancelled.
  func tryAgain<Item>(
    _ held: [Item], part: ([Item]) async throws(StoreError) -> [Item], report: (_ held: Int) -> Void
  ) async throws(StoreError) -> [Item] {
    var rest = held
    for _ in 0..<rounds where !rest.isEmpty {
      try? await Task.sleep(for: pause)
      guard !Task.isCancelled else { break }
      var left: [Item] = []
      for start in stride(from: 0, to: rest.count, by: limit) {
        left += try await part(Array(rest[start..<min(start + limit, rest.count)]))
      }
      rest = left
      report(rest.count)
    }
    return rest
  }
}
