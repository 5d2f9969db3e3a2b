/// Parses the text of a `JSONPath`.
struct JSONPathReader {
  private let text: [Unicode.Scalar]
  private var at = 0
  /// The UTF-8 names of all members, concatenated.
  private(set) var names: [UInt8] = []

  init(_ text: String) { self.text = Array(text.unicodeScalars) }

  mutating func read() throws(JSONPathError) -> [JSONPath.Step] {
    guard consume("$") else { throw fault("a path starts with $") }
    var steps: [JSONPath.Step] = []
    while at < text.count {
      if consume(".") {
        if peek == "." { throw fault("descent (..) is not supported: name the whole path") }
        if peek == "*" { throw fault("write [*] for every element; a wildcard over members is not supported") }
        if peek == "[" { throw fault("no point before a bracket") }
        steps.append(member(try name()))
      } else if consume("[") {
        steps.append(try bracket())
      } else {
        throw fault("a point or a bracket is expected here")
      }
    }
    return steps
  }

  private mutating func member(_ name: String) -> JSONPath.Step {
    let start = names.count
    names.append(contentsOf: name.utf8)
    return .member(start..<names.count)
  }

  private mutating func name() throws(JSONPathError) -> String {
    var name = String.UnicodeScalarView()
    while let scalar = peek, scalar != ".", scalar != "[" {
      let isFirst = name.isEmpty
      guard scalar == "_" || scalar.value >= 0x80 || scalar.isASCIILetter || (!isFirst && scalar.isASCIIDigit) else {
        throw fault("a name with this character must be written in quotes: ['a name']")
      }
      name.append(scalar)
      at += 1
    }
    if name.isEmpty { throw fault("a name is expected after the point") }
    return String(name)
  }

  private mutating func bracket() throws(JSONPathError) -> JSONPath.Step {
    guard let scalar = peek else { throw fault("the bracket is not closed") }
    let step: JSONPath.Step
    switch scalar {
    case "'", "\"": step = member(try quotedName())
    case "*":
      at += 1
      step = .every
    case "?": throw fault("filters are not supported: use a rule's conditions")
    case "-", "0"..."9": step = .element(try integer())
    default: throw fault("a number, * or a name in quotes is expected here")
    }
    if peek == ":" { throw fault("slices are not supported") }
    if peek == "," { throw fault("several names in one bracket are not supported") }
    guard consume("]") else { throw fault("the bracket is not closed") }
    return step
  }

  private mutating func quotedName() throws(JSONPathError) -> String {
    let quote = text[at]
    at += 1
    var name = String.UnicodeScalarView()
    while let scalar = peek, scalar != quote {
      at += 1
      guard scalar == "\\" else {
        name.append(scalar)
        continue
      }
      guard let escaped = peek, escaped == "'" || escaped == "\"" || escaped == "\\" || escaped == "/" else {
        throw fault("only quotes and backslashes can be escaped in a name")
      }
      name.append(escaped)
      at += 1
    }
    guard consume(quote) else { throw fault("the quote is not closed") }
    return String(name)
  }

  private mutating func integer() throws(JSONPathError) -> Int {
    let start = at
    if peek == "-" { at += 1 }
    while let scalar = peek, scalar.isASCIIDigit { at += 1 }
    var digits = String.UnicodeScalarView()
    digits.append(contentsOf: text[start..<at])
    let written = String(digits)
    guard let value = Int(written), String(value) == written, abs(value) <= 1 << 30 else {
      at = start
      throw fault("this is not an array index")
    }
    return value
  }

  private var peek: Unicode.Scalar? { at < text.count ? text[at] : nil }

  private mutating func consume(_ scalar: Unicode.Scalar) -> Bool {
    guard peek == scalar else { return false }
    at += 1
    return true
  }

  private func fault(_ message: String) -> JSONPathError { JSONPathError(column: at + 1, message: message) }
}

extension Unicode.Scalar {
  fileprivate var isASCIILetter: Bool { ("a"..."z").contains(self) || ("A"..."Z").contains(self) }
  fileprivate var isASCIIDigit: Bool { ("0"..."9").contains(self) }
}
