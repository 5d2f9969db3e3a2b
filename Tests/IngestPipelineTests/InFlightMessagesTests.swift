import TestSupport
@testable import IngestPipeline
import Journey
import Testing

@Suite struct InFlightMessagesTests {
  private func rejection(_ message: String) -> Rejection { Rejection(.invalidField, message) }

  private func pending(_ message: InboundMessage) -> [PendingEvent] {
    message.events.map { PendingEvent(incoming: $0, message: message, client: 1) }
  }

  private func text(_ outcome: MessageOutcome?) -> String? {
    guard let outcome else { return nil }
    return switch outcome.kind {
    case .applied: "applied"
    case .released: "released"
    case .postponed: "postponed"
    case .rejected(let reasons): "rejected: \(reasons.map(\.message).joined(separator: ", "))"
    }
  }

  @Test func aMessageWithoutEventsHasItsOutcomeAtOnce() {
    #expect(text(InboundMessage.test(1, ids: []).outcomeWithoutEvents) == "applied")
    let rejected = InboundMessage.test(2, ids: [], rejections: [rejection("a"), rejection("b")])
    #expect(text(rejected.outcomeWithoutEvents) == "rejected: a, b")
    #expect(InboundMessage.test(3).outcomeWithoutEvents == nil)
  }

  @Test func aMessageIsSettledWithTheLastOfItsEvents() {
    let message = InboundMessage.test(1, ids: ["a", "b", "c"])
    #expect(message.resolve(nil) == nil && message.resolve(nil) == nil)
    #expect(text(message.resolve(nil)) == "applied")
  }

  @Test func allReasonsComeTogetherTheMappingsFirst() {
    let message = InboundMessage.test(1, ids: ["a", "b", "c"], rejections: [rejection("mapping")])
    #expect(message.resolve(rejection("first")) == nil && message.resolve(nil) == nil)
    #expect(text(message.resolve(rejection("last"))) == "rejected: mapping, first, last")
  }

  @Test func aMessageIsGivenUpOnceHoweverManyOfItsEventsAre() {
    let inFlight = InFlightMessages()
    let messages = [InboundMessage.test(1, ids: ["a", "b", "c"]), .test(2)]
    inFlight.received(2)
    #expect(messages[0].resolve(nil) == nil)
    #expect(inFlight.release(Array(pending(messages[0])[1...])).map(text) == ["released"])
    #expect(inFlight.postpone(pending(messages[0])).isEmpty)
    #expect(inFlight.leftOver == 2)
    #expect(inFlight.postpone(pending(messages[1])).map(text) == ["postponed"])
    #expect(inFlight.leftOver == 1)
  }

  @Test func whatIsNeitherSettledNorGivenUpIsLeftOver() {
    let inFlight = InFlightMessages()
    inFlight.received(3)
    inFlight.settled(1)
    inFlight.forget(pending(.test(1)))
    #expect(inFlight.leftOver == 1)
  }

  /// Many threads decide the events of one message: exactly one of them learns that it was the last.
  @Test func oneOfManyThreadsLearnsThatItDecidedTheLast() async {
    for _ in 0..<200 {
      let message = InboundMessage.test(1, ids: (0..<8).map(String.init))
      let outcomes = await withTaskGroup(of: MessageOutcome?.self) { group in
        for index in 0..<8 { group.addTask { message.resolve(index == 3 ? self.rejection("x") : nil) } }
        return await group.reduce(into: []) { $0.append($1) }
      }
      #expect(outcomes.compactMap(text) == ["rejected: x"])
    }
  }
}
