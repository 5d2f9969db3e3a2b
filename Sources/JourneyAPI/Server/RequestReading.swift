import FoundationEssentials
import HTTPTypes
import Hummingbird
import Journey
import JourneyPipeline
import NIOCore

/// The query of a request. A parameter that is not known, or comes twice, is a mistake that is told.
struct Query {
  private let values: [String: String]

  init(_ request: Request, _ known: String...) throws(Problem) {
    var values: [String: String] = [:]
    for (name, value) in request.uri.queryParameters {
      let name = String(name)
      guard known.contains(name) else {
        throw .invalid(name, "there is no such parameter here" + (known.isEmpty ? "" : "; known are \(known.joined(separator: ", "))"))
      }
      guard values.updateValue(String(value), forKey: name) == nil else { throw .invalid(name, "it is given twice") }
      // Text that no column holds.
      guard !value.utf8.contains(0) else { throw .invalid(name, "it holds a NUL character") }
    }
    self.values = values
  }

  func text(_ name: String, _ length: ClosedRange<Int> = 1...200) throws(Problem) -> String? {
    guard let value = values[name] else { return nil }
    guard length.contains(value.unicodeScalars.count) else { throw .invalid(name, "\(length.lowerBound) to \(length.upperBound) characters") }
    return value
  }

  func uuid(_ name: String) throws(Problem) -> UUID? {
    guard let value = values[name] else { return nil }
    guard let id = uuidText(value) else { throw .invalid(name, "a UUID is expected") }
    return id
  }

  func int(_ name: String, _ range: ClosedRange<Int>, standard: Int) throws(Problem) -> Int {
    guard let value = values[name] else { return standard }
    guard let number = Int(value), range.contains(number), value.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else {
      throw .invalid(name, "a whole number from \(range.lowerBound) to \(range.upperBound) is expected")
    }
    return number
  }

  func word<Word: RawRepresentable<String> & CaseIterable>(_ name: String, _: Word.Type = Word.self) throws(Problem) -> Word? {
    guard let value = values[name] else { return nil }
    guard let word = Word(rawValue: value) else {
      throw .invalid(name, "one of \(Word.allCases.map(\.rawValue).joined(separator: ", ")) is expected")
    }
    return word
  }

  func time(_ name: String) throws(Problem) -> Timestamp? {
    guard let value = values[name] else { return nil }
    guard let time = Timestamp(iso8601: value) else { throw .invalid(name, "a time such as 2026-11-20T10:00:00Z is expected") }
    return time
  }

  /// - Parameter keys: how many parts a cursor of this list has.
  func page(keys: Int) throws(Problem) -> PageRequest {
    var page = PageRequest(limit: try int("limit", 1...200, standard: 50))
    guard let text = values["cursor"] else { return page }
    guard let bytes = base64URL(text.utf8), let document = try? JSONDocument(parsing: bytes), document.root.kind == .array,
      document.root.count == keys, document.root.elements.allSatisfy({ $0.string != nil }), !bytes.contains(0)
    else { throw .noSuchPage }
    page.after = document.root.elements.compactMap(\.string)
    return page
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
  guard type == "application/json" else { throw Problem(.unsupportedMediaType, "content-type has to be application/json") }
  let tooLarge = Problem(.contentTooLarge, "a body has at most \(settings.maximumBodyBytes) bytes")
  if let length = request.headers[.contentLength].flatMap({ Int($0) }), length > settings.maximumBodyBytes { throw tooLarge }
  let limit = settings.maximumBodyBytes, timeout = settings.requestTimeout, incoming = request.body
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
