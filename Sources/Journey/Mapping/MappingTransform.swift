/// One step that transforms a value. The result is nothing if the value does not fit, so that the next alternative is
/// tried.
public enum MappingTransform: Hashable, Sendable {
  /// Removes white space at both ends.
  case trim
  case lowercase
  case uppercase
  /// Decodes base64 (RFC 4648, with or without padding, either alphabet); nothing if the result is not UTF-8.
  case base64
  /// Parses the text as JSON and takes the value at the path.
  case json(JSONPath)
  /// The first group of the expression's first match, or the whole match if it has no group.
  case match(TextPattern)
  /// Reads the text as a number, exactly.
  case number
  /// Converts an amount from the currency's major unit to its minor unit, exactly, by ISO 4217's decimal places.
  case minorUnits(currency: MappingExpression)
  /// Looks the text up in the table; `otherwise` is the default.
  case table([String: JSONConstant], otherwise: JSONConstant?)
  /// The label of the number's band; nothing if there is none.
  case bands([ScoreBand])

  func apply(to value: ResolvedValue, in context: borrowing MappingContext) -> ResolvedValue {
    let document = context.input.document
    switch self {
    case .trim: return text(of: value, document) { .text($0.trimmed) }
    case .lowercase: return text(of: value, document) { .text($0.lowercased()) }
    case .uppercase: return text(of: value, document) { .text($0.uppercased()) }
    case .base64: return text(of: value, document) { Base64.decode($0).map(ResolvedValue.text) ?? .nothing }
    case .json(let path): return text(of: value, document) { Self.embedded($0, path) }
    case .match(let pattern):
      return text(of: value, document) { pattern.extract(from: $0).map(ResolvedValue.text) ?? .nothing }
    case .number:
      return text(of: value, document) { JSONConstant(number: $0.trimmed).map(ResolvedValue.constant) ?? .nothing }
    case .minorUnits(let currency):
      let places = currency.text(in: context).map(Currency.decimalPlaces) ?? 2
      return text(of: value, document) { text in
        DecimalShift.shift(text.trimmed, by: places).flatMap { JSONConstant(number: $0) }.map(ResolvedValue.constant)
          ?? .nothing
      }
    case .table(let table, let otherwise):
      let found = value.text(in: document).flatMap { table[$0] }
      return (found ?? otherwise).map(ResolvedValue.constant) ?? .nothing
    case .bands(let bands):
      guard let number = value.number(in: document), let band = bands.first(where: { $0.range.contains(number) }) else {
        return .nothing
      }
      return .constant(band.label)
    }
  }

  private func text(of value: ResolvedValue, _ document: JSONDocument, _ change: (String) -> ResolvedValue)
    -> ResolvedValue
  {
    value.text(in: document).map(change) ?? .nothing
  }

  private static func embedded(_ text: String, _ path: JSONPath) -> ResolvedValue {
    guard let found = (try? JSONDocument(parsing: text))?.root[path], !found.isNull else { return .nothing }
    return .embedded(found)
  }
}

/// A regular expression in a mapping, in Swift's syntax (compatible with PCRE in all that mappings need).
///
/// `Regex` is not Sendable because it may hold closures. A regex made from text holds none and is immutable.
public struct TextPattern: Hashable, @unchecked Sendable, CustomStringConvertible {
  public let description: String
  private let regex: Regex<AnyRegexOutput>

  /// An expression looks at most at this many characters and four times as many bytes.
  /// Longer texts are cut, which bounds the matching time.
  static let maxLength = 4096

  /// - Throws: the error in the expression.
  public init(_ text: String) throws {
    regex = try Regex(text)
    description = text
  }

  func matches(_ text: String) -> Bool { (try? regex.firstMatch(in: Self.cut(text))) ?? nil != nil }

  func extract(from text: String) -> String? {
    guard let match = (try? regex.firstMatch(in: Self.cut(text))) ?? nil else { return nil }
    let part = match.output.count > 1 ? match.output[1].substring : match.output[0].substring
    return part.map { String($0) }
  }

  private static func cut(_ text: String) -> Substring {
    guard text.utf8.count > maxLength else { return text[...] }
    let part = text.prefix(maxLength)
    return part.utf8.count > 4 * maxLength ? part.beginning(ofBytes: 4 * maxLength)[...] : part
  }

  public static func == (a: TextPattern, b: TextPattern) -> Bool { a.description == b.description }
  public func hash(into hasher: inout Hasher) { hasher.combine(description) }
}

/// The decimal places of a currency. Source: ISO 4217, list one.
enum Currency {
  private static let none: Set<String> = [
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF",
    "XPF",
  ]
  private static let three: Set<String> = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"]

  static func decimalPlaces(_ code: String) -> Int {
    let code = code.uppercased()
    return none.contains(code) ? 0 : three.contains(code) ? 3 : 2
  }
}

/// Moves the decimal point of a number.
enum DecimalShift {
  /// - Returns: nil if `text` is not a plain decimal number.
  static func shift(_ text: String, by places: Int) -> String? {
    var digits = text.utf8[...]
    let isNegative = digits.first == ASCII.minus
    if isNegative { digits.removeFirst() }
    let parts = digits.split(separator: ASCII.point, omittingEmptySubsequences: false)
    guard (1...2).contains(parts.count), !parts[0].isEmpty, parts.allSatisfy({ $0.allSatisfy(ASCII.isDigit) }) else {
      return nil
    }
    var whole = Array(parts[0])
    var fraction = parts.count == 2 ? Array(parts[1]) : []
    for _ in 0..<places { whole.append(fraction.isEmpty ? ASCII.zero : fraction.removeFirst()) }
    while fraction.last == ASCII.zero { fraction.removeLast() }
    let kept = whole.drop { $0 == ASCII.zero }
    var result = isNegative ? [ASCII.minus] : []
    result += kept.isEmpty ? [ASCII.zero] : Array(kept)
    if !fraction.isEmpty { result += [ASCII.point] + fraction }
    return String(decoding: result, as: UTF8.self)
  }
}

/// Base64 in either alphabet. Source: RFC 4648.
enum Base64 {
  static func decode(_ text: String) -> String? {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.utf8.count * 3 / 4)
    var bits: UInt32 = 0
    var count = 0
    for byte in text.utf8 {
      if byte == UInt8(ascii: "=") || byte == 0x0A || byte == 0x0D { continue }
      guard let value = value(of: byte) else { return nil }
      bits = bits << 6 | UInt32(value)
      count += 6
      if count >= 8 {
        count -= 8
        bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
      }
    }
    return String(validating: bytes, as: UTF8.self)
  }

  private static func value(of byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): byte - UInt8(ascii: "A")
    case UInt8(ascii: "a")...UInt8(ascii: "z"): byte - UInt8(ascii: "a") + 26
    case ASCII.zero...ASCII.nine: byte - ASCII.zero + 52
    case UInt8(ascii: "+"), UInt8(ascii: "-"): 62
    case UInt8(ascii: "/"), UInt8(ascii: "_"): 63
    default: nil
    }
  }
}
