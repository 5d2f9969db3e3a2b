/// Why the demo ends with status 1, for the person who watches it.
struct DemoFailure: Error, CustomStringConvertible {
  let description: String
  /// Whether the adapter's log may say more.
  let concernsAdapter: Bool

  init(_ description: String, concernsAdapter: Bool = true) {
    self.description = description
    self.concernsAdapter = concernsAdapter
  }
}
