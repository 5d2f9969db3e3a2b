import HTTPTypes
import Hummingbird
import Journey

/// An answer that is not a success, as RFC 9457 lays it out. It says what to do and reveals nothing of what is there.
struct Problem: Error, HTTPResponseError {
  struct Detail: Hashable, Encodable {
    /// A parameter, a header, or a member of the body as a JSON path.
    var field: String
    var message: String
  }

  var status: HTTPResponse.Status
  var detail: String
  var errors: [Detail] = []
  var headers = HTTPFields()

  init(_ status: HTTPResponse.Status, _ detail: String, errors: [Detail] = [], headers: HTTPFields = HTTPFields()) {
    self.status = status
    self.detail = detail
    self.errors = errors
    self.headers = headers
  }

  static func invalid(_ field: String, _ message: String) -> Problem {
    Problem(.badRequest, "the request cannot be understood", errors: [Detail(field: field, message: message)])
  }
  /// What does not exist and what is another user's look alike.
  static var notFound: Problem { Problem(.notFound, "there is nothing here that you may see") }
  static func invalidCursor(_ cursor: some StringProtocol) -> Problem {
    invalid("cursor", "\(quoted(cursor)) is not one that this list has given")
  }
  static var unauthorized: Problem {
    Problem(.unauthorized, "a valid bearer token is needed", headers: [.wwwAuthenticate: #"Bearer realm="journey""#])
  }
  static var unavailable: Problem {
    Problem(.serviceUnavailable, "the database is away; try again in a moment", headers: [.retryAfter: "2"])
  }

  func response(from request: Request, context: some RequestContext) -> Response { response() }

  func response() -> Response {
    Response(status: status, headers: fields, body: ResponseBody(byteBuffer: ByteBuffer(bytes: document)))
  }

  var fields: HTTPFields {
    var fields = headers
    fields[.contentType] = "application/problem+json"
    fields[.cacheControl] = "no-store"
    return fields
  }

  /// The body.
  var document: [UInt8] {
    let problem: JSONObject = [
      "type": "about:blank", "title": status.reasonPhrase, "status": status.code, "detail": detail,
      "errors": errors.isEmpty ? nil : errors,
    ]
    return encodeJSON(problem)
  }
}
