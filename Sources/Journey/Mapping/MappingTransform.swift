/// One step of what a mapping does with a value that it has found. A step that a value does not fit makes nothing of
/// it, so that the next choice of a list is tried.
public enum MappingTransform: Hashable, Sendable {
  /// The text without white space at its ends.
  case trim
  case lowercase
  case uppercase
  /// The text that base64 (RFC 4648, with or without padding, either alphabet) stands for; nothing where that is no
  /// UTF-8.
  case base64
  /// The value at the path in the JSON that the text holds.
  case json(JSONPath)
  /// The first group of the expression's first match in the text, or the whole match where the expression has no group.
  case match(TextPattern)
  /// A text that is written as a number, as that number: to the last digit.
  case number
  /// An amount in the currency's major unit, as an amount in its minor unit: exactly, by ISO 4217's decimal places.
  case minorUnits(currency: MappingExpression)
  /// The constant that the table has for the value's text, else `otherwise`, else nothing.
  case table([String: JSONConstant], otherwise: JSONConstant?)
  /// The label of the band that the number lies in; nothing where it lies in none or is no number.
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

/// A regular expression of a mapping, in Swift's syntax (that of PCRE, for all that mappings need).
///
/// `Regex` is not marked Sendable because it may hold closures. One that was made from text holds none, and is never
/// changed.
public struct TextPattern: Hashable, @unchecked Sendable, CustomStringConvertible {
  public let description: String
  private let regex: Regex<AnyRegexOutput>

  /// How many characters an expression may look at, and four times as many bytes: a longer text is cut, so that no body
  /// makes one take long.
  static let maximumLength = 4096

  /// - Throws: what is wrong with the expression.
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
    guard text.utf8.count > maximumLength else { return text[...] }
    let part = text.prefix(maximumLength)
    return part.utf8.count > 4 * maximumLength ? part.beginning(ofBytes: 4 * maximumLength)[...] : part
  }

  public static func == (a: TextPattern, b: TextPattern) -> Bool { a.description == b.description }
  public func hash(into hasher: inout Hasher) { hasher.combine(description) }
}

/// How many decimal places a currency has. Source: ISO 4217, list one.
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

/// Moves the point of a decimal number.
enum DecimalShift {
  /// - Returns: nil where `text` is no plain decimal number.
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
