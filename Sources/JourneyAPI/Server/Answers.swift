import Crypto
import DeadLetters
import FoundationEssentials
import HTTPTypes
import Hummingbird
import Journey
import Logging

/// An answer with an entity tag: 304 without a body where the caller has it already, or one that says the same of an
/// earlier moment of the same minute.
func etagResponse(
  _ body: [UInt8], type: String = "application/json", to request: Request, caching: String = "private, no-cache"
) -> Response {
  let tag = entityTag(body)
  var headers: HTTPFields = [.eTag: tag, .cacheControl: caching, .vary: "Authorization"]
  // Weak comparison, as RFC 9110 (13.1.2) wants it here.
  func opaque(_ tag: Substring) -> Substring { tag.hasPrefix("W/") ? tag.dropFirst(2) : tag }
  let known = request.headers[values: .ifNoneMatch].flatMap { $0.split { $0 == "," || $0 == " " } }.map(opaque)
  if known.contains(opaque(tag[...])) || known.contains("*") { return Response(status: .notModified, headers: headers) }
  headers[.contentType] = type
  return Response(status: .ok, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: body)))
}

/// Of an answer whose first member is the moment for which it was calculated, a weak one, in which that counts by the
/// minute.
func entityTag(_ body: [UInt8]) -> String {
  var hash = SHA256()
  let opening = #"{"asOf" : ""#.utf8, minute = "2026-01-01T00:00".utf8.count
  let isOfAMoment = body.starts(with: opening)
  if isOfAMoment, let end = body[opening.count...].firstIndex(of: UInt8(ascii: "\"")), end > opening.count + minute {
    hash.update(data: body[..<(opening.count + minute)])
    hash.update(data: body[end...])
  } else {
    hash.update(data: body)
  }
  let text = hash.finalize().prefix(12).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  return (isOfAMoment ? "W/" : "") + "\"" + text + "\""
}

/// An answer that is new each time.
func noStoreResponse(_ body: [UInt8], status: HTTPResponse.Status = .ok) -> Response {
  Response(
    status: status, headers: [.contentType: "application/json", .cacheControl: "no-store"],
    body: ResponseBody(byteBuffer: ByteBuffer(bytes: body)))
}

/// What a caller may know of an error; the log has the rest.
extension Problem {
  static func of(_ error: StoreError, _ logger: Logger) -> Problem {
    switch error.kind {
    case .transient, .contended:
      logger.warning("a read failed", metadata: .fields([.code: "read_failed", .error: "\(error)"]))
      return .unavailable
    case .permanent, .poison:
      logger.error("a read failed", metadata: .fields([.code: "read_refused", .error: "\(error)"]))
      return Problem(
        .serviceUnavailable, "the database refuses the request; whoever runs this finds the reason in the log")
    }
  }

  static func of(_ error: OperationsError, _ logger: Logger) -> Problem {
    switch error {
    case .busy(let reason): return Problem(.conflict, reason)
    case .refused(let member, let reason): return .invalid("$.\(member)", reason)
    case .unavailable(let reason):
      logger.warning("an operation failed", metadata: .fields([.code: "operation_failed", .reason: reason]))
      return .unavailable
    }
  }
}
