import PostgresClient

extension GroupRepository {
  /// Deletes events that are kept for a group, and logs each in the identity log.
  /// - Parameters:
  ///   - type: only events of this type; nil: all.
  ///   - isRehearsal: rolls back.
  /// - Returns: how many events; nil if there is no such group.
  public func discard(of key: GroupKey, type: String?, why: String, isRehearsal: Bool) async throws -> Int? {
    try await worker.perform { [actor] connection in
      let parameters = key.parameters {
        $0.text(type)
        $0.text(actor)
        $0.text(why)
      }
      let answers = try connection.pipeline([
        (.begin, PostgresParameters()), (GroupStatements.lockOne, key.parameters()),
        (GroupStatements.discard, parameters),
      ])
      if isRehearsal { try connection.rollback() } else { try connection.commit() }
      return answers[1].rowCount == 0 ? nil : Int(try answers[2].int64(0, 0))
    }
  }
}
