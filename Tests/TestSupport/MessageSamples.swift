package import AMQPClient
import FoundationEssentials
package import Journey
@testable package import JourneyAMQP
import JourneyConfiguration

/// A clock that stands still.
package struct FixedClock: WallClock {
  package var time = Timestamp(seconds: 1_763_600_000)
  package init() {}
  package func now() -> Timestamp { time }
}

package let org = "00000000-0000-4000-8000-000000000001"

package func decoder(
  maxBodyBytes: Int = 1 << 20, publishers: PublisherPolicy = PublisherPolicy(), clock: FixedClock = FixedClock()
) throws
  -> InboundDecoder
{
  let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
  let mappings = try MappingLoader.load(directories: ["/\(root)/config/mappings"])
  return InboundDecoder(
    live: LiveMappings(mappings.mappings), signals: SignalRules(), maxBodyBytes: maxBodyBytes, publishers: publishers,
    clock: clock)
}

extension InboundDecoder {
  package func decode(_ delivery: Delivery) -> (events: [IncomingEvent], rejections: [Rejection]) {
    var random = IDRandom()
    let decoded = decode(delivery, random: &random)
    return (decoded.events, decoded.rejections)
  }
}

package func delivery(
  _ body: String, contentType: String? = "application/cloudevents+json", headers: FieldTable = [:],
  messageID: String? = nil,
  timestamp: Int64? = nil, problem: DeliveryProblem? = nil
) -> Delivery {
  Delivery(
    tag: DeliveryTag(generation: 1, value: 1), exchange: "journey.events", routingKey: "billing.invoice_overdue",
    isRedelivered: false,
    properties: MessageProperties(
      contentType: contentType, headers: headers, messageID: messageID, timestamp: timestamp),
    body: Array(body.utf8), problem: problem)
}

package func event(_ changes: String = "") -> String {
  #"{"specversion":"1.0","id":"e1","source":"/billing/acme","type":"invoice_overdue","time":"2025-11-19T10:00:00Z","subject":"c-1","orgid":"\#(org)","data":{"invoiceId":"in_1"}\#(changes)}"#
}

extension AckToken {
  package static func test(_ tag: Int) -> AckToken { AckToken(generation: 1, tag: UInt64(tag)) }
}
