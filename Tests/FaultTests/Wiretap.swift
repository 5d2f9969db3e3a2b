import Synchronization

/// The protocols that the proxy understands.
enum WireProtocol: Sendable {
  case amqp
  case postgres
}

enum Direction: Sendable {
  case toServer
  case toClient
}

/// A point in the processing of an event that is visible on the network.
enum Point: String, CaseIterable, Sendable {
  /// An event was delivered to the adapter.
  case afterReceive = "after-receive"
  /// COMMIT of a batch of events never reaches the database.
  case beforeCommit = "before-commit"
  /// The batch is committed, but the adapter never gets the answer.
  case afterCommit = "after-commit"
  /// An action never reaches the broker.
  case beforePublish = "before-publish"
  /// An action reached the broker, but its confirm never reaches the adapter.
  case beforeConfirm = "before-confirm"
  /// The adapter got an action's confirm, and has not recorded it yet.
  case afterConfirm = "after-confirm"
  /// The acknowledgement of an event never reaches the broker.
  case beforeAck = "before-ack"
  /// A dead letter never reaches the broker.
  case beforeDeadLetter = "before-letter"
  /// The dead letter is in the archive, but its acknowledgement never reaches the broker.
  case beforeDeadLetterAck = "before-letter-ack"
  /// A copy never reaches a retry queue.
  case beforePark = "before-park"
  /// A copy is in a retry queue, but its confirm never reaches the adapter.
  case beforeParkConfirm = "before-park-confirm"

  /// Those that a workload of known clients passes.
  static let ofWorkload = allCases.filter { ![.beforePark, .beforeParkConfirm].contains($0) }

  var wire: WireProtocol {
    switch self {
    case .beforeCommit, .afterCommit: .postgres
    default: .amqp
    }
  }

  /// Whether the message at this point is still forwarded.
  var isAfterPassing: Bool { self == .afterReceive || self == .afterConfirm }
}

/// What to do when a point is passed.
struct Trap: Sendable {
  var point: Point
  /// 1: the next time.
  var countdown = 1
  /// Called on the thread that forwards the message; the message waits for it.
  var action: @Sendable () -> Void
}

/// Splits a byte stream into protocol messages.
struct Framer {
  private let wire: WireProtocol
  private let direction: Direction
  private var rest: [UInt8] = []
  private var isStarting = true

  init(_ wire: WireProtocol, _ direction: Direction) {
    self.wire = wire
    self.direction = direction
  }

  /// The complete messages; the rest is kept for the next call.
  mutating func messages(_ bytes: ArraySlice<UInt8>) -> [ArraySlice<UInt8>] {
    rest += bytes
    var found: [ArraySlice<UInt8>] = []
    var start = 0
    while let length = length(rest[start...]), rest.count - start >= length {
      found.append(rest[start..<(start + length)])
      start += length
      isStarting = false
    }
    rest.removeFirst(start)
    return found
  }

  /// nil if the message's length is not known yet.
  private func length(_ bytes: ArraySlice<UInt8>) -> Int? {
    let first = bytes.startIndex
    func number(at offset: Int) -> Int? {
      guard bytes.count >= offset + 4 else { return nil }
      return bytes[(first + offset)..<(first + offset + 4)].reduce(0) { $0 << 8 | Int($1) }
    }
    switch (wire, direction) {
    case (.amqp, .toServer) where isStarting: return 8
    case (.amqp, _): return number(at: 3).map { $0 + 8 }
    // The startup message has no type byte.
    case (.postgres, .toServer) where isStarting: return number(at: 0)
    case (.postgres, _): return number(at: 1).map { $0 + 1 }
    }
  }
}

/// One connection through the proxy, and its observed use.
final class ProxyConnection: Sendable {
  private struct Use {
    /// The queue that is consumed on it.
    var queue: String?
    /// The exchange of the last publish.
    var exchange: String?
    /// Whether the open transaction contains events.
    var holdsEvents = false
    var ended = 0
  }

  let number: Int
  let client: Int32
  let server: Int32
  private let wire: WireProtocol
  private let use = Mutex(Use())

  init(_ number: Int, client: Int32, server: Int32, _ wire: WireProtocol) {
    self.number = number
    self.client = client
    self.server = server
    self.wire = wire
  }

  /// Whether both directions have ended now.
  func isLast() -> Bool {
    use.withLock {
      $0.ended += 1
      return $0.ended == 2
    }
  }

  /// The points that a message passes.
  func points(of message: ArraySlice<UInt8>, _ direction: Direction) -> [Point] {
    wire == .amqp ? amqpPoints(message, direction) : postgresPoints(message, direction)
  }

  private func amqpPoints(_ frame: ArraySlice<UInt8>, _ direction: Direction) -> [Point] {
    let bytes = Array(frame.prefix(300))
    guard bytes.count >= 11, bytes[0] == 1 else { return [] }
    let method = [Int(bytes[7]) << 8 | Int(bytes[8]), Int(bytes[9]) << 8 | Int(bytes[10])]
    func shortString(at offset: Int) -> String? {
      guard bytes.count > offset, bytes.count > offset + Int(bytes[offset]) else { return nil }
      return String(decoding: bytes[(offset + 1)...(offset + Int(bytes[offset]))], as: UTF8.self)
    }
    return use.withLock { use in
      switch (method, direction) {
      case ([60, 20], .toServer):
        // Two reserved bytes, then the queue.
        use.queue = shortString(at: 13)
        return []
      case ([60, 40], .toServer):
        use.exchange = shortString(at: 13)
        return switch use.exchange {
        case "journey.actions": [.beforePublish]
        case "journey.dead": [.beforeDeadLetter]
        case "journey.retry": [.beforePark]
        default: []
        }
      case ([60, 60], .toClient): return use.queue == "journey.ingest" ? [.afterReceive] : []
      case ([60, 80], .toClient):
        return use.exchange == "journey.actions"
          ? [.beforeConfirm, .afterConfirm] : use.exchange == "journey.retry" ? [.beforeParkConfirm] : []
      case ([60, 80], .toServer):
        return use.queue == "journey.ingest"
          ? [.beforeAck] : use.queue == "journey.dead-letters" ? [.beforeDeadLetterAck] : []
      default: return []
      }
    }
  }

  private func postgresPoints(_ message: ArraySlice<UInt8>, _ direction: Direction) -> [Point] {
    let bytes = Array(message.prefix(64))
    guard bytes.count > 5 else { return [] }
    func text(after offset: Int) -> String {
      String(decoding: bytes.dropFirst(offset).prefix { $0 != 0 }, as: UTF8.self)
    }
    return use.withLock { use in
      switch (UInt8(bytes[0]), direction) {
      // Bind: the portal's name (empty), then the statement's name.
      case (UInt8(ascii: "B"), .toServer):
        let statement = text(after: 6)
        if statement == "insert_events" { use.holdsEvents = true }
        return statement == "COMMIT" && use.holdsEvents ? [.beforeCommit] : []
      case (UInt8(ascii: "C"), .toClient) where text(after: 5) == "COMMIT":
        defer { use.holdsEvents = false }
        return use.holdsEvents ? [.afterCommit] : []
      default: return []
      }
    }
  }
}
