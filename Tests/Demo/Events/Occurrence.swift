import Foundation

/// One line of a client's story, at its moment.
struct Occurrence {
  let client: Client
  /// Counted from 1 in the client's story; makes the event's id.
  let number: Int
  let line: Story.Line
  /// Seconds since 1970.
  let time: Int

  init(_ client: Client, _ number: Int, _ line: Story.Line, now: Date) {
    self.client = client
    self.number = number
    self.line = line
    // Some minutes apart from client to client, so that no two of them do everything at once.
    time = Int(now.timeIntervalSince1970) - line.daysAgo * 86_400 - client.number * 97
  }

  var what: String { line.what }
  var rfc3339: String { Self.rfc3339(time) }

  static func rfc3339(_ seconds: Int) -> String {
    Date(timeIntervalSince1970: TimeInterval(seconds)).formatted(.iso8601)
  }

  func text(_ key: String) -> String? { line.details[key] }
  func number(_ key: String) -> Int? { line.details[key].flatMap { Int($0) } }

  /// The id of the invoice that the event is about.
  func invoice(_ prefix: String) -> String? {
    text("invoice").map { "\(prefix)_\(client.number)_\($0)" }
  }

  /// The details as a CloudEvent's data or an own event's metadata has them.
  var data: [String: JSONScalar] {
    var data = line.details.filter { $0.key != "invoice" && $0.key != "stage" }.mapValues(JSONScalar.init)
    data["invoiceId"] = invoice("inv").map(JSONScalar.text)
    return data
  }
}

/// A detail's value: a number where it consists of digits.
enum JSONScalar: Encodable {
  case number(Int)
  case text(String)

  init(_ text: String) {
    self = if text.allSatisfy(\.isASCIIDigit), let number = Int(text) { .number(number) } else { .text(text) }
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .number(let number): try container.encode(number)
    case .text(let text): try container.encode(text)
    }
  }
}

extension Character {
  fileprivate var isASCIIDigit: Bool { isASCII && isNumber }
}
