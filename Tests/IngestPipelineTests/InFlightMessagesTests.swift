import TestSupport
@testable import IngestPipeline
import ConnectionThreads
import Journey
import Testing

@Suite struct InFlightMessagesTests {
  private let tokens = InFlightMessages()

  private func rejection(_ message: String) -> Rejection { Rejection(.invalidField, message) }

  /// In words, in the order of the receipts.
  private func words(_ settlements: [Settlement]) -> [String] {
    settlements.sorted { $0.token.tag < $1.token.tag }.map { settlement in
      switch settlement.outcome {
      case .applied: "\(settlement.token.tag) applied"
      case .released: "\(settlement.token.tag) released"
      case .postponed: "\(settlement.token.tag) postponed"
      case .rejected(let reasons):
        "\(settlement.token.tag) rejected: \(reasons.map(\.message).joined(separator: ", "))"
      }
    }
  }

  @Test func `a message without events is settled when it is opened`() {
    let settled = tokens.open([
      .test(1, ids: []), .test(2, ids: [], rejections: [rejection("a"), rejection("b")]), .test(3),
    ])
    #expect(words(settled) == ["1 applied", "2 rejected: a, b"])
    #expect(tokens.resolve([(.test(1), nil)]).isEmpty)
  }

  @Test func `a message is settled with the last of its events`() {
    _ = tokens.open([.test(1, ids: ["a", "b", "c"]), .test(2)])
    #expect(tokens.resolve([(.test(1), nil), (.test(1), nil)]).isEmpty)
    #expect(words(tokens.resolve([(.test(2), nil), (.test(1), nil)])) == ["1 applied", "2 applied"])
    #expect(tokens.resolve([(.test(1), nil)]).isEmpty)
  }

  @Test func `all reasons come together, the mapping's first`() {
    _ = tokens.open([.test(1, ids: ["a", "b", "c"], rejections: [rejection("mapping")])])
    #expect(tokens.resolve([(.test(1), rejection("first")), (.test(1), nil)]).isEmpty)
    #expect(words(tokens.resolve([(.test(1), rejection("last"))])) == ["1 rejected: mapping, first, last"])
  }

  @Test func `a token that is given up is released once, and nothing after that settles it`() {
    _ = tokens.open([.test(1, ids: ["a", "b"]), .test(2)])
    #expect(words(tokens.release([.test(1), .test(1)])) == ["1 released"])
    #expect(tokens.release([.test(1)]).isEmpty)
    #expect(tokens.postpone([.test(1)]).isEmpty)
    #expect(tokens.resolve([(.test(1), nil), (.test(1), nil)]).isEmpty)
    #expect(words(tokens.resolve([(.test(2), nil)])) == ["2 applied"])
  }

  @Test func `what is left can be given up together`() {
    _ = tokens.open([.test(1), .test(2, ids: ["a", "b"]), .test(3)])
    _ = tokens.resolve([(.test(1), nil), (.test(2), nil)])
    #expect(words(tokens.releaseAll()) == ["2 released", "3 released"])
    #expect(tokens.releaseAll().isEmpty)
  }
}

@Suite struct BackoffTests {
  @Test func `pauses double up to the longest, each shortened by at most a half`() {
    for _ in 0..<100 {
      var backoff = Backoff(base: .milliseconds(100), maximum: .seconds(10))
      for full in [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000] {
        let pause = backoff.next()
        #expect(pause <= .milliseconds(full) && pause >= .milliseconds(full) / 2)
      }
      #expect(backoff.attempts == 9)
    }
  }

  @Test func `they differ, so that instances do not march in step`() {
    let pauses = (0..<50).map { _ in
      var backoff = Backoff(base: .seconds(1), maximum: .seconds(10))
      return backoff.next()
    }
    #expect(Set(pauses).count > 40)
  }

  @Test func `a thousand attempts wait no longer than the longest pause`() {
    var backoff = Backoff(base: .seconds(1), maximum: .seconds(10))
    for _ in 0..<1000 { #expect(backoff.next() <= .seconds(10)) }
  }

  @Test func `after a success it starts again`() {
    var backoff = Backoff(base: .milliseconds(100), maximum: .seconds(10))
    for _ in 0..<5 { _ = backoff.next() }
    backoff.reset()
    #expect(backoff.attempts == 0)
    #expect(backoff.next() <= .milliseconds(100))
  }
}
