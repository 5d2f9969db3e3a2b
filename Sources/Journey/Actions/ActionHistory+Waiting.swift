extension ActionHistory {
  /// Whether a candidate that had to wait is to be considered again: its time has come, or what it waited for has ended
  /// without having been run.
  /// - Parameters:
  ///   - now: when the client was evaluated.
  ///   - after: the history after that evaluation.
  public func isWaitOver(at now: Timestamp, _ after: ActionHistory) -> Bool {
    guard let reconsiderAt else { return false }
    return reconsiderAt <= now || !contacts.allSatisfy(after.contacts.contains)
  }
}
