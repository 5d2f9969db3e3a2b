@testable import AMQPClient
import Testing

@Suite("Ack tracker")
struct AckTrackerTests {
  private func tag(_ value: UInt64, generation: UInt64 = 3) -> DeliveryTag {
    DeliveryTag(generation: generation, value: value)
  }

  private func acks(_ count: UInt64) throws -> AckTracker {
    var acks = AckTracker(generation: 3)
    for value in 1...count { try acks.delivered(tag: value, bytes: 10) }
    return acks
  }

  @Test("The contiguous prefix takes one frame, whatever the order of acknowledgement")
  func prefix() throws {
    var acks = try acks(6)
    for value: UInt64 in [3, 1, 2, 6] { #expect(acks.settle(.ack(tag(value))) == []) }
    #expect(acks.flush() == [.ack(tag: 3, multiple: true), .ack(tag: 6, multiple: false)])
    #expect(acks.flush() == [])
    _ = acks.settle(.ack(tag(4)))
    _ = acks.settle(.ack(tag(5)))
    #expect(acks.flush() == [.ack(tag: 5, multiple: true)])
    #expect(acks.unsettledCount == 0)
    #expect(acks.unsettledBytes == 0)
  }

  @Test("Acknowledgements beyond a gap wait for it, up to a limit")
  func gaps() throws {
    var acks = try acks(6)
    for value: UInt64 in [1, 3, 4] { _ = acks.settle(.ack(tag(value))) }
    #expect(acks.flush(keeping: 2) == [.ack(tag: 1, multiple: true)])
    _ = acks.settle(.ack(tag(6)))
    #expect(
      acks.flush(keeping: 2)
        == [.ack(tag: 3, multiple: false), .ack(tag: 4, multiple: false), .ack(tag: 6, multiple: false)])
    _ = acks.settle(.ack(tag(5)))
    #expect(acks.flush(keeping: 2) == [])
    _ = acks.settle(.ack(tag(2)))
    #expect(acks.flush(keeping: 2) == [.ack(tag: 5, multiple: true)])
    #expect(acks.unsettledCount == 0)
  }

  @Test("A rejected delivery neither ends the prefix nor is named by its frame")
  func rejected() throws {
    var acks = try acks(4)
    #expect(acks.settle(.reject(tag(2), requeue: false)) == [.reject(tag: 2, requeue: false)])
    #expect(acks.settle(.nack(tag(4), requeue: true)) == [.nack(tag: 4, multiple: false, requeue: true)])
    _ = acks.settle(.ackThrough(tag(4)))
    #expect(acks.flush() == [.ack(tag: 3, multiple: true)])
  }

  @Test("Taking back through a tag spares what is acknowledged")
  func nackThrough() throws {
    var acks = try acks(5)
    _ = acks.settle(.ack(tag(3)))
    #expect(
      acks.settle(.nackThrough(tag(4), requeue: true))
        == [.ack(tag: 3, multiple: false), .nack(tag: 4, multiple: true, requeue: true)])
    #expect(acks.unsettledCount == 1)
    #expect(acks.settle(.nackThrough(tag(4), requeue: true)) == [])
  }

  @Test("Other generations and tags never delivered are ignored")
  func unsupportedParameters() throws {
    var acks = try acks(2)
    for settlement: Settlement in [
      .ack(tag(1, generation: 2)), .ackThrough(tag(2, generation: 4)), .reject(tag(1, generation: 2), requeue: true),
      .nackThrough(tag(1, generation: 9), requeue: true), .ack(tag(0)), .ackThrough(tag(3)), .ack(tag(3)),
      .ackThrough(tag(.max)),
    ] { #expect(acks.settle(settlement) == []) }
    #expect(acks.flush() == [])
    #expect(acks.unsettledCount == 2)
  }

  @Test("A gap in the broker's count is an error")
  func gap() throws {
    var acks = try acks(2)
    #expect(throws: AMQPError.self) { try acks.delivered(tag: 4, bytes: 0) }
    #expect(throws: AMQPError.self) { try acks.delivered(tag: 2, bytes: 0) }
  }

  @Test("Whatever is asked for, a broker that checks every tag accepts every frame", arguments: 0..<40)
  func neverTwice(seed: Int) throws {
    var generator = SeededGenerator(seed: UInt64(seed))
    var acks = AckTracker(generation: 3)
    var broker = CheckingBroker()
    var acknowledged: Set<UInt64> = []
    for _ in 0..<1500 {
      let last = broker.last
      let any = UInt64.random(in: 0...(last + 2), using: &generator)
      // Mostly near the end, as in real life; the rest tests the bounds.
      let value =
        Bool.random(using: &generator) ? any : UInt64(max(1, Int(last) - Int.random(in: 0..<20, using: &generator)))
      let open = broker.unsettled.subtracting(acknowledged)
      switch Int.random(in: 0..<10, using: &generator) {
      case 0..<5:
        broker.deliver()
        try acks.delivered(tag: broker.last, bytes: Int(broker.last))
      case 5:
        #expect(acks.settle(.ack(tag(value))) == [])
        acknowledged.formUnion(open.intersection([value]))
      case 6 where value <= last && Int.random(in: 0..<4, using: &generator) == 0:
        #expect(acks.settle(.ackThrough(tag(value))) == [])
        acknowledged.formUnion(open.filter { $0 <= value })
      case 7:
        for frame in acks.settle(.reject(tag(value), requeue: true)) { broker.take(frame) }
      case 8 where Int.random(in: 0..<20, using: &generator) == 0:
        for frame in acks.settle(.nackThrough(tag(value), requeue: true)) { broker.take(frame) }
      default:
        for frame in acks.flush() { broker.take(frame) }
        #expect(broker.acknowledged == acknowledged)
      }
      #expect(broker.refusals == 0)
      let stillOpen = broker.unsettled.subtracting(acknowledged)
      #expect(acks.unsettledCount == stillOpen.count)
      #expect(acks.unsettledBytes == stillOpen.reduce(0) { $0 + Int($1) })
    }
  }

  /// Settles as RabbitMQ's channel does: a tag that is not outstanding closes the channel.
  private struct CheckingBroker {
    private(set) var last: UInt64 = 0
    private(set) var unsettled: Set<UInt64> = []
    private(set) var acknowledged: Set<UInt64> = []
    private(set) var refusals = 0

    mutating func deliver() {
      last += 1
      unsettled.insert(last)
    }

    mutating func take(_ frame: AckTracker.Frame) {
      let (tag, multiple, isAck) =
        switch frame {
        case .ack(let tag, let multiple): (tag, multiple, true)
        case .reject(let tag, _): (tag, false, false)
        case .nack(let tag, let multiple, _): (tag, multiple, false)
        }
      guard unsettled.contains(tag) else {
        refusals += 1
        return
      }
      let settled = multiple ? unsettled.filter { $0 <= tag } : [tag]
      unsettled.subtract(settled)
      if isAck { acknowledged.formUnion(settled) }
    }
  }
}
