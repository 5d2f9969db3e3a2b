/// A condition that an element must satisfy besides its type.
public indirect enum MappingCondition: Hashable, Sendable {
  case all([MappingCondition])
  case any([MappingCondition])
  case not(MappingCondition)
  case test(MappingReference, MappingTest)
  /// Like `test`, for a computed value.
  case computed(MappingExpression, MappingTest)
  /// At least one value of a path with `[*]` passes the test.
  case some(MappingPaths, MappingTest)
  /// The first value compared with the second.
  case relation(MappingExpression, MappingRelation, MappingExpression)
  /// The value exists, even if it is null: in a list of changes, null is a previous value too.
  case present(MappingReference)
  /// `before` exists, even if it is null, and differs from `now`. If given, `from` and `to` list the allowed previous
  /// and new values.
  case changed(before: MappingReference, now: MappingReference, from: [JSONConstant]?, to: [JSONConstant]?)

  func holds(in context: borrowing MappingContext) -> Bool {
    switch self {
    case .all(let parts):
      for part in parts where !part.holds(in: context) { return false }
      return true
    case .any(let parts):
      for part in parts where part.holds(in: context) { return true }
      return false
    case .not(let part): return !part.holds(in: context)
    case .test(let reference, let test): return test.holds(for: context.resolve(reference), in: context.input.document)
    case .computed(let expression, let test):
      return test.holds(for: expression.evaluate(in: context), in: context.input.document)
    case .some(let paths, let test):
      let document = context.input.document
      return paths.nodes(in: context).contains { test.holds(for: .node($0), in: document) }
    case .relation(let value, let relation, let other):
      return relation.holds(value.evaluate(in: context), other.evaluate(in: context), in: context.input.document)
    case .present(let reference): return context.isPresent(reference)
    case .changed(let before, let now, let from, let to):
      guard context.isPresent(before) else { return false }
      let document = context.input.document
      let old = context.resolve(before)
      let new = context.resolve(now)
      if old.text(in: document) == new.text(in: document) { return false }
      return from.map { old.isOne(of: $0, in: document) } ?? true && to.map { new.isOne(of: $0, in: document) } ?? true
    }
  }
}

/// How one value of a message compares with another.
public enum MappingRelation: String, Hashable, Sendable {
  case same = "the same as"
  case greater = "greater than"
  case atLeast = "at least"
  case less = "less than"
  case atMost = "at most"
  case earlier = "earlier than"
  case later = "later than"

  /// An absent value, or one that is no number or no time where one is needed, compares with nothing.
  func holds(_ value: ResolvedValue, _ other: ResolvedValue, in document: JSONDocument) -> Bool {
    switch self {
    case .same:
      guard let text = value.text(in: document) else { return false }
      return text == other.text(in: document)
    case .greater: return compare(value.number(in: document), other.number(in: document), >)
    case .atLeast: return compare(value.number(in: document), other.number(in: document), >=)
    case .less: return compare(value.number(in: document), other.number(in: document), <)
    case .atMost: return compare(value.number(in: document), other.number(in: document), <=)
    case .earlier: return compare(value.time(in: document), other.time(in: document), <)
    case .later: return compare(value.time(in: document), other.time(in: document), >)
    }
  }

  private func compare<T>(_ a: T?, _ b: T?, _ holds: (T, T) -> Bool) -> Bool {
    guard let a, let b else { return false }
    return holds(a, b)
  }
}

extension ResolvedValue {
  /// The value as a time: a text as ISO 8601, a number by its size.
  fileprivate func time(in document: JSONDocument) -> Timestamp? {
    if case .time(let time) = self { return time }
    return text(in: document).flatMap { TimeUnit.auto.read(ArraySlice($0.utf8), isNumber: false) }
  }
}

/// A test of one value.
public enum MappingTest: Hashable, Sendable {
  /// The value exists and is not null.
  case exists
  /// The value is absent or null.
  case missing
  case isOneOf([JSONConstant])
  case greater(than: Double)
  case atLeast(Double)
  case less(than: Double)
  case atMost(Double)
  case hasPrefix(String)
  case hasSuffix(String)
  case contains(String)
  case matches(TextPattern)

  func holds(for value: ResolvedValue, in document: JSONDocument) -> Bool {
    switch self {
    case .exists: !value.isNothing
    case .missing: value.isNothing
    case .isOneOf(let constants): value.isOne(of: constants, in: document)
    case .greater(let bound): value.number(in: document).map { $0 > bound } ?? false
    case .atLeast(let bound): value.number(in: document).map { $0 >= bound } ?? false
    case .less(let bound): value.number(in: document).map { $0 < bound } ?? false
    case .atMost(let bound): value.number(in: document).map { $0 <= bound } ?? false
    case .hasPrefix(let part): value.text(in: document)?.hasPrefix(part) ?? false
    case .hasSuffix(let part): value.text(in: document)?.hasSuffix(part) ?? false
    case .contains(let part): value.text(in: document).map { Self.contains($0, part) } ?? false
    case .matches(let pattern): value.text(in: document).map(pattern.matches) ?? false
    }
  }

  private static func contains(_ text: String, _ part: String) -> Bool {
    let text = Array(text.utf8)
    let part = Array(part.utf8)
    guard part.count <= text.count else { return false }
    return (0...(text.count - part.count)).contains { text[$0..<($0 + part.count)].elementsEqual(part) }
  }
}

extension ResolvedValue {
  /// Whether the value equals one of the constants. Compares texts, so that `5` and `"5"` are equal, or two numbers by
  /// value.
  func isOne(of constants: [JSONConstant], in document: JSONDocument) -> Bool {
    if case .nothing = self { return false }
    guard let text = text(in: document) else { return false }
    return constants.contains { constant in
      if constant.text == text { return true }
      guard let number = constant.number else { return false }
      return self.number(in: document) == number
    }
  }
}
