import CRabbitMQ
import Testing

@testable import AMQPClient

/// What is gathered, read again frame by frame, by the protocol's own words.
@Suite struct FrameBufferTests {
  private struct Frame {
    var type: UInt8
    var channel: UInt16
    var payload: [UInt8]
  }

  private func frames(_ buffer: FrameBuffer) throws -> [Frame] {
    var rest = Array(buffer.gathered)[...]
    var frames: [Frame] = []
    func take(_ count: Int) throws -> [UInt8] {
      try #require(rest.count >= count)
      defer { rest = rest.dropFirst(count) }
      return Array(rest.prefix(count))
    }
    while !rest.isEmpty {
      let type = try take(1)[0]
      let channel = try take(2).reduce(0) { $0 << 8 | UInt16($1) }
      let payload = try take(Int(try take(4).reduce(0) { $0 << 8 | UInt32($1) }))
      #expect(try take(1) == [0xCE])
      frames.append(Frame(type: type, channel: channel, payload: payload))
    }
    return frames
  }

  @Test(arguments: [0, 1, 4087, 4088, 4089, 8176, 100_000, 1_000_000])
  func aMessageIsAMethodAHeaderAndItsBodyInPieces(size: Int) throws {
    let frameMax = 4096
    let arena = EncodingArena()
    let buffer = FrameBuffer()
    let bodies = [(0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }, [7]]
    for body in bodies {
      var method = amqp_basic_publish_t(
        ticket: 0, exchange: arena.bytes("journey.actions"), routing_key: arena.bytes("email.low"), mandatory: 1,
        immediate: 0)
      var properties = arena.properties(
        MessageProperties(contentType: "text/plain", headers: ["x-cause-id": "evt_1"], messageID: "m"))
      let status = body.withUnsafeBytes {
        buffer.append(&method, &properties, body: $0, channel: 3, frameMax: frameMax)
      }
      #expect(status == AMQP_STATUS_OK.rawValue)
    }
    var frames = try frames(buffer)
    #expect(frames.allSatisfy { $0.channel == 3 && $0.payload.count <= frameMax - 8 })
    for body in bodies {
      let pieces = (body.count + frameMax - 9) / (frameMax - 8)
      try #require(frames.count >= 2 + pieces)
      // basic.publish is method 40 of class 60; a reserved short, exchange, routing key, bits.
      #expect(frames[0].type == 1)
      var method: [UInt8] = [0, 60, 0, 40, 0, 0, 15]
      method += Array("journey.actions".utf8)
      method.append(9)
      method += Array("email.low".utf8)
      method.append(1)
      #expect(frames[0].payload == method)
      #expect(frames[1].type == 2)
      var header: [UInt8] = [0, 60, 0, 0]
      withUnsafeBytes(of: UInt64(body.count).bigEndian) { header.append(contentsOf: $0) }
      #expect(Array(frames[1].payload.prefix(12)) == header)
      #expect(String(decoding: frames[1].payload, as: UTF8.self).contains("x-cause-id"))
      #expect(frames[2..<2 + pieces].allSatisfy { $0.type == 3 && !$0.payload.isEmpty })
      #expect(frames[2..<2 + pieces].flatMap(\.payload) == body)
      frames.removeFirst(2 + pieces)
    }
    #expect(frames.isEmpty)
    buffer.removeAll()
    #expect(buffer.gathered.isEmpty)
  }

  @Test func oversizedValuesAreRefusedWithoutATrace() throws {
    let arena = EncodingArena()
    let buffer = FrameBuffer()
    var method = amqp_basic_publish_t(
      ticket: 0, exchange: arena.bytes("e"), routing_key: arena.bytes("k"), mandatory: 0, immediate: 0)
    var properties = arena.properties(MessageProperties(headers: ["h": .string(String(repeating: "x", count: 5000))]))
    let status = [1, 2].withUnsafeBytes { buffer.append(&method, &properties, body: $0, channel: 1, frameMax: 4096) }
    #expect(status < 0)
    #expect(buffer.gathered.isEmpty)
  }
}
