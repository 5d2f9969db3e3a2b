/// A dictionary keyed by the cases of an enumeration without associated values. A lookup is an index, not a hash.
public struct EnumTable<Key: CaseIterable & Hashable & Sendable, Value: Sendable>: Sendable {
  /// By the key's index among the cases.
  private var values: [Value?]

  public init() {
    // Cases without associated values are numbered in order of declaration, in one byte.
    precondition(
      MemoryLayout<Key>.size == 1 && Key.allCases.enumerated().allSatisfy { Self.index(of: $1) == $0 },
      "the keys must be cases without associated values, in order")
    values = Array(repeating: nil, count: Key.allCases.count)
  }

  public init(uniqueKeysWithValues pairs: some Sequence<(Key, Value)>) {
    self.init()
    for (key, value) in pairs { self[key] = value }
  }

  @inline(__always)
  private static func index(of key: Key) -> Int { withUnsafeBytes(of: key) { Int($0[0]) } }

  public subscript(key: Key) -> Value? {
    get { values[Self.index(of: key)] }
    set { values[Self.index(of: key)] = newValue }
  }
}

extension EnumTable: Equatable where Value: Equatable {}
extension EnumTable: Hashable where Value: Hashable {}

extension EnumTable: ExpressibleByDictionaryLiteral {
  public init(dictionaryLiteral pairs: (Key, Value)...) { self.init(uniqueKeysWithValues: pairs) }
}
