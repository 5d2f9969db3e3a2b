import ConnectionThreads
import Journey

/// Runs `body` until it succeeds, with a pause after each failure that may be retried.
///
/// - Parameters:
///   - shouldRetry: gets the error and how many attempts failed before it.
///   - pause: sleeps; returns false to give up, for example because the process stops.
/// - Throws: the last error, when it is not retried.
func retrying<Value>(
  _ backoff: inout Backoff, while shouldRetry: (StoreError, Int) -> Bool, pause: (Duration) async -> Bool,
  _ body: () async throws(StoreError) -> Value
) async throws(StoreError) -> Value {
  while true {
    do throws(StoreError) {
      return try await body()
    } catch {
      guard shouldRetry(error, backoff.attempts), await pause(backoff.next()) else { throw error }
    }
  }
}
