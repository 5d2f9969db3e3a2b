import FoundationEssentials
import Journey
import Logging
import ServiceLifecycle

/// Evaluates clients that are due: a risk begins or ends without an event, or the host application has changed their
/// stored events.
///
/// Any number of instances may run it; each skips clients that another one has locked. A large number of due clients
/// does not delay events: each transaction evaluates few clients, since an event may have to wait for it. The sweep
/// then pauses for at least as long as the transaction took, and for at least `pace` per client.
final class TimeSweep: Sendable {
  struct Settings: Sendable {
    /// The pause when no client is due.
    var interval: Duration
    /// The maximum number of clients per transaction.
    var limit: Int
    /// The minimum time per client, on average.
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

  /// Runs until it is cancelled.
  func run() async {
    var passedOver = PassedOver()
    var turn = 0
    while !isStopping {
      turn += 1
      // Clients that were locked are tried again after about a minute.
      if turn.isMultiple(of: Self.turnsUntilHeldAreTried) { passedOver.clients = [] }
      passedOver.organizations = []
      await evaluateAllDue(&passedOver)
      try? await Task.sleep(for: settings.interval)
    }
  }

  private var isStopping: Bool { Task.isCancelled || Task.isShuttingDownGracefully }

  private static let turnsUntilHeldAreTried = 12
  /// Each skipped client cost a statement that waited for its lock in vain.
  private static let maxPassedOver = 100

  /// Evaluates all clients that are due.
  /// - Parameter passedOver: clients and organisations to skip. Those that turn out to be locked are added.
  private func evaluateAllDue(_ passedOver: inout PassedOver) async {
    var limit = settings.limit
    // While the database accepts no batch, this would fail as well.
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

  /// Isolates a client that cannot be evaluated, so that it does not block the others: reduces the limit, and postpones
  /// the client that is left.
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
        "a client cannot be evaluated and is postponed by an hour",
        metadata: .fields([.code: "not_evaluated", .client: client.text, .error: "\(error)"]))
    } catch {
      logger.debug("a client cannot be postponed: \(error)")
    }
    // Only one per turn: if no client can be evaluated, few should be postponed.
    return false
  }
}
