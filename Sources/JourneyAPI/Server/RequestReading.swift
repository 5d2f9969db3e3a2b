import FoundationEssentials
import HTTPTypes
import Hummingbird
import Journey
import NIOCore

/// The query of a request. A parameter that is not known, or comes twice, or whose value is none that it takes, is a
/// mistake that is reported, with its name and its value.
struct Query {
  private let values: [String: String]

  init(_ request: Request, _ known: [String] = []) throws(Problem) {
    var values: [String: String] = [:]
    for part in (request.uri.query ?? "").split(separator: "&") {
      let raw = part.prefix { $0 != "=" }
      guard let name = percentDecoded(raw), let value = percentDecoded(part.dropFirst(raw.utf8.count + 1)) else {
        throw .invalid(quoted(raw), "\(quoted(part)) is not percent-encoded UTF-8 text")
      }
      guard known.contains(name) else {
        throw .invalid(
          quoted(name),
          "there is no such parameter here" + (known.isEmpty ? "" : "; known are \(known.joined(separator: ", "))"))
      }
      guard values.updateValue(value, forKey: name) == nil else {
        throw .invalid(name, "it is given twice, the second time as \(quoted(value))")
      }
      // Text that no column holds.
      guard !value.utf8.contains(0) else { throw .invalid(name, "it holds a NUL character") }
    }
    self.values = values
  }

  func text(_ name: String, _ length: ClosedRange<Int> = 1...200) throws(Problem) -> String? {
    guard let value = values[name] else { return nil }
    guard length.contains(value.unicodeScalars.count) else {
      throw .invalid(
        name, "\(length.lowerBound) to \(length.upperBound) characters are expected, not \(value.unicodeScalars.count)")
    }
    return value
  }

  func uuid(_ name: String) throws(Problem) -> UUID? {
    guard let value = values[name] else { return nil }
    guard let id = uuidText(value) else { throw .invalid(name, "a UUID is expected, not \(quoted(value))") }
    return id
  }

  func int(_ name: String, _ range: ClosedRange<Int>, defaultValue: Int) throws(Problem) -> Int {
    guard let value = values[name] else { return defaultValue }
    guard let number = Int(value), range.contains(number), value.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else {
      throw .invalid(
        name, "a whole number from \(range.lowerBound) to \(range.upperBound) is expected, not \(quoted(value))")
    }
    return number
  }

  func keyword<Keyword: RawRepresentable<String> & CaseIterable>(_ name: String, _: Keyword.Type = Keyword.self)
    throws(Problem)
    -> Keyword?
  {
    guard let value = values[name] else { return nil }
    guard let keyword = Keyword(rawValue: value) else {
      throw .invalid(
        name, "one of \(Keyword.allCases.map(\.rawValue).joined(separator: ", ")) is expected, not \(quoted(value))")
    }
    return keyword
  }

  func flag(_ name: String) throws(Problem) -> Bool {
    guard let value = values[name] else { return false }
    guard let flag = Bool(value) else { throw .invalid(name, "true or false is expected, not \(quoted(value))") }
    return flag
  }

  func time(_ name: String) throws(Problem) -> Timestamp? {
    guard let value = values[name] else { return nil }
    guard let time = Timestamp(iso8601: value) else {
      throw .invalid(name, "a time such as 2026-11-20T10:00:00Z is expected, not \(quoted(value))")
    }
    return time
  }

  /// - Parameter keys: how many parts a cursor of this list has.
  func page(keys: Int) throws(Problem) -> PageRequest {
    var page = PageRequest(limit: try int("limit", 1...200, defaultValue: 50))
    guard let text = values["cursor"] else { return page }
    guard let bytes = base64URL(text.utf8), let document = try? JSONDocument(parsing: bytes),
      document.root.kind == .array,
      document.root.count == keys, document.root.elements.allSatisfy({ $0.string != nil }), !bytes.contains(0)
    else { throw .invalidCursor(text) }
    page.after = document.root.elements.compactMap(\.string)
    return page
  }
}

extension Query {
  /// A page of a list whose order moves.
  func board() throws(Problem) -> BoardRequest {
    let limit = try int("limit", 1...200, defaultValue: 50)
    guard let text = values["cursor"] else { return BoardRequest(limit: limit) }
    guard let bytes = base64URL(text.utf8), let root = try? JSONDocument(parsing: bytes).root, root.kind == .array
    else { throw .invalidCursor(text) }
    let parts = root.elements.compactMap(\.string)
    guard parts.count == root.count, let kind = parts.first else { throw .invalidCursor(text) }
    switch (kind, parts.count) {
    case ("after", 2):
      guard let data = Data(base64Encoded: parts[1]), data.count % 16 == 0, (1...200).contains(data.count / 16) else {
        throw .invalidCursor(text)
      }
      let bytes = Array(data)
      return BoardRequest(
        .after(stride(from: 0, to: bytes.count, by: 16).map { UUID(bytes: bytes[$0..<$0 + 16]) }), limit: limit)
    case ("kept", 3):
      guard let id = uuidText(parts[1]), let offset = Int(parts[2]), (0...10_000_000).contains(offset) else {
        throw .invalidCursor(text)
      }
      return BoardRequest(.kept(id, offset: offset), limit: limit)
    default: throw .invalidCursor(text)
    }
  }
}

