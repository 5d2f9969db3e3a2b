/// A path to one value: the part of RFC 9535 without filters, slices, unions and descent.
///
/// `$` is the value at hand; then members (`.name`, `['any name']`) and elements (`[0]`, `[-1]`). `[*]` stands for
/// every element and is only taken where one body is split into many events.
///
/// A class, since each event hands a dozen of them on, and they never change.
public final class JSONPath: Hashable, Sendable, CustomStringConvertible {
  enum Step: Hashable, Sendable {
    /// The member of the name that lies here among the path's names.
    case member(Range<Int>)
    case element(Int)
    case every
  }

  let steps: [Step]
  /// In UTF-8, one behind the other.
  private let names: [UInt8]
  /// The path as it was written.
  public let description: String

  /// The value at hand itself.
  public static let root = JSONPath(steps: [], names: [], description: "$")

  /// Whether the path names more than one value.
  public var isWildcard: Bool { steps.contains(.every) }

  /// - Throws: `JSONPathError` that says at which character and why `text` is not such a path.
  public init(_ text: String) throws(JSONPathError) {
    var reader = JSONPathReader(text)
    steps = try reader.read()
    names = reader.names
    description = text
  }

  /// The one value that the path names below `start`, or nil where there is none. A wildcard takes no part in this.
  func resolve(in document: JSONDocument, from start: Int) -> Int? {
    names.withUnsafeBufferPointer { names in
      var at = start
      for step in steps {
        let next: Int?
        switch step {
        case .member(let name): next = document.member(of: at, UnsafeBufferPointer(rebasing: names[name]))
        case .element(let position): next = document.element(of: at, position)
        case .every: next = nil
        }
        guard let next else { return nil }
        at = next
      }
      return at
    }
  }

  /// All values that the path names, in document order.
  func resolveAll(in document: JSONDocument, from start: Int) -> [Int] {
    names.withUnsafeBufferPointer { names in
      steps.reduce([start]) { found, step in
        switch step {
        case .member(let name): found.compactMap { document.member(of: $0, UnsafeBufferPointer(rebasing: names[name])) }
        case .element(let position): found.compactMap { document.element(of: $0, position) }
        case .every: found.flatMap { JSONValue(document: document, index: $0).elements.map(\.index) }
        }
      }
    }
  }

  /// The path of a list within a list, cut behind its first `[*]`; nil where there are not two of them.
  var outermostList: (around: JSONPath, rest: JSONPath)? {
    guard let cut = steps.firstIndex(of: .every), steps[(cut + 1)...].contains(.every) else { return nil }
    return (
      JSONPath(steps: Array(steps[...cut]), names: names, description: description),
      JSONPath(steps: Array(steps[(cut + 1)...]), names: names, description: description)
    )
  }

  private init(steps: [Step], names: [UInt8], description: String) {
    self.steps = steps
    self.names = names
    self.description = description
  }

  public static func == (a: JSONPath, b: JSONPath) -> Bool { a.steps == b.steps && a.names == b.names }

  public func hash(into hasher: inout Hasher) { hasher.combine(names) }

  /// How a member is written in a path: `.name` where the name allows it, else `['a name']`.
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
  /// The value that `path` names below this one.
  public subscript(path: JSONPath) -> JSONValue? {
    path.resolve(in: document, from: index).map { JSONValue(document: document, index: $0) }
  }
}

/// Why a text is not a path that the adapter understands.
public struct JSONPathError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The character in question, from 1.
  public var column: Int
  public var message: String

  public var description: String { "\(message) (character \(column) of the path)" }
}
