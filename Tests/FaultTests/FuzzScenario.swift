import AMQPClient
import Foundation
import Glibc
import TestServers
import Testing

@testable import TestSupport

/// Random bytes, corrupted bodies, hostile headers.
extension Scenario {
  static var fuzzing: [Scenario] {
    // A round is a thousand messages.
    [Scenario("fuzz-thousands", short: 20, long: 1000, fuzzed)]
  }

  /// No crash, stable memory, and every message is either applied or a dead letter.
  private static func fuzzed(_ row: Row, _ rounds: Int, _ random: inout SeededRandom) async throws {
    let workload = Workload(events: 200, &random)
    var fuzzer = Fuzzer(workload, random)
    try await TestEnvironment.with { environment in
      try await workload.seed(environment)
      let program = try await environment.serve(
        .defaultProfile,
        ["DEAD_LETTERS_ARCHIVE": "true", "RETRY_UNKNOWN_CLIENT": "false", "LOG_STATISTICS_SECONDS": "0"])
      var memory: [Int] = []
      for round in 0..<rounds {
        try await environment.deliver(fuzzer.messages(1000))
        // The queue's length is limited, because the broker's memory is not under test.
        if round % 10 == 9 {
          try await eventually("a shorter queue", within: .seconds(120), state: { program.standardError }) {
            if let ending = program.ending {
              throw Timeout(description: "the program ended by \(ending): \(program.standardError)")
            }
            return try await environment.admin.messageCount(queue: "journey.ingest") < 2000
          }
        }
        memory.append(residentKilobytes(of: program.id))
      }
      try await eventually("an empty queue", within: .seconds(300), state: { program.standardError }) {
        if let ending = program.ending {
          throw Timeout(description: "the program ended by \(ending): \(program.standardError)")
        }
        let ingest = try await environment.admin.messageCount(queue: "journey.ingest")
        return try await ingest + environment.admin.messageCount(queue: "journey.dead-letters") == 0
      }
      try await environment.stop(program)
      let deadLetters = try await environment.number(
        "SELECT count(DISTINCT message_id) FROM journey_dead_letters WHERE message_id LIKE 'fuzz%'")
      let stored = try await environment.number("SELECT count(*) FROM client_journey_events")
      let sent = rounds * 1000
      let counts = Counts(program.standardError)
      #expect(counts["stored"] == stored, "\(counts)")
      let applied = counts["received"] - counts["rejected"]
      row.add(sent: sent, stored: stored, deadLetters: deadLetters, lost: max(0, sent - deadLetters - applied))
      // A message that expired in the broker is a dead letter that the adapter never received.
      #expect(deadLetters + applied == sent, "\(counts), dead letters \(deadLetters)")
      // The first values come before the program has processed its largest batches.
      let settled = memory.dropFirst(memory.count / 4)
      #expect((settled.last ?? 0) < (settled.first ?? 0) * 5 / 4 + 32_768, "kilobytes resident: \(memory)")
    }
  }

  private static func residentKilobytes(of pid: Int32) -> Int {
    let status = (try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") } ?? ""
    return line.split(separator: " ").compactMap { Int($0) }.first ?? 0
  }

  /// The counts that the program logs when it stops.
  private struct Counts: CustomStringConvertible {
    var description: String
    init(_ log: String) {
      description =
        log.split(separator: "\n").last { $0.contains(" stopped ") }.map(String.init)
        ?? "no line with the counts in \(log.suffix(500))"
    }
    subscript(name: String) -> Int {
      let part = description.split(separator: " ").first { $0.hasPrefix("\(name)=") }
      return part.flatMap { Int($0.dropFirst(name.utf8.count + 1)) } ?? -1
    }
  }
}

extension TestEnvironment {
  /// Publishes until all messages are confirmed.
  func deliver(_ messages: [OutboundMessage]) async throws {
    var open = messages
    var last: PublishOutcome?
    for _ in 0..<20 where !open.isEmpty {
      let left = zip(open, await publisher.publish(open)).filter { !$1.isConfirmed }
      open = left.map(\.0)
      last = left.last?.1
    }
    let isTaken = open.isEmpty
    #expect(
      isTaken,
      "the broker does not take \(open.count) messages, \(open.first?.properties.messageID ?? ""): \(last.map { "\($0)" } ?? "")"
    )
  }
}

/// Generates messages that no regular source would send, each with an id of its own.
struct Fuzzer {
  private let bodies: [[UInt8]]
  private let workload: Workload
  private var random: SeededRandom
  private var count = 0
  // Fragments to splice into JSON.
  private static let splices: [[UInt8]] = [
    Array("null".utf8), Array("\\u0000".utf8), Array("\\ud800".utf8), Array("1e999".utf8), Array("-0".utf8),
    Array("[[[[[[[[".utf8), Array("{\"a\":".utf8),
    Array("\"\"".utf8), [0xFF, 0xFE], [0xC3], [0xED, 0xA0, 0x80], [0], Array("99999999999999999999".utf8),
    Array("9999-12-31T23:59:59Z".utf8),
    Array("'; DROP TABLE journey_actions; --".utf8), [0xEF, 0xBB, 0xBF], Array("}".utf8), Array(",".utf8),
    Array("\u{202E}".utf8), Array("true".utf8),
  ]

