import FoundationEssentials
import Journey
import Testing

@Suite struct ActionLifeTests {
  private static let id = UUID()

  private static func report(_ outcome: ActionOutcome, at hours: Int64, until: Timestamp? = nil) -> OutcomeReport {
    OutcomeReport(
      actionID: id, outcome: outcome, occurredAt: .present + .hours(hours), until: until, reporter: "worker:w",
      orgID: nil)
  }

  private static func life(_ outcomes: (ActionOutcome, Int64)...) -> ActionLife {
    var life = ActionLife()
    for (outcome, hours) in outcomes { _ = life.apply(report(outcome, at: hours)) }
    return life
  }

  @Test func eachOutcomeLeadsToItsState() {
    let states: [ActionOutcome: ActionState?] = [
      .delivered: .delivered, .opened: .opened, .replied: .accepted, .accepted: .accepted, .rejected: .rejected,
      .failed: .failed, .bounced: .failed, .unsubscribed: .rejected, .snoozed: nil,
    ]
    for outcome in ActionOutcome.allCases {
      var life = ActionLife()
      #expect(life.apply(Self.report(outcome, at: 1, until: .present + .days(2))) == .changed)
      #expect(life.state == states[outcome] ?? nil, "\(outcome)")
    }
  }

  /// Reports come in any order and several times; the state is always the same.
  @Test(arguments: propertySeeds)
  func theOrderOfReportsDoesNotMatter(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for _ in 0..<50 {
      let reports = ActionOutcome.allCases.filter { $0 != .snoozed && random.chance(0.5) }.map {
        Self.report($0, at: .random(in: 0...4, using: &random))
      }
      func state(_ reports: [OutcomeReport]) -> ActionState? {
        var life = ActionLife()
        for report in reports { _ = life.apply(report) }
        return life.state
      }
      let wanted = state(reports)
      #expect(state((reports + reports).shuffled(using: &random)) == wanted)
    }
  }

  @Test func theLastAnswerCountsAndOfTwoAtOnceTheRejection() {
    #expect(Self.life((.accepted, 1), (.rejected, 2)).state == .rejected)
    #expect(Self.life((.rejected, 1), (.accepted, 2)).state == .accepted)
    #expect(Self.life((.accepted, 1), (.rejected, 1)).state == .rejected)
    #expect(Self.life((.accepted, 1), (.failed, 2)).state == .accepted)
    #expect(Self.life((.failed, 1), (.delivered, 2)).state == .delivered)
  }

  @Test func aReportIsInEffectOnce() {
    var life = Self.life((.delivered, 1))
    #expect(life.apply(Self.report(.delivered, at: 2)) == .repeated)
    #expect(life.history.count == 1)
  }

  @Test func whatEndsByItselfEndsOnlyWhatIsOpen() {
    func close(_ life: ActionLife, _ state: ActionState) -> ActionLife.Effect {
      var life = life
      return life.close(ActionChange(actionID: Self.id, state: state, at: .present))
    }
    for state in [ActionState.expired, .revoked, .superseded] {
      #expect(close(ActionLife(), state) == .changed)
      #expect(close(Self.life((.delivered, 1)), state) == .refused("a worker has run it: it is delivered"))
      #expect(close(Self.life((.accepted, 1)), state) == .refused("it is accepted"))
    }
    #expect(close(Self.life((.opened, 1)), .noResponse) == .changed)
    var revoked = ActionLife()
    _ = revoked.close(ActionChange(actionID: Self.id, state: .revoked, at: .present))
    #expect(close(revoked, .revoked) == .repeated)
    #expect(close(revoked, .expired) == .refused("it is revoked"))
  }

  /// On somebody's list it was run by nobody.
  @Test func whatIsOnAListCanBeTakenBack() {
    var life = ActionLife(isForPeople: true)
    _ = life.apply(Self.report(.delivered, at: 1))
    #expect(!life.isRun)
    #expect(life.close(ActionChange(actionID: Self.id, state: .revoked, at: .present)) == .changed)
    #expect(life.state == .revoked)
    var late = ActionLife(isForPeople: true)
    _ = late.close(ActionChange(actionID: Self.id, state: .superseded, at: .present))
    #expect(late.apply(Self.report(.delivered, at: 1)) == .repeated && late.state == .superseded)
    _ = life.apply(Self.report(.accepted, at: 2))
    #expect(life.state == .accepted)
  }

  @Test func whatTheWorldHasSeenCountsForMore() {
    var life = ActionLife()
    _ = life.close(ActionChange(actionID: Self.id, state: .revoked, at: .present))
    #expect(life.apply(Self.report(.delivered, at: 1)) == .changed)
    #expect(life.state == .delivered)
    #expect(life.history.map(\.state) == [.revoked, .delivered])
    var silent = Self.life((.delivered, 1))
    _ = silent.close(ActionChange(actionID: Self.id, state: .noResponse, at: .present + .days(5)))
    #expect(silent.state == .noResponse)
    _ = silent.apply(Self.report(.accepted, at: 200))
    #expect(silent.state == .accepted)
  }

  @Test func whatWasNeverSentHasNoOutcome() {
    var life = ActionLife(isUnsent: true)
    #expect(life.apply(Self.report(.delivered, at: 1)) == .refused("the action was never sent"))
  }

  @Test func aLaterSnoozeReplacesAnEarlierOne() {
    var life = ActionLife()
    _ = life.apply(Self.report(.snoozed, at: 2, until: .present + .days(3)))
    #expect(life.apply(Self.report(.snoozed, at: 1, until: .present + .days(9))) == .repeated)
    _ = life.apply(Self.report(.snoozed, at: 3, until: .present + .days(2)))
    #expect(life.snoozedUntil == .present + .days(2))
    #expect(life.history.count == 1 && life.state == nil)
    #expect(
      Self.life((.accepted, 1)).applying(Self.report(.snoozed, at: 2, until: .present + .days(3)))
        == .refused("it is accepted"))
  }

  @Test func theHistoryIsReadBack() {
    let life = Self.life((.delivered, 1), (.opened, 2), (.replied, 3))
    let read = ActionLife(actionID: Self.id, json: life.json(recordedAt: .present))
    #expect(read.state == .accepted)
    #expect(read.history.map(\.outcome) == [.delivered, .opened, .replied])
    #expect(read.history.allSatisfy { $0.recordedAt == .present && $0.by == "worker:w" })
  }
}

extension ActionLife {
  fileprivate func applying(_ report: OutcomeReport) -> Effect {
    var life = self
    return life.apply(report)
  }
}
