import Crypto
import FoundationEssentials
import HTTPTypes
import Hummingbird
import Journey
import Logging

/// `POST /api/journey/event`: the one way to write. The event takes the way of all events, over the broker.
struct EventRoute: Sendable {
  let reader: any JourneyReader
  let intake: any EventIntake
  let keys: any RequestKeys
  let clock: any WallClock
  let settings: APISettings

  func add(to router: some RouterMethods<APIContext>) {
    router.resource("event", .post, use: post)
  }

  private func post(_ request: Request, _ context: APIContext) async throws -> Response {
    let caller = try context.requireCaller()
    _ = try Query(request)
    let key = try Self.key(request)
    let event = try Submission(try await body(of: request, settings))
    guard let org = try await reader.organization(ofClient: event.clientID, for: caller) else { throw Problem.notFound }
    let fingerprint = Self.digest(event.identity)
    let id =
      key.map { Self.digest([caller.subject.text, org.text, fingerprint.text, $0].map { Array($0.utf8) }) }
      ?? Self.newID(clock.now())
    let reported = ReportedEvent(
      id: id, orgID: org, clientID: event.clientID, type: event.type, body: event.body(id, org, clock.now()))
    // Before the key is taken: what is refused can be corrected, and sent again under the same key.
    do throws(Rejection) { try intake.check(reported) } catch { throw Self.refused(error) }
    if let key {
      let isMine = try await keys.claim(Self.digest([Array(key.utf8)]), of: caller.subject, fingerprint: fingerprint)
      guard isMine else {
        throw Problem(
          .unprocessableContent, "the Idempotency-Key was used for another event",
          errors: [
            Problem.Detail(
              field: "Idempotency-Key",
              message: "the same key is for the same event alone; take another key for another event")
          ])
      }
    }
    do throws(IntakeError) {
      try await intake.publish(reported)
    } catch {
      switch error {
      case .refused(let rejection): throw Self.refused(rejection)
      case .unavailable(let reason):
        context.logger.warning(
          "an event was not confirmed", metadata: .fields([.code: "not_confirmed", .event: "\(id)", .reason: reason]))
        throw Problem(
          .serviceUnavailable, "the broker has not confirmed the event; send it again with the same Idempotency-Key",
          headers: [.retryAfter: "2"])
      }
    }
    let answer: JSONObject = ["eventId": id, "clientId": event.clientID, "orgId": org, "status": "accepted"]
    return noStoreResponse(encodeJSON(answer), status: .accepted)
  }

  private static func refused(_ rejection: Rejection) -> Problem {
    Problem(
      .unprocessableContent, "the event cannot be used",
      errors: [Problem.Detail(field: rejection.field ?? "$", message: rejection.message)])
  }

  private static func key(_ request: Request) throws(Problem) -> String? {
    let values = request.headers[values: HTTPField.Name("Idempotency-Key")!]
    guard let key = values.first else { return nil }
    guard values.count == 1, (1...255).contains(key.utf8.count), key.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
      throw .invalid("Idempotency-Key", "1 to 255 visible ASCII characters are expected, once")
    }
    return key
  }

  /// The same key of the same user with the same event has the same id, and an id counts once: even when the key is
  /// long forgotten.
  private static func digest(_ parts: [[UInt8]]) -> UUID {
    var hash = SHA256()
    for part in parts {
      // With its length, so that no two lists of parts are one text.
      hash.update(data: Array("\(part.count) ".utf8))
      hash.update(data: part)
    }
    var bytes = Array(hash.finalize().prefix(16))
    // Version 8, for ids made in a way of one's own. Source: RFC 9562, section 5.8.
    bytes[6] = bytes[6] & 0x0F | 0x80
    bytes[8] = bytes[8] & 0x3F | 0x80
    return UUID(bytes: bytes)
  }

  private static func newID(_ now: Timestamp) -> UUID {
    var random = SystemRandomNumberGenerator()
    return UUID.v7(at: now, using: &random)
  }
}

/// A request's body, read.
private struct Submission {
  var clientID: UUID
  var stage: Stage
  var type: String
  var metadata: [UInt8]
  var occurredAt: Timestamp?

  init(_ value: JSONValue) throws(Problem) {
    try value.requireKnownMembers(["clientId", "stage", "eventType", "metadata", "occurredAt"])
    guard let id = value["clientId"]?.string.flatMap(uuidText) else {
      throw .invalid("$.clientId", "a UUID is expected")
    }
    guard let stage = value["stage"]?.string.flatMap(Stage.init) else {
      throw .invalid("$.stage", "one of \(Stage.allCases.map(\.rawValue).joined(separator: ", ")) is expected")
    }
    guard let type = value["eventType"]?.string, Self.isType(type) else {
      throw .invalid(
        "$.eventType", "a name in snake case is expected: a to z, 0 to 9 and _, at most 100, starting with a to z")
    }
    clientID = id
    self.stage = stage
    self.type = type
    metadata = Array("{}".utf8)
    if let given = value["metadata"] {
      guard given.kind == .object else { throw .invalid("$.metadata", "an object is expected") }
      metadata = Array(given.rawBytes)
    }
    occurredAt = try value.time("occurredAt")
  }

  /// What makes it this event and no other.
  var identity: [[UInt8]] {
    [
      Array(clientID.text.utf8), Array(stage.rawValue.utf8), Array(type.utf8), Array((occurredAt?.iso8601 ?? "").utf8),
      metadata,
    ]
  }

  private static func isType(_ text: String) -> Bool {
    let lowercase = UInt8(ascii: "a")...UInt8(ascii: "z"), digits = UInt8(ascii: "0")...UInt8(ascii: "9")
    return (1...100).contains(text.utf8.count) && lowercase.contains(text.utf8.first ?? 0)
      && text.utf8.allSatisfy { lowercase.contains($0) || digits.contains($0) || $0 == UInt8(ascii: "_") }
  }

  /// In the form of the adapter's own mapping.
  func body(_ id: UUID, _ org: UUID, _ now: Timestamp) -> [UInt8] {
    let event: JSONObject = [
      "id": id, "orgId": org, "clientId": clientID, "stage": stage.rawValue, "eventType": type,
      "occurredAt": occurredAt ?? now, "metadata": RawJSON(metadata),
    ]
    return encodeJSON(event)
  }
}
