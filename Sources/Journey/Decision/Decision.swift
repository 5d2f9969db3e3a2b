public import FoundationEssentials

/// The verdicts on the candidates of an assessment.
public struct Decision: Hashable, Sendable {
  public enum Verdict: Hashable, Sendable {
    case chosen
    /// The named action was a better candidate.
    case outranked(by: ActionKind)
    /// The best candidate, but it was published for this client recently. It is possible again at `until`.
    case coolingDown(actionID: UUID, until: Timestamp)
    /// The best candidate, and already published for this cause: recommended again for the nth time since.
    case open(actionID: UUID, times: Int)
    /// The best candidate, but a person has put it off.
    case snoozed(actionID: UUID, until: Timestamp)
    /// Passed over: the last action of its kind ended like this. It is possible again at `until`.
    case pausing(actionID: UUID, after: ActionState, until: Timestamp)
    /// Passed over: the client cannot be reached on its channel, or does not want to be, as this action showed.
    case unreachable(actionID: UUID)
    /// Passed over: the client must not be contacted on its channel, as a person's consent record or an event says.
    case doNotContact(record: UUID, since: Timestamp)
    /// Passed over: the client has not consented to this purpose on its channel, or does no longer.
    case noConsent(purpose: String)
    /// Passed over: the client is one of those that are left alone on its channel.
    case heldOut
    /// Passed over until then: a rule of the contact policy forbids it.
    case limited(by: ContactPolicy.Rule, until: Timestamp)
    /// The best candidate, but the client has its quiet hours until then, by the clock of this zone.
    case quiet(until: Timestamp, zone: String)
    /// Passed over: with this risk it would not be in the client's interest.
    case unsuitable(with: Risk)
    /// The best candidate, but the client was only recomputed, without publishing.
    case withheld
  }

  /// One verdict per candidate, in the same order.
  public var verdicts: [Verdict]

  /// The same decision without publishing: a candidate that is chosen, or waits for the morning, is withheld.
  var withholding: Decision {
    Decision(
      verdicts: verdicts.map { verdict in
        switch verdict {
        case .chosen, .quiet: .withheld
        default: verdict
        }
      })
  }

  /// When a candidate that has to wait is considered again; nil: none waits.
  var reconsiderAt: Timestamp? {
    verdicts.compactMap { verdict in
      switch verdict {
      case .limited(_, let until), .quiet(let until, _): until
      default: nil
      }
    }.min()
  }

  /// The candidate to publish; nil if there is none.
  public func winner(of assessment: Assessment) -> Candidate? {
    verdicts.firstIndex(of: .chosen).map { assessment.candidates[$0] }
  }
}

extension DecisionRules {
  /// Chooses the best candidate. If the same action was published for the client within the cooldown, nothing is
  /// published: a lesser action would only be noise. What the client has rejected or not answered, and what cannot reach
  /// it, is passed over, as is what the contact policy forbids.
  ///
  /// An expired action does not count, nor does one of a lower priority, since the risks have grown.
  /// - Parameters:
  ///   - zones: the names of the client's time zone and its organisation's, as the host has them.
  ///   - isHeldOut: whether the client is one of those that are left alone.
  public func decide(
    _ assessment: Assessment, actionHistory: ActionHistory, at now: Timestamp, in zones: [String?] = [],
    isHeldOut: Bool = false
  ) -> Decision {
    var verdicts: [Decision.Verdict] = []
    verdicts.reserveCapacity(assessment.candidates.count)
    var better: ActionKind?
    for candidate in assessment.candidates {
      if let better {
        verdicts.append(.outranked(by: better))
        continue
      }
      if let prohibition = actions.prohibition(of: candidate, actionHistory, at: now) {
        verdicts.append(prohibition)
        continue
      }
      if isHeldOut, actions.actionClass(of: candidate.action) == .standard,
        actions.contact?.holdout?.channels.contains(candidate.channel) == true
      {
        verdicts.append(.heldOut)
        continue
      }
      if let risk = actions.objection(to: candidate, assessment) {
        verdicts.append(.unsuitable(with: risk))
        continue
      }
      var verdict = verdict(on: candidate, assessment.priority, actionHistory, now)
      if verdict == .chosen { verdict = permitted(candidate, actionHistory, now, zones) }
      if !verdict.isPassedOver { better = candidate.action }
      verdicts.append(verdict)
    }
    return Decision(verdicts: verdicts)
  }

  /// Of one that nothing else stands in the way of, what the contact policy says.
  private func permitted(
    _ candidate: Candidate, _ history: ActionHistory, _ now: Timestamp, _ zones: [String?]
  ) -> Decision.Verdict {
    if let wait = actions.wait(for: candidate, history, at: now) { return .limited(by: wait.rule, until: wait.until) }
    if let contact = actions.contact, let quiet = contact.quietHours, quiet.channels.contains(candidate.channel),
      actions.actionClass(of: candidate.action) == .standard, let wait = quiet.wait(at: now, in: zones)
    {
      return .quiet(until: wait.until, zone: wait.zone)
    }
    return .chosen
  }

  private func verdict(
    on candidate: Candidate, _ priority: Priority, _ history: ActionHistory, _ now: Timestamp
  ) -> Decision.Verdict {
    if actions.life != nil,
      let open = history.entries.last(where: {
        $0.kind == candidate.action && $0.end == nil && ($0.trigger == candidate.trigger || $0.snoozedUntil != nil)
      })
    {
      if let until = open.snoozedUntil, until > now { return .snoozed(actionID: open.actionID, until: until) }
      if open.trigger == candidate.trigger, !open.isEscalated(to: priority) {
        return .open(actionID: open.actionID, times: open.repeats + 1)
      }
    }
    guard let last = history.newest(candidate.action) else { return .chosen }
    let isEscalated = last.isEscalated(to: priority)
    if let end = last.end, let pause = actions.life?.pause(after: end.state), pause > .seconds(0) {
      let until = end.at + pause
      if until > now, end.state == .rejected || !isEscalated {
        return .pausing(actionID: last.actionID, after: end.state, until: until)
      }
      return .chosen
    }
    let until = last.decidedAt + actions.cooldown(after: last)
    return now < until && !isEscalated ? .coolingDown(actionID: last.actionID, until: until) : .chosen
  }
}

extension Decision.Verdict {
  /// The names of those with which a candidate is passed over, as explanations have them.
  public static let namesOfPassedOver = [
    "pausing", "unreachable", "do_not_contact", "no_consent", "held_out", "limited", "unsuitable",
  ]

  var isPassedOver: Bool {
    switch self {
    case .pausing, .unreachable, .doNotContact, .noConsent, .heldOut, .limited, .unsuitable: true
    case .chosen, .outranked, .coolingDown, .open, .snoozed, .quiet, .withheld: false
    }
  }
}

extension ActionHistory.Entry {
  /// Whether the risks have grown since.
  fileprivate func isEscalated(to priority: Priority) -> Bool { self.priority.map { $0 < priority } ?? false }
}
