import Foundation

/// What comes from the queue: a CloudEvent in structured JSON.
enum Message {
  case recommended(Action)
  /// The id of an action that must not be run any more.
  case revoked(String)

  /// nil: it cannot be read.
  init?(_ body: [UInt8]) {
    struct Head: Decodable {
      struct Revoked: Decodable { var actionId: String? }
      var type: String
      var data: Revoked
    }
    let decoder = JSONDecoder()
    decoder.dateDecodingStrategy = .custom { decoder in
      let text = try decoder.singleValueContainer().decode(String.self)
      // With or without fractions of a second.
      return try (try? Date(text, strategy: .iso8601))
        ?? Date(text, strategy: Date.ISO8601FormatStyle(includingFractionalSeconds: true))
    }
    let data = Data(body)
    guard let head = try? decoder.decode(Head.self, from: data) else { return nil }
    switch head.type {
    case "journey.action.revoked.v1":
      guard let id = head.data.actionId else { return nil }
      self = .revoked(id)
    case "journey.action.recommended.v1":
      guard let action = try? decoder.decode(Action.self, from: data) else { return nil }
      self = .recommended(action)
    default: return nil
    }
  }
}

/// What this worker needs of an action; contracts/schemas/action.schema.json has all of it.
struct Action: Decodable, Sendable {
  struct Client: Decodable, Sendable {
    var name: String?
    var email: String?
  }
  struct Details: Decodable, Sendable {
    var action: String
    var client: Client
    var notBefore: Date?
    var expiresAt: Date?
  }
  var id: String
  var orgid: String
  var data: Details
}

/// What became of an action.
struct Outcome: Sendable {
  static let type = "journey.action.outcome.v1"

  /// delivered, bounced or failed
  var name: String
  var detail: String?
  var occurredAt = Date.now

  /// A CloudEvent. Its id follows from the action, so that a copy counts once.
  func event(id: String, of action: Action) -> [UInt8] {
    struct Event: Encodable {
      struct Details: Encodable {
        var actionId: String, outcome: String, occurredAt: Date, detail: String?
      }
      var specversion = "1.0", id: String, source = "/workers/email", type = Outcome.type, time: Date, orgid: String
      var datacontenttype = "application/json"
      var data: Details
    }
    let event = Event(
      id: id, time: occurredAt, orgid: action.orgid,
      data: .init(actionId: action.id, outcome: name, occurredAt: occurredAt, detail: detail))
    let encoder = JSONEncoder()
    encoder.dateEncodingStrategy = .iso8601
    encoder.outputFormatting = .withoutEscapingSlashes
    // Texts and times can always be encoded.
    return (try? encoder.encode(event)).map(Array.init) ?? []
  }
}
