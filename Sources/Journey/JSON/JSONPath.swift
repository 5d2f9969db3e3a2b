/// A path to one value: the part of RFC 9535 without filters, slices, unions and descent.
///
/// `$` is the value at hand; then members (`.name`, `['any name']`) and elements (`[0]`, `[-1]`). `[*]` stands for every
/// element and is only taken where one body is split into many events.
public struct JSONPath: Hashable, Sendable, CustomStringConvertible {
  enum Step: Hashable, Sendable {
    case member([UInt8])
    case element(Int)
    case every
  }

  let steps: [Step]
  /// The path as it was written.
  public let description: String

  /// The value at hand itself.
  public static let root = JSONPath(steps: [], description: "$")

  /// Whether the path names more than one value.
  public var isWildcard: Bool { steps.contains(.every) }

  /// - Throws: `JSONPathError` that says at which character and why `text` is not such a path.
  public init(_ text: String) throws(JSONPathError) {
    var reader = JSONPathReader(text)
    steps = try reader.read()
    description = text
  }

  /// The one value that the path names below `start`, or nil where there is none. A wildcard takes no part in this.
  func resolve(in document: JSONDocument, from start: Int) -> Int? {
    var at = start
    for step in steps {
      let next: Int?
      switch step {
      case .member(let key): next = document.member(of: at, key)
      case .element(let position): next = document.element(of: at, position)
      case .every: next = nil
      }
      guard let next else { return nil }
      at = next
    }
    return at
  }

  /// All values that the path names, in document order.
  func resolveAll(in document: JSONDocument, from start: Int) -> [Int] {
    steps.reduce([start]) { found, step in
      switch step {
      case .member(let key): found.compactMap { document.member(of: $0, key) }
      case .element(let position): found.compactMap { document.element(of: $0, position) }
      case .every: found.flatMap { JSONValue(document: document, index: $0).elements.map(\.index) }
      }
    }
  }

  /// The path of a list within a list, cut behind its first `[*]`; nil where there are not two of them.
  var outermostList: (around: JSONPath, rest: JSONPath)? {
    guard let cut = steps.firstIndex(of: .every), steps[(cut + 1)...].contains(.every) else { return nil }
    return (
      JSONPath(steps: Array(steps[...cut]), description: description), JSONPath(steps: Array(steps[(cut + 1)...]), description: description)
    )
  }

  private init(steps: [Step], description: String) {
    self.steps = steps
    self.description = description
  }

  /// How a member is written in a path: `.name` where the name allows it, else `['a name']`.
  static func segment(_ name: String) -> String {
    let isPlain = name.unicodeScalars.enumerated().allSatisfy { position, scalar in
      scalar == "_" || scalar.value >= 0x80 || scalar.properties.isAlphabetic || (position > 0 && ("0"..."9").contains(scalar))
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
