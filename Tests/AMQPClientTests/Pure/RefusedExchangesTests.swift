import ConnectionThreads
import Testing

@testable import AMQPClient

@Suite("Exchanges that refuse")
struct RefusedExchangesTests {

  private func refusal(_ text: String, _ code: Int = 403) -> AMQPError {
    AMQPError(
      .init(replyCode: code, text: text, closesChannel: true), nativeCode: code, operation: "use the channel",
      message: text)
  }

  @Test("The broker's words name the exchange, or the topic of it")
  func words() {
    let all = [("a", "k"), ("b", "k"), ("", "k"), ("a", "other")]
    for (text, expected) in [
      ("ACCESS_REFUSED - access to exchange 'a' in vhost '/' refused for user 'u'", [true, false, false, true]),
      (
        "ACCESS_REFUSED - access to exchange 'amq.default' in vhost '/' refused for user 'u'",
        [false, false, true, false]
      ),
      (
        "ACCESS_REFUSED - access to topic 'k' in exchange 'a' in vhost '/' refused for user 'u'",
        [true, false, false, false]
      ),
      ("NOT_FOUND - no exchange 'b' in vhost '/'", [false, true, false, false]),
      (
        "PRECONDITION_FAILED - user_id property set to 'a' but authenticated user was 'u'",
        [false, false, false, false]
      ),
    ] {
      var refusals = RefusedExchanges()
      #expect(refusals.refused(refusal(text), outstanding: all, now: .seconds(0)) == expected, "\(text)")
    }
  }

  @Test("It is tried alone after a pause that doubles, and is open again once the broker answers")
  func pauses() {
    var refusals = RefusedExchanges()
    let error = refusal("NOT_FOUND - no exchange 'a' in vhost '/'", 404)
    var now = MonotonicInstant.seconds(0)
    for pause in [1, 2, 4, 8, 16, 30, 30] {
      #expect(refusals.refused(error, outstanding: [("a", "k")], now: now) == [true])
      #expect(
        refusals.verdict(
          exchange: "a", routingKey: "k", outstanding: 0, now: now + .nanoseconds(pause * 1_000_000_000 - 1))
          == .refused(error))
      #expect(refusals.verdict(exchange: "b", routingKey: "k", outstanding: 9, now: now) == .send)
      now = now + .seconds(pause)
      #expect(refusals.verdict(exchange: "a", routingKey: "k", outstanding: 1, now: now) == .wait)
      #expect(refusals.verdict(exchange: "a", routingKey: "k", outstanding: 0, now: now) == .send)
      #expect(refusals.verdict(exchange: "b", routingKey: "k", outstanding: 1, now: now) == .wait, "the trial is alone")
    }
    refusals.answered()
    #expect(refusals.isEmpty)
  }

  @Test("Others do not wait for long for a trial whose time does not come")
  func heldUp() {
    var refusals = RefusedExchanges()
    let error = refusal("NOT_FOUND - no exchange 'a' in vhost '/'", 404)
    _ = refusals.refused(error, outstanding: [("a", "k")], now: .seconds(0))
    #expect(refusals.verdict(exchange: "a", routingKey: "k", outstanding: 1, now: .seconds(1)) == .wait)
    #expect(refusals.verdict(exchange: "a", routingKey: "k", outstanding: 1, now: .seconds(3)) == .refused(error))
    #expect(refusals.verdict(exchange: "a", routingKey: "k", outstanding: 0, now: .seconds(4, -1)) == .refused(error))
  }

  @Test("Where no exchange is named, as many messages as were under way go one by one")
  func inDoubt() {
    var refusals = RefusedExchanges()
    let error = refusal("PRECONDITION_FAILED - invalid expiration 'x'", 406)
    #expect(refusals.refused(error, outstanding: [("a", "k"), ("b", "k")], now: .seconds(0)) == [false, false])
    #expect(refusals.verdict(exchange: "a", routingKey: "k", outstanding: 1, now: .seconds(0)) == .wait)
    #expect(refusals.verdict(exchange: "a", routingKey: "k", outstanding: 0, now: .seconds(0)) == .send)
    refusals.answered()
    #expect(refusals.refused(error, outstanding: [("b", "k")], now: .seconds(0)) == [true])
    refusals.answered()
    #expect(refusals.isEmpty)
  }

  @Test("A limit passes; a virtual host that is not there does not")
  func limits() {
    for (text, isRetriable) in [
      ("NOT_ALLOWED - access to vhost 'v' refused for user 'u': connection limit (1) is reached", true),
      ("NOT_ALLOWED - connection refused for user 'u': user connection limit (1) is reached", true),
      ("NOT_ALLOWED - vhost nowhere not found", false),
      ("NOT_ALLOWED - access to vhost 'v' refused for user 'u'", false),
      ("NOT_ALLOWED - access to vhost 'limited' refused for user 'limit'", false),
    ] {
      #expect(refusal(text, 530).isRetriable == isRetriable)
    }
  }
}
