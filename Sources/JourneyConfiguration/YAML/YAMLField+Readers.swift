import Journey
import Yams

/// Readers that settings, mappings and decisions share.
extension YAMLField {
  /// Reads each member with the reader of its key. A key without a reader is a problem.
  func read<Target>(into target: inout Target, _ readers: [String: (YAMLField, inout Target) -> Void]) {
    guard let members = members(readers.keys.sorted()) else { return }
    for (key, field) in members { readers[key]?(field, &target) }
  }

  /// The members of a mapping with any keys, in the order of the file.
  func pairs() -> [(String, YAMLField)] { (members() ?? []).map { ($0.key.text, $0.field) } }

  /// Whether a part is switched off: `off`.
  var isOff: Bool { node.scalar.map { ["off", "false"].contains($0.string) } ?? false }

  /// Reads a part that `off` switches off.
  func read<Rule>(into rule: inout Rule?, defaultValue: Rule, _ readers: [String: (YAMLField, inout Rule) -> Void]) {
    guard !isOff else {
      rule = nil
      return
    }
    var value = rule ?? defaultValue
    read(into: &value, readers)
    rule = value
  }

  /// One of an enumeration's names.
  func keyword<Value: RawRepresentable<String> & CaseIterable>() -> Value? {
    guard let text = text() else { return nil }
    if let value = Value(rawValue: text) { return value }
    let hint = nearest(text, among: Value.allCases.map(\.rawValue)).map { "did you mean \($0)?" } ?? names(Value.self)
    report("\(text) is not known here", hint: hint)
    return nil
  }

  /// A length of time: `7d`, `72h`, `30s`; `0` is none.
  func span() -> TimeSpan? {
    guard let text = text() else { return nil }
    if text == "0" { return .seconds(0) }
    if let span = TimeSpan(text: text) { return span }
    report("\(text) is not a length of time", hint: "write 7d, 72h, 10m or 30s")
    return nil
  }

  func set(_ value: inout Double) {
    if let number = number() { value = number }
  }

  func set(_ value: inout Double, _ range: ClosedRange<Double>) {
    guard let number = number() else { return }
    guard range.contains(number) else {
      return report("a number from \(range.lowerBound) to \(range.upperBound) is expected here")
    }
    value = number
  }

  func set(_ value: inout TimeSpan) {
    if let span = span() { value = span }
  }

  /// A span of time, or `off` for none.
  func set(optional value: inout TimeSpan?) {
    if isOff { value = nil } else if let span = span() { value = span }
  }

  func set(_ value: inout Int, _ range: ClosedRange<Int>) {
    guard let number = number() else { return }
    guard let whole = Int(exactly: number), range.contains(whole) else {
      return report("a whole number from \(range.lowerBound) to \(range.upperBound) is expected here")
    }
    value = whole
  }

  func set(_ value: inout Set<String>) {
    if let fields = oneOrMany() { value = Set(fields.compactMap { $0.text() }) }
  }
}

func names<Value: RawRepresentable<String> & CaseIterable>(_: Value.Type) -> String {
  "known here: " + Value.allCases.map(\.rawValue).joined(separator: ", ")
}