  init(_ workload: Workload, _ random: SeededRandom) {
    self.workload = workload
    self.random = random
    bodies = workload.events.map(\.message.body)
  }

  mutating func messages(_ count: Int) -> [OutboundMessage] { (0..<count).map { _ in message() } }

  private mutating func message() -> OutboundMessage {
    count += 1
    var body: [UInt8]
    var properties = MessageProperties(contentType: "application/cloudevents+json", messageID: "fuzz_\(count)")
    switch Int.random(in: 0..<100, using: &random) {
    case 0..<15: body = noise(Int.random(in: 0...400, using: &random))
    case 15..<16: body = noise(Int.random(in: 0...20_000, using: &random))
    case 16..<80: body = spoiled(bodies[Int.random(in: 0..<bodies.count, using: &random)])
    case 80..<90: body = bodies[Int.random(in: 0..<bodies.count, using: &random)]
    default:
      body = spoiled(
        Array(
          #"{"id":"evt_\#(count)","type":"invoice.overdue","created":1700000000,"data":{"object":{"customer":"cus_1"}}}"#
            .utf8))
      properties.contentType = "application/json"
      properties.headers["x-source"] = ["stripe", "zendesk", "hubspot", "journey", "", "../etc"].randomElement(
        using: &random)!
      properties.headers["x-org-id"] = .string(random.chance(70) ? workload.orgs[0] : "not-a-uuid")
    }
    if random.chance(40) { spoil(&properties) }
    let key =
      random.chance(95) ? "fuzz.\(count % 7)" : String(repeating: "k", count: Int.random(in: 0...255, using: &random))
    return OutboundMessage(exchange: "journey.events", routingKey: key, properties: properties, body: body)
  }

  private mutating func noise(_ length: Int) -> [UInt8] {
    (0..<length).map { _ in UInt8(truncatingIfNeeded: random.next()) }
  }

  /// Changes a few random positions.
  private mutating func spoiled(_ original: [UInt8]) -> [UInt8] {
    var body = original
    for _ in 0..<Int.random(in: 1...3, using: &random) where !body.isEmpty {
      let place = Int.random(in: 0..<body.count, using: &random)
      switch Int.random(in: 0..<6, using: &random) {
      case 0: body[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      case 1: body.removeSubrange(place..<min(body.count, place + Int.random(in: 1...20, using: &random)))
      case 2: body.insert(contentsOf: Self.splices.randomElement(using: &random)!, at: place)
      case 3: body.removeLast(body.count - place)
      case 4: body.insert(contentsOf: body[place..<min(body.count, place + 40)], at: place)
      default: body[place] = UInt8(truncatingIfNeeded: random.next())
      }
    }
    return body
  }

  private mutating func spoil(_ properties: inout MessageProperties) {
    for _ in 0..<Int.random(in: 1...4, using: &random) {
      let name = [
        "x-source", "x-org-id", "x-journey-attempt", "x-journey-exchange", "x-journey-routing-key", "x-journey-replay",
        "x-journey-reason-code", "x-death",
        "x-delivery-count", "x-first-death-reason", "CC", "BCC", "traceparent", "", "Ünïcode", "a",
      ].randomElement(using: &random)!
      properties.headers[name] = name.hasSuffix("CC") ? .array([.string("copy")]) : value(depth: 0)
    }
    if random.chance(20) {
      properties.contentType = [nil, "", "text/xml", "application/json; charset=latin1", "\u{0}"].randomElement(
        using: &random)!
    }
    if random.chance(10) { properties.timestamp = [0, -1, .max, .min, 1_700_000_000].randomElement(using: &random)! }
    if random.chance(10) { properties.priority = UInt8.random(in: 0...255, using: &random) }
    // Not with an x-death header: the broker's own dead-lettering cannot handle an invalid one.
    if random.chance(5), properties.headers["x-death"] == nil {
      properties.expiration = ["0", "1", "50", "600000"].randomElement(using: &random)!
    }
    if random.chance(10) { properties.contentEncoding = ["gzip", "identity", "\u{7F}"].randomElement(using: &random)! }
    if random.chance(10) { properties.correlationID = String(repeating: "c", count: 255) }
  }

  private mutating func value(depth: Int) -> FieldValue {
    switch Int.random(in: 0..<(depth > 6 ? 8 : 10), using: &random) {
    case 0: .string(String(repeating: "s", count: random.chance(2) ? 20_000 : Int.random(in: 0...60, using: &random)))
    case 1: .bytes(noise(Int.random(in: 0...60, using: &random)))
    case 2: .int([0, -1, .max, .min, 7].randomElement(using: &random)!)
    // Neither NaN nor infinity: the broker closes a connection that sends one.
    case 3: .double([0, -1e300, 1e-300].randomElement(using: &random)!)
    case 4: .bool(random.chance(50))
    case 5: .timestamp(Int64(bitPattern: random.next()))
    case 6:
      .decimal(scale: UInt8.random(in: 0...255, using: &random), value: Int32.random(in: .min ... .max, using: &random))
    case 7: .void
    case 8: .array([value(depth: depth + 1), value(depth: depth + 1)])
    default: .table(FieldTable([.init("t", value(depth: depth + 1)), .init("t", value(depth: depth + 1))]))
    }
  }
}
