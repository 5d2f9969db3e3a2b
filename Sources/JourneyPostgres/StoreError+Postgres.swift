package import Journey
package import PostgresClient

/// Runs `body` and converts every error into a `StoreError`.
package func withStoreErrors<Value>(_ body: () async throws -> Value) async throws(StoreError) -> Value {
  do {
    return try await body()
  } catch {
    throw StoreError(wrapping: error)
  }
}

extension StoreError {
  /// Whether the work ended because its task was cancelled: a job that has not begun then throws, and the database has
  /// refused nothing.
  var isInterruption: Bool { kind == .transient && Task.isCancelled }

  /// Errors that are not the database's, such as a cancellation, mean that the work was interrupted.
  init(wrapping error: any Error) {
    switch error {
    case let error as StoreError: self = error
    case let error as PostgresError: self.init(error)
    default: self.init(.transient, "interrupted: \(error)")
    }
  }

  /// The only conversion of a database error into an error of the event store.
  package init(_ error: PostgresError) {
    let kind: Kind =
      switch error.kind {
      // A refused connection says nothing about the work, which has not begun, so it may pass.
      case .permanent where error.isOfConnecting: .transient
      case .poison: .poison
      case .permanent, .decoding: .permanent
      case .transient, .reconnect, .reprepare, .commitUnknown, .deadline, .closed: .transient
      }
    // Without the location in the adapter's source code.
    let code = error.sqlState.map { " (SQLSTATE \($0)\(error.constraint.map { ", constraint \($0)" } ?? ""))" } ?? ""
    self.init(
      kind,
      (error.isRaised
        ? "a trigger or function of the database raised an error; see the server's log" : error.message)
        + code,
      detail: error.message + code, reason: error.reason)
  }
}
