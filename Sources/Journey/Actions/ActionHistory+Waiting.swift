extension ActionHistory {
  /// Whether a candidate that had to wait is to be considered again: its time has come, or what it waited for has ended
  /// without having been run.
  /// - Parameters:
  ///   - now: when the client was evaluated.
  ///   - after: the history after that evaluation.
  ///   - level: what the evaluation says.
  ///   - rules: the rules for the life of actions.
  public func isWaitOver(at now: Timestamp, _ after: ActionHistory, _ level: RiskLevel, _ rules: LifeRules?) -> Bool {
    if let followUpAt, followUpAt <= now, let from = rules?.followUpFrom, level >= from { return true }
    guard let reconsiderAt else { return false }
    return reconsiderAt <= now || !contacts.allSatisfy(after.contacts.contains)
  }
}
