/// The checks of every field of an event.
extension EventLimits {
  func check(_ text: String, field: MappingExpression) throws(Rejection) {
    if let fault = fault(of: text) {
      throw Rejection(.invalidField, field: field.description, value: text.withoutControls, fault)
    }
  }

  /// Why a text cannot be a name or an id in an event; nil if it can.
  public func fault(of text: String) -> String? {
    // Counting characters is slow; there are at most as many as bytes. A character may consist of any number of bytes.
    if text.utf8.count > maxTextLength {
      if text.utf8.count > maxTextBytes { return "longer than \(maxTextBytes) bytes" }
      if text.count > maxTextLength { return "longer than \(maxTextLength) characters" }
    }
    let isPlain = text.utf8.withContiguousStorageIfAvailable(\.isPrintableASCII)
    return isPlain != true && text.unicodeScalars.contains(where: \.isControl) ? "contains a control character" : nil
  }

  func check(_ time: Timestamp, field: String) throws(Rejection) {
    if time < earliest {
      throw Rejection(.invalidField, field: field, value: time.iso8601, "before \(earliest.iso8601)")
    }
    if time > now + maxFuture {
      let hours = maxFuture.microseconds / TimeSpan.hours(1).microseconds
      throw Rejection(.invalidField, field: field, value: time.iso8601, "more than \(hours) hours in the future")
    }
  }

  /// Rejects numbers that the database or a reader of it cannot hold: magnitudes from 10²¹, more than 1000 decimal
  /// places.
  func checkNumbers(in document: JSONDocument, below index: Int, element: Int) throws(Rejection) {
    let end = Int(document.nodes[index].next)
    for at in index..<end {
      let node = document.nodes[at]
      // Up to eighteen plain digits are always fine; this covers nearly all numbers.
      guard node.kind == .number, node.isComplex || node.end &- node.start > 18 else { continue }
      if let fault = numberFault(document.bytes[Int(node.start)..<Int(node.end)]) {
        let value = String(decoding: document.bytes[Int(node.start)..<Int(node.end)].prefix(201), as: UTF8.self)
        throw Rejection(.invalidField, field: document.path(to: at, from: element), value: value, fault)
      }
    }
  }
}

/// Why a JSON number cannot be stored; nil if it can.
private func numberFault(_ text: ArraySlice<UInt8>) -> String? {
  var exponent = 0
  var digits = text
  if let mark = text.firstIndex(where: { $0 | 0x20 == UInt8(ascii: "e") }) {
    digits = text[..<mark]
    // An exponent that does not fit into an Int exceeds any limit.
    exponent =
      Int(String(decoding: text[(mark + 1)...], as: UTF8.self)) ?? (text[mark + 1] == ASCII.minus ? -100_000 : 100_000)
    exponent = min(max(exponent, -100_000), 100_000)
  }
  if digits.first == ASCII.minus { digits.removeFirst() }
  let point = digits.firstIndex(of: ASCII.point) ?? digits.endIndex
  let decimals = max(0, digits.endIndex - point - 1)
  if decimals - exponent > 1000 { return "more than 1000 decimal places" }
  guard let first = digits.firstIndex(where: { $0 != ASCII.zero && $0 != ASCII.point }) else {
    return exponent > 1000 ? "an exponent above 1000" : nil
  }
  let power = (first < point ? point - first - 1 : point - first) + exponent
  return power >= 21 ? "a magnitude of 10^21 or more" : nil
}

extension JSONDocument {
  /// The path from `start` to the node `target`.
  func path(to target: Int, from start: Int) -> String {
    var path = "$"
    var at = start
    while at != target, nodes[at].kind == .object || nodes[at].kind == .array {
      let isObject = nodes[at].kind == .object
      var child = at + 1
      var position = 0
      while child < Int(nodes[at].next) {
        let value = isObject ? child + 1 : child
        if target < Int(nodes[value].next) {
          path += isObject ? JSONPath.segment(string(at: child).shortened(to: 64)) : "[\(position)]"
          break
        }
        child = Int(nodes[value].next)
        position += 1
      }
      guard child < Int(nodes[at].next) else { return path }
      at = isObject ? child + 1 : child
    }
    return path
  }
}

extension Unicode.Scalar {
  fileprivate var isControl: Bool { value < 0x20 || (0x7F...0x9F).contains(value) }
}

extension String {
  fileprivate var withoutControls: String {
    var clean = String.UnicodeScalarView()
    clean.append(contentsOf: unicodeScalars.lazy.map { $0.isControl ? "\u{FFFD}" : $0 })
    return String(clean)
  }
}
