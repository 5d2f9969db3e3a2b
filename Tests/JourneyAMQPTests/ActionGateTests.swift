import AMQPClient
import FoundationEssentials
import Journey
import JourneyAMQP
import Synchronization
import Testing

/// Which actions an operator's hold stops, and how long a process may publish without the database.
@Suite struct ActionGateTests {
  private static let org = UUID(), other = UUID()

  private final class TestClock: Sendable {
    private let instant = Mutex(ContinuousClock.now)
    var now: ContinuousClock.Instant { instant.withLock { $0 } }
    func advance(by duration: Duration) { instant.withLock { $0 += duration } }
  }

  private func action(_ key: String = "email.email_outreach.high", of org: UUID = org) -> ActionMessage {
    ActionMessage(
      id: UUID(), orgID: org, routingKey: key, priority: .high, timeToLive: nil, decidedAt: Timestamp(seconds: 0),
      causeID: "", traceparent: nil, body: [])
  }

  @Test func nothingIsPublishedBeforeTheFirstRenewalAndAfterItsTime() {
    let clock = TestClock(), gate = ActionGate { clock.now }
    #expect(gate.verdict(on: action()) == .waiting)
    let sentAt = clock.now
    clock.advance(by: .seconds(1))
    gate.renewed([], sentAt: sentAt)
    #expect(gate.verdict(on: action()) == .open)
    // It counts from before the renewal was sent, however long the answer took.
    clock.advance(by: ActionGate.limit - .seconds(1) - .nanoseconds(1))
    #expect(gate.verdict(on: action()) == .open)
    clock.advance(by: .nanoseconds(1))
    #expect(gate.verdict(on: action()) == .waiting && gate.isWaiting)
    gate.renewed([], sentAt: clock.now)
    #expect(gate.verdict(on: action()) == .open && !gate.isWaiting)
  }

  @Test func anAnswerThatComesTooLateOpensNothing() {
    let clock = TestClock(), gate = ActionGate { clock.now }
    let sentAt = clock.now
    clock.advance(by: ActionGate.limit)
    gate.renewed([], sentAt: sentAt)
    #expect(gate.verdict(on: action()) == .waiting)
  }

  @Test func whatIsHeldWaitsForTheLeaseFirst() {
    let clock = TestClock(), gate = ActionGate { clock.now }
    gate.renewed([Hold(id: 3, channel: .email)], sentAt: clock.now)
    #expect(gate.verdict(on: action()) == .held(by: 3))
    clock.advance(by: ActionGate.limit)
    #expect(gate.verdict(on: action()) == .waiting)
    gate.renewed([], sentAt: clock.now)
    #expect(gate.verdict(on: action()) == .open)
  }

  @Test(arguments: [
    (Hold(id: 1, channel: .email), "email.email_outreach.high", true),
    (Hold(id: 1, channel: .email), "emailer.email_outreach.high", false),
    (Hold(id: 1, channel: .email), "voice.email_outreach.high", false),
    (Hold(id: 1, action: .emailOutreach), "voice.email_outreach.low", true),
    (Hold(id: 1, action: .emailOutreach), "email.schedule_meeting.low", false),
    (Hold(id: 1, channel: .email, action: .scheduleMeeting), "email.schedule_meeting.low", true),
    (Hold(id: 1, channel: .email, action: .scheduleMeeting), "email.email_outreach.low", false),
  ])
  func aHoldMatchesByChannelAndAction(_ hold: Hold, _ key: String, _ isHeld: Bool) {
    let gate = ActionGate()
    gate.renewed([hold], sentAt: .now)
    #expect(gate.verdict(on: action(key)) == (isHeld ? .held(by: 1) : .open))
    var ofOrg = hold
    ofOrg.orgID = Self.org
    gate.renewed([ofOrg], sentAt: .now)
    #expect(gate.verdict(on: action(key)) == (isHeld ? .held(by: 1) : .open))
    #expect(gate.verdict(on: action(key, of: Self.other)) == .open)
  }

  @Test func ofSeveralHoldsTheFirstThatMatchesIsNamed() {
    let gate = ActionGate()
    gate.renewed(
      [Hold(id: 1, orgID: Self.other), Hold(id: 2, channel: .email), Hold(id: 3, orgID: Self.org)], sentAt: .now)
    #expect(gate.verdict(on: action()) == .held(by: 2))
    #expect(gate.verdict(on: action("voice.send_voice_message.low")) == .held(by: 3))
    #expect(gate.verdict(on: action("email.email_outreach.low", of: Self.other)) == .held(by: 1))
  }
}
