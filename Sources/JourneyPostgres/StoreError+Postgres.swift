package import Journey
package import PostgresClient

/// Runs `body` and turns every error that it throws into a `StoreError`.
package func withStoreErrors<Value>(_ body: () async throws -> Value) async throws(StoreError) -> Value {
  do {
    return try await body()
  } catch {
    throw StoreError(wrapping: error)
  }
}

extension StoreError {
  /// An error that is none of the database's means that the work was interrupted, for example by a cancellation.
  init(wrapping error: any Error) {
    switch error {
    case let error as StoreError: self = error
    case let error as PostgresError: self.init(error)
    default: self.init(.transient, "interrupted: \(error)")
    }
  }

  /// The one place where a database error becomes the pipeline's.
  package init(_ error: PostgresError) {
    let kind: Kind =
      switch error.kind {
      // Every refusal of a session may pass: it says nothing of the work, which has not begun.
      case .permanent where error.isOfConnecting: .transient
      case .poison: .poison
      case .permanent, .decoding: .permanent
      case .transient, .reconnect, .reprepare, .commitUnknown, .deadline, .closed: .transient
      }
    // Without the place in the adapter's source.
    let code = error.sqlState.map { " (SQLSTATE \($0)\(error.constraint.map { ", constraint \($0)" } ?? ""))" } ?? ""
    self.init(
      kind,
      (error.isRaised
        ? "a trigger or function of the database raises an error; its words are in the server's log" : error.message)
        + code,
      detail: error.message + code, reason: error.reason)
  }
}
