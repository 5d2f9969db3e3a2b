/// A path to one value: RFC 9535 without slices, unions, descendants and functions.
///
/// `$` is the current value, followed by members (`.name`, `['any name']`), elements (`[0]`, `[-1]`) and filters
/// (`[?@.primary == true]`). `[*]` stands for every element; it is only allowed where a path may have many values. Where
/// one value is needed, the first that a filter selects counts.
///
/// A class, because each event passes a dozen paths around and they never change.
public final class JSONPath: Hashable, Sendable, CustomStringConvertible {
  enum Step: Hashable, Sendable {
    /// The range of the member's name in `names`.
    case member(Range<Int>)
    case element(Int)
    case every
    /// The elements of an array, or the values of an object, for which the filter holds.
    case filter(JSONFilter)
  }

  let steps: [Step]
  /// The UTF-8 names of all members, concatenated.
  private let names: [UInt8]
  /// The path's source text.
  public let description: String

  /// The current value.
  public static let root = JSONPath(steps: [], names: [], description: "$")

  /// Whether the path names every element of a list.
  public var isWildcard: Bool { steps.contains(.every) }
  private let hasFilter: Bool

  /// - Throws: `JSONPathError` with the character and the reason.
  public convenience init(_ text: String) throws(JSONPathError) {
    var reader = JSONPathReader(text)
    let steps = try reader.read()
    self.init(steps: steps, names: reader.names, description: text)
  }

  /// The value of the path below `start`; nil if there is none or the path has a wildcard.
  func resolve(in document: JSONDocument, from start: Int) -> Int? {
    if hasFilter { return isWildcard ? nil : resolveAll(in: document, from: start).first }
    return names.withUnsafeBufferPointer { names in
      var at = start
      for step in steps {
        let next: Int?
        switch step {
        case .member(let name): next = document.member(of: at, UnsafeBufferPointer(rebasing: names[name]))
        case .element(let position): next = document.element(of: at, position)
        case .every, .filter: next = nil
        }
        guard let next else { return nil }
        at = next
      }
      return at
    }
  }

  /// All values of the path, in document order.
  func resolveAll(in document: JSONDocument, from start: Int) -> [Int] {
    names.withUnsafeBufferPointer { names in
      steps.reduce([start]) { found, step in
        switch step {
        case .member(let name): found.compactMap { document.member(of: $0, UnsafeBufferPointer(rebasing: names[name])) }
        case .element(let position): found.compactMap { document.element(of: $0, position) }
        case .every: found.flatMap { JSONValue(document: document, index: $0).elements.map(\.index) }
        case .filter(let filter):
          found.flatMap { document.children(of: $0).filter { filter.holds(for: $0, in: document) } }
        }
      }
    }
  }

  /// Splits the path of a nested list after its first `[*]`; nil if it has fewer than two.
  var outermostList: (around: JSONPath, rest: JSONPath)? {
    guard let cut = steps.firstIndex(of: .every), steps[(cut + 1)...].contains(.every) else { return nil }
    return (
      JSONPath(steps: Array(steps[...cut]), names: names, description: description),
      JSONPath(steps: Array(steps[(cut + 1)...]), names: names, description: description)
    )
  }

  init(steps: [Step], names: [UInt8], description: String) {
    self.steps = steps
    self.names = names
    self.description = description
    hasFilter = steps.contains { if case .filter = $0 { true } else { false } }
  }

  public static func == (a: JSONPath, b: JSONPath) -> Bool { a.steps == b.steps && a.names == b.names }

  public func hash(into hasher: inout Hasher) { hasher.combine(names) }

  /// A member as a path segment: `.name` if possible, otherwise `['a name']`.
  static func segment(_ name: String) -> String {
    let isPlain = name.unicodeScalars.enumerated().allSatisfy { position, scalar in
      scalar == "_" || scalar.value >= 0x80 || scalar.properties.isAlphabetic
        || (position > 0 && ("0"..."9").contains(scalar))
    }
    if isPlain, !name.isEmpty { return ".\(name)" }
    var quoted = ""
    for character in name.unicodeScalars {
      if character == "'" || character == "\\" { quoted.unicodeScalars.append("\\") }
      quoted.unicodeScalars.append(character)
    }
    return "['\(quoted)']"
  }
}

extension JSONValue {
  /// The value of `path` below this one.
  public subscript(path: JSONPath) -> JSONValue? {
    path.resolve(in: document, from: index).map { JSONValue(document: document, index: $0) }
  }
}

/// Why a text is not a supported path.
public struct JSONPathError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The character of the error, from 1.
  public var column: Int
  public var message: String

  public var description: String { "\(message) (character \(column) of the path)" }
}
