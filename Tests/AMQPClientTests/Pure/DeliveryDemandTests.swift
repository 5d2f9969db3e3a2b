import Testing

@testable import AMQPClient

@Suite("How much is asked for")
struct DeliveryDemandTests {
  @Test("All of a small prefetch is asked for at once")
  func small() {
    var demand = DeliveryDemand(prefetch: 10, maxBodyBytes: 1000, ceiling: 1000)
    #expect(demand.share == 10 && demand.rest == 0)
    for _ in 0..<100 { #expect(demand.delivered(bytes: 1000, unsettledBytes: 5000) == nil) }
  }

  @Test("The rest is asked for while bodies are small, and given up where large ones pile up")
  func rest() {
    var demand = DeliveryDemand(prefetch: 2000, maxBodyBytes: 1 << 20, ceiling: 64 << 20)
    #expect(demand.share == 64 && demand.rest == 1936)
    for number in 1...64 {
      #expect(demand.delivered(bytes: 700, unsettledBytes: 700 * number) == (number == 64 ? .more : nil))
    }
    #expect(demand.asksForRest && demand.granted == 2000)
    for number in 1...31 { #expect(demand.delivered(bytes: 1 << 20, unsettledBytes: number << 20) == nil) }
    #expect(demand.delivered(bytes: 1 << 20, unsettledBytes: 32 << 20 + 1) == .less)
    // Not again before a whole sample is small.
    for _ in 0..<63 { #expect(demand.delivered(bytes: 1, unsettledBytes: 0) == nil) }
    #expect(
      demand.delivered(bytes: 1 << 20, unsettledBytes: 1 << 20) == .more,
      "16 KiB each on average are small enough for 2,000")
  }

  @Test("Large bodies are not asked for beyond the share")
  func large() {
    var demand = DeliveryDemand(prefetch: 2000, maxBodyBytes: 1 << 20, ceiling: 64 << 20)
    for _ in 0..<1000 { #expect(demand.delivered(bytes: 900_000, unsettledBytes: 1 << 20) == nil) }
    #expect(demand.granted == 64)
  }
}
