@testable import AMQPClient
import ConnectionThreads
import CRabbitMQ
import Testing

@Suite("Properties on the wire")
struct WireTests {
  /// The largest value of each kind, empty ones, and everything at once.
  static let samples: [MessageProperties] = [
    MessageProperties(),
    MessageProperties(contentType: "", isPersistent: false, priority: 255, expiration: "0", timestamp: -1),
    MessageProperties(headers: ["only": .void]),
    MessageProperties(
      contentType: "a/b", contentEncoding: "gzip",
      headers: [
        "b": false, "i": .int(.min), "d": .double(-0.0), "s": "ü", "y": .bytes([1, 2]), "t": .timestamp(5),
        "m": .decimal(scale: 1, value: .min), "v": .void, "a": .array([1, .array([]), .table(["k": .array(["x"])])]),
        "f": .table([:]),
      ],
      priority: 1, correlationID: "c", replyTo: "r", expiration: "1", messageID: "m", timestamp: 1, type: "t",
      userID: "u", appID: "a"),
  ]

  @Test("The computed size is the size that the library writes", arguments: samples)
  func size(properties: MessageProperties) throws {
    let arena = EncodingArena()
    var encoded = arena.properties(properties)
    var buffer = [UInt8](repeating: 0, count: 4096)
    let written = buffer.withUnsafeMutableBytes {
      amqp_encode_properties(UInt16(AMQP_BASIC_CLASS), &encoded, amqp_bytes_t(len: $0.count, bytes: $0.baseAddress))
    }
    #expect(try PropertySize.of(properties) == Int(written))
  }

  @Test("Properties survive the way through the library's structures", arguments: samples)
  func roundTrip(properties: MessageProperties) {
    let arena = EncodingArena()
    var encoded = arena.properties(properties)
    var decoder = WireDecoder()
    let (decoded, isTooDeep) = decoder.properties(&encoded)
    #expect(decoded == properties)
    #expect(!isTooDeep)
  }

  @Test("Text that is not UTF-8 becomes bytes")
  func notText() {
    let arena = EncodingArena()
    var encoded = arena.properties(MessageProperties(headers: ["h": .bytes([0xFF, 0xFE])]))
    encoded.headers.entries[0].value.kind = UInt8(AMQP_FIELD_KIND_UTF8.rawValue)
    var decoder = WireDecoder()
    #expect(decoder.properties(&encoded).0.headers["h"] == .bytes([0xFF, 0xFE]))
  }

  @Test("Thirty-two levels pass, the thirty-third is dropped when received and refused on sending")
  func nesting() throws {
    func nested(_ levels: Int) -> FieldTable { (1..<levels).reduce(["end": 1]) { table, _ in ["t": .table(table)] } }
    #expect(throws: Never.self) { try PropertySize.of(MessageProperties(headers: nested(32))) }
    #expect(throws: AMQPError.self) { try PropertySize.of(MessageProperties(headers: nested(33))) }
    let arena = EncodingArena()
    var decoder = WireDecoder()
    for (levels, isTooDeep) in [(32, false), (33, true), (32, false)] {
      var encoded = arena.properties(MessageProperties(headers: nested(levels)))
      #expect(decoder.properties(&encoded).isTooDeep == isTooDeep)
    }
  }

  @Test("A table finds, replaces and removes fields and keeps their order")
  func table() {
    var table: FieldTable = ["a": 1, "b": 2]
    table["a"] = "x"
    table["c"] = true
    #expect(table.map(\.name) == ["a", "b", "c"])
    #expect(table["a"]?.stringValue == "x")
    table["b"] = nil
    #expect(table == ["a": "x", "c": true])
    #expect(table["b"] == nil)
  }
}

@Suite("Topology mismatch")
struct TopologyMismatchTests {
  private typealias Difference = TopologyMismatch.Difference

  @Test("The broker's texts are read")
  func texts() {
    let start = "PRECONDITION_FAILED - inequivalent arg "
    #expect(
      Difference(
        replyText: start
          + "'x-message-ttl' for queue 'q' in vhost '/': received the value '1' of type 'long' but current is none")
        == .argument(name: "x-message-ttl", actual: nil, wanted: "1"))
    #expect(
      Difference(
        replyText: start
          + "'x-dead-letter-exchange' for queue 'it''s: received' in vhost '/': received none but current is the value 'a'b' of type 'longstr'"
      )
        == .argument(name: "x-dead-letter-exchange", actual: "a'b", wanted: nil))
    #expect(
      Difference(replyText: start + "'durable' for exchange 'e' in vhost '/': received 'true' but current is 'false'")
        == .argument(name: "durable", actual: "false", wanted: "true"))
    #expect(
      Difference(replyText: "PRECONDITION_FAILED - something new") == .other("PRECONDITION_FAILED - something new"))
  }
}

@Suite("Mailbox", .timeLimit(.minutes(5)))
struct MailboxTests {
  @Test("Messages from many threads all arrive, each sender's in order, and wake the reader")
  func manyThreads() {
    let mailbox = Mailbox<(sender: Int, number: Int)>()
    let (senders, count) = (8, 5000)
    for sender in 0..<senders {
      NamedThread.startForConnection(name: "sender") {
        for number in 0..<count { mailbox.post((sender, number)) }
      }
    }
    var next = [Int](repeating: 0, count: senders)
    while next.reduce(0, +) < senders * count {
      mailbox.wait(milliseconds: -1)
      for message in mailbox.drain() {
        #expect(message.number == next[message.sender])
        next[message.sender] += 1
      }
    }
  }

  @Test("A closed mailbox gives back what is left and takes nothing more")
  func closing() {
    let mailbox = Mailbox<Int>()
    mailbox.post(1)
    #expect(mailbox.close() == [1])
    #expect(!mailbox.post(2))
    #expect(mailbox.drain() == [])
  }
}
