/// Parses the text of a `JSONPath`.
struct JSONPathReader {
  private let text: [Unicode.Scalar]
  private var at = 0
  /// Inside the brackets of a filter, where blanks and operators end a name.
  private var isInFilter = false
  /// The UTF-8 names of all members, concatenated.
  private(set) var names: [UInt8] = []

  init(_ text: String) { self.text = Array(text.unicodeScalars) }

  mutating func read() throws(JSONPathError) -> [JSONPath.Step] {
    guard consume("$") else { throw fault("a path starts with $") }
    let steps = try self.steps()
    if at < text.count { throw fault("a point or a bracket is expected here") }
    return steps
  }

  /// The steps up to a character that no step starts with.
  private mutating func steps() throws(JSONPathError) -> [JSONPath.Step] {
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
        break
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
    while let scalar = peek, scalar != ".", scalar != "[", !(isInFilter && Self.endsName(scalar)) {
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
    case "?":
      at += 1
      step = .filter(try filter())
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

  // MARK: Filters

  private mutating func filter() throws(JSONPathError) -> JSONFilter {
    if isInFilter { throw fault("a filter inside a filter is not supported") }
    isInFilter = true
    defer { isInFilter = false }
    let filter = try alternatives()
    if peek != "]" { throw fault("a comparison, && or || is expected here") }
    return filter
  }

  private mutating func alternatives() throws(JSONPathError) -> JSONFilter {
    var parts = [try conjunction()]
    while consume("|", "|") { parts.append(try conjunction()) }
    return parts.count == 1 ? parts[0] : .any(parts)
  }

  private mutating func conjunction() throws(JSONPathError) -> JSONFilter {
    var parts = [try term()]
    while consume("&", "&") { parts.append(try term()) }
    return parts.count == 1 ? parts[0] : .all(parts)
  }

  private mutating func term() throws(JSONPathError) -> JSONFilter {
    skipBlanks()
    if consume("!") { return .not(try term()) }
    if consume("(") {
      let inner = try alternatives()
      guard consume(")") else { throw fault("the parenthesis is not closed") }
      skipBlanks()
      return inner
    }
    guard consume("@") else {
      throw fault("a filter compares a path that starts with @, for example [?@.primary == true]")
    }
    let path = try pathBelow()
    skipBlanks()
    for comparison in JSONComparison.allCases {
      let signs = Array(comparison.rawValue.unicodeScalars)
      guard text[at...].starts(with: signs) else { continue }
      at += signs.count
      skipBlanks()
      let constant = try literal()
      skipBlanks()
      return .compare(path, comparison, constant)
    }
    return .exists(path)
  }

  /// A path below the element that is tested; it has names of its own.
  private mutating func pathBelow() throws(JSONPathError) -> JSONPath {
    let start = at
    let outerNames = names
    names = []
    defer { names = outerNames }
    let steps = try self.steps()
    if steps.contains(.every) { throw fault("a path in a filter names one value") }
    return JSONPath(steps: steps, names: names, description: "@\(written(from: start))")
  }

  /// A constant; nil for null.
  private mutating func literal() throws(JSONPathError) -> JSONConstant? {
    if peek == "'" || peek == "\"" { return JSONConstant(string: try quotedName()) }
    let start = at
    while let scalar = peek, !Self.endsLiteral(scalar) { at += 1 }
    switch written(from: start) {
    case "true": return JSONConstant(bool: true)
    case "false": return JSONConstant(bool: false)
    case "null": return nil
    case let text:
      if let number = JSONConstant(number: text) { return number }
      at = start
      throw fault("a text in quotes, a number, true, false or null is expected here")
    }
  }

  private func written(from start: Int) -> String {
    var written = String.UnicodeScalarView()
    written.append(contentsOf: text[start..<at])
    return String(written)
  }

  private static func endsLiteral(_ scalar: Unicode.Scalar) -> Bool {
    [" ", "\t", ")", "]", "&", "|"].contains(scalar)
  }

  private static func endsName(_ scalar: Unicode.Scalar) -> Bool {
    endsLiteral(scalar) || ["=", "!", "<", ">"].contains(scalar)
  }

  private mutating func skipBlanks() { while peek == " " || peek == "\t" { at += 1 } }

  private mutating func consume(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> Bool {
    skipBlanks()
    guard at + 1 < text.count, text[at] == first, text[at + 1] == second else { return false }
    at += 2
    return true
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
