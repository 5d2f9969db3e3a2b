import AMQPClient
import Journey
import Testing

@testable import JourneyAMQP

/// When a message was sent, by what it says of itself. Senders write anything there.
@Suite struct ArrivalTimeTests {
  private static let wall = Timestamp(seconds: 1_800_000_000)

  /// How many seconds before its arrival the message was sent.
  private func age(timestamp: Int64?, header: Int64? = nil, receivedAgo: Int64? = nil) -> Double {
    let arrival = ArrivalTime(at: .now, wall: Self.wall)
    var properties = MessageProperties()
    properties.timestamp = timestamp
    if let header { properties.headers["timestamp_in_ms"] = .int(header) }
    let origin = receivedAgo.map {
      RawOrigin(
        source: "crm", orgID: nil, receivedAt: Self.wall - .seconds($0), mappedAt: Self.wall, isRepeated: true, bytes: 0
      )
    }
    return arrival.sendTime(of: properties, origin).duration(to: arrival.at) / .seconds(1)
  }

  @Test func whatTheMessageSaysCounts() {
    let seconds = Self.wall.microseconds / 1_000_000
    #expect(age(timestamp: nil) == 0)
    #expect(age(timestamp: nil, receivedAgo: 30) == 30)
    #expect(age(timestamp: seconds - 5) == 5)
    #expect(age(timestamp: (seconds - 5) * 1000) == 5, "some clients send milliseconds")
    #expect(age(timestamp: seconds - 5, header: seconds * 1000 - 4_500) == 4.5)
    #expect(age(timestamp: seconds + 7) == -7, "a clock is wrong")
  }

  @Test func whatIsNoTimeIsPassedOver() {
    let seconds = Self.wall.microseconds / 1_000_000
    for none in [0, -1, Int64.min] {
      #expect(age(timestamp: none) == 0)
      #expect(age(timestamp: none, receivedAgo: 30) == 30)
      #expect(age(timestamp: seconds - 5, header: none) == 5)
    }
    for wild in [Int64.max, 1] { #expect(age(timestamp: wild).isFinite) }
  }
}
