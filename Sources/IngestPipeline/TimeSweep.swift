import FoundationEssentials
import Journey
import Logging
import ServiceLifecycle

/// Has clients evaluated for whom the time has come: a risk begins or ends although nothing happened, or the host has
/// changed their stored events.
///
/// Any number of instances may do so at the same time; each takes what no other holds. Events are not held up by a
/// great number of clients that are due at once: a transaction takes few of them, since an event may have to wait for
/// it and for its actions, and between two there is a rest, of as long as the last one took (what is busy is left alone
/// for longer) and of what is left of the time that is set for its clients.
final class TimeSweep: Sendable {
  struct Settings: Sendable {
    /// How long to wait where nothing is due.
    var interval: Duration
    /// How many clients a transaction takes at most.
    var limit: Int
    /// The least time that a client takes, on average.
    var pace: Duration
  }

  private let store: any EventStore
  private let outbox: Outbox
  private let gate: CommitGate
  private let settings: Settings
  private let statistics: Statistics
  private let health: Health
  private let logger: Logger

  init(
    store: any EventStore, outbox: Outbox, gate: CommitGate, settings: Settings, statistics: Statistics,
    health: Health, logger: Logger
  ) {
    self.store = store
    self.outbox = outbox
    self.gate = gate
    self.settings = settings
    self.statistics = statistics
    self.health = health
    self.logger = logger
  }

  /// Works until it is cancelled.
  func run() async {
    var passedOver = PassedOver()
    var turn = 0
    while !isStopping {
      turn += 1
      // Whoever was held is tried again after a minute or so.
      if turn.isMultiple(of: Self.turnsUntilHeldAreTried) { passedOver.clients = [] }
      passedOver.organizations = []
      await evaluateAllDue(&passedOver)
      try? await Task.sleep(for: settings.interval)
    }
  }

  private var isStopping: Bool { Task.isCancelled || Task.isShuttingDownGracefully }

  private static let turnsUntilHeldAreTried = 12
  /// Each of them costs a statement that waits in vain.
  private static let maxPassedOver = 100

  /// Evaluates all that is due.
  /// - Parameter passedOver: who is left out; those are added that turn out to be held.
  private func evaluateAllDue(_ passedOver: inout PassedOver) async {
    var limit = settings.limit
    // While the database lets no batch pass, this would not either.
    while !isStopping, !gate.isClosed {
      let begin = ContinuousClock.now
      var looked = 0
      do throws(StoreError) {
        let result = try await store.evaluateDue(limit: limit, passingOver: passedOver)
        health.succeeded(.time)
        looked = result.looked
        statistics.add(\.overTime, result.evaluated.count)
        if let batch = result.outbox { await outbox.publish(batch) }
        passedOver.organizations.formUnion(result.held)
        guard result.looked >= limit else { return }
        limit = min(settings.limit, limit * 2)
      } catch {
        guard await isWorthAnother(after: error, limit: &limit, &passedOver) else { return }
      }
      let took = ContinuousClock.now - begin
      try? await Task.sleep(for: max(took, settings.pace * looked - took))
    }
  }

  /// One client that cannot be evaluated shall not keep the others from it: fewer at a time are tried, and the one that
  /// is left is put off.
  /// - Returns: whether to go on at once.
  private func isWorthAnother(after error: StoreError, limit: inout Int, _ passedOver: inout PassedOver) async -> Bool {
    if error.kind == .contended, limit > 1 || error.client != nil, passedOver.clients.count < Self.maxPassedOver {
      if limit == 1, let client = error.client { passedOver.clients.insert(client) }
      limit = max(1, limit / 4)
      return true
    }
    if health.failed(.time, error.reason) {
      logger.warning("clients cannot be evaluated as time passes, trying again: \(error)")
    }
    guard error.kind != .transient, error.kind != .contended else { return false }
    if limit > 1 {
      limit = max(1, limit / 4)
      return true
    }
    guard let client = error.client else { return false }
    do throws(StoreError) {
      try await store.postponeDue(client)
      logger.error(
        "a client cannot be evaluated, and is put off for an hour: \(error)", metadata: ["client": "\(client)"])
    } catch {
      logger.debug("a client cannot be put off: \(error)")
    }
    // One a turn: where nobody can be evaluated, nobody shall be put off for long.
    return false
  }
}
