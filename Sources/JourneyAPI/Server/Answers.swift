import Crypto
import FoundationEssentials
import HTTPTypes
import Hummingbird
import Journey
import JourneyPipeline
import Logging

/// An answer with a strong entity tag: 304 without a body where the caller has it already.
func answer(_ body: [UInt8], type: String = "application/json", to request: Request, caching: String = "private, no-cache") -> Response {
  var hash = SHA256()
  hash.update(data: body)
  let tag = "\"" + hash.finalize().prefix(12).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() + "\""
  var headers: HTTPFields = [.eTag: tag, .cacheControl: caching, .vary: "Authorization"]
  // Weak comparison, as RFC 9110 (13.1.2) wants it here.
  let known = request.headers[values: .ifNoneMatch].flatMap { $0.split { $0 == "," || $0 == " " } }.map { $0.hasPrefix("W/") ? $0.dropFirst(2) : $0 }
  if known.contains(tag[...]) || known.contains("*") { return Response(status: .notModified, headers: headers) }
  headers[.contentType] = type
  return Response(status: .ok, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: body)))
}

/// An answer that is new each time.
func fresh(_ body: [UInt8], status: HTTPResponse.Status = .ok) -> Response {
  Response(
    status: status, headers: [.contentType: "application/json", .cacheControl: "no-store"], body: ResponseBody(byteBuffer: ByteBuffer(bytes: body)))
}

func json(_ write: (inout JSONWriter) -> Void) -> [UInt8] {
  var json = JSONWriter()
  write(&json)
  return json.bytes
}

/// Runs a read, and turns what the database says into what the caller may know.
func reading<Value>(
  _ context: APIContext, cursor: Substring? = nil, _ body: () async throws(LedgerError) -> Value
) async throws(Problem) -> Value {
  do throws(LedgerError) {
    return try await body()
  } catch {
    // The only part of a read's parameters that is not checked before is what stands in a cursor.
    if let cursor, error.kind == .poison { throw .invalidCursor(cursor) }
    switch error.kind {
    case .transient, .contended:
      context.logger.warning("a read failed: \(error)")
      throw .unavailable
    case .permanent, .poison:
      context.logger.error("a read failed: \(error)")
      throw Problem(.serviceUnavailable, "the database refuses the request; whoever runs this finds the reason in the log")
    }
  }
}