/// A part of a request as an answer may quote it: short, on one line, without characters that steer anything.
func quoted(_ text: some StringProtocol) -> String {
  var result = ""
  for scalar in text.unicodeScalars.prefix(60) {
    if scalar.isPlain {
      result.unicodeScalars.append(scalar)
    } else {
      result += "\\u{\(String(scalar.value, radix: 16))}"
    }
  }
  return "\"\(result)\(text.unicodeScalars.count > 60 ? "…" : "")\""
}

/// nil where it is not percent-encoded UTF-8.
func percentDecoded(_ text: some StringProtocol) -> String? {
  var bytes: [UInt8] = [], rest = Array(text.utf8)[...]
  while let byte = rest.popFirst() {
    guard byte == UInt8(ascii: "%") else {
      bytes.append(byte)
      continue
    }
    guard let high = rest.popFirst().flatMap({ Character(Unicode.Scalar($0)).hexDigitValue }),
      let low = rest.popFirst().flatMap({ Character(Unicode.Scalar($0)).hexDigitValue })
    else { return nil }
    bytes.append(UInt8(high << 4 | low))
  }
  return String(validating: bytes, as: UTF8.self)
}

extension UUID {
  /// - Parameter bytes: 16 of them.
  init(bytes: some Collection<UInt8>) {
    let b = Array(bytes)
    self.init(
      uuid: (b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]))
  }
}

/// A UUID in its usual form of 36 characters.
func uuidText(_ text: String) -> UUID? { text.utf8.count == 36 ? UUID(uuidString: text) : nil }

extension APIContext {
  /// An id in the path. What is none names nothing.
  func id(_ name: String) throws(Problem) -> UUID {
    guard let text = parameters.get(name), let id = uuidText(text) else { throw .notFound }
    return id
  }
}

/// Reads a JSON object out of a request's body.
/// - Throws: 413, 415, 408 for one that does not arrive in time, 400 for one that is no JSON object.
func body(of request: Request, _ settings: APISettings) async throws -> JSONValue {
  let type = request.headers[.contentType].map { $0.prefix { $0 != ";" && $0 != " " }.lowercased() }
  guard type == "application/json" else {
    throw Problem(.unsupportedMediaType, "content-type has to be application/json")
  }
  let tooLarge = Problem(.contentTooLarge, "a body has at most \(settings.maxBodyBytes) bytes")
  if let length = request.headers[.contentLength].flatMap({ Int($0) }), length > settings.maxBodyBytes {
    throw tooLarge
  }
  let limit = settings.maxBodyBytes, timeout = settings.requestTimeout, incoming = request.body
  let buffer = try await withThrowingTaskGroup(of: ByteBuffer.self) { group in
    group.addTask {
      do { return try await incoming.collect(upTo: limit) } catch is NIOTooManyBytesError { throw tooLarge }
    }
    group.addTask {
      try await Task.sleep(for: timeout)
      throw Problem(.requestTimeout, "the body did not arrive within \(timeout)", headers: [.connection: "close"])
    }
    defer { group.cancelAll() }
    return try await group.next()!
  }
  do throws(JSONError) {
    let root = try JSONDocument(parsing: Array(buffer.readableBytesView)).root
    if root.kind == .object { return root }
  } catch {
    throw Problem.invalid("$", "the body is not valid JSON: \(error)")
  }
  throw Problem.invalid("$", "a JSON object is expected")
}

extension JSONValue {
  /// A member that is a text; nil if there is none.
  func text(_ name: String, _ length: ClosedRange<Int> = 1...200) throws(Problem) -> String? {
    guard let part = self[name] else { return nil }
    guard let text = part.string, length.contains(text.unicodeScalars.count), !text.utf8.contains(0) else {
      throw .invalid("$.\(name)", "\(length.lowerBound) to \(length.upperBound) characters are expected")
    }
    return text
  }

  /// A member that is a time with its zone; nil if there is none.
  func time(_ name: String) throws(Problem) -> Timestamp? {
    guard let part = self[name] else { return nil }
    guard let time = part.string.flatMap({ Timestamp(iso8601: $0) }) else {
      throw .invalid("$.\(name)", "a time such as 2026-11-20T10:00:00Z is expected")
    }
    return time
  }

  /// A member of a body that is not known is a mistake that is reported.
  func requireKnownMembers(_ known: [String]) throws(Problem) {
    for (name, _) in members where !known.contains(name) {
      throw .invalid("$.\(name)", "there is no such member; known are \(known.joined(separator: ", "))")
    }
  }
}
