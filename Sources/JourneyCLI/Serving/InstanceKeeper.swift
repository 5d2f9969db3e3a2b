import AMQPClient
import ArgumentParser
import FoundationEssentials
import Journey
import JourneyAMQP
import JourneyPostgres
import JourneyConfiguration
import Logging
import PostgresClient
import Synchronization
import Glibc

/// Keeps the lease of this instance, pauses and resumes consuming, and holds actions as operators order it.
///
/// While the database is away, the last order to pause or resume holds. A few seconds later no action is published any
/// more, because an operator could have ordered a hold.
final class InstanceKeeper: Sendable {
  private struct State {
    var order: PauseOrder?
    var holds: [Hold] = []
    /// The holds of which nothing is under way any more.
    var carriedOut: Set<Int64> = []
    /// What the row says.
    var reported: InstanceLease.Report?
    var isFailing = false
    var task: Task<Void, Never>?
  }

  private let lease: InstanceLease
  private let source: IngestConsumer
  private let gate: ActionGate
  private let publisher: AMQPPublisher
  private let inHand: @Sendable () -> Int
  private let logger: Logger
  private let state = Mutex(State())

  /// Well below the five seconds after which the lease has run out.
  private static let interval = Duration.seconds(2)
  /// How long the connection's thread waits for an order at most, so that a stop does not wait for it.
  private static let slice = Duration.milliseconds(200)

  /// - Parameters:
  ///   - gate: of the actions.
  ///   - publisher: publishes them.
  init(
    lease: InstanceLease, source: IngestConsumer, gate: ActionGate, publisher: AMQPPublisher,
    inHand: @escaping @Sendable () -> Int, logger: Logger
  ) {
    self.lease = lease
    self.source = source
    self.gate = gate
    self.publisher = publisher
    self.inHand = inHand
    self.logger = logger
  }

  /// The order to pause that holds.
  var pause: PauseOrder? { state.withLock(\.order).flatMap { $0.isPause ? $0 : nil } }

  /// How many holds are open, as of the last renewal of the lease.
  var openHolds: Int { state.withLock(\.holds.count) }

  /// Takes the lease and the order that holds: before anything is consumed.
  func begin() async throws(StoreError) {
    // Its deadlines are short, and a database that is busy is no reason not to start.
    var attempts = 0
    while true {
      do throws(StoreError) {
        try await renew()
        break
      } catch {
        attempts += 1
        guard error.kind == .transient, attempts < 10 else { throw error }
        try? await Task.sleep(for: .seconds(1))
      }
    }
    logger.info("instance", metadata: .fields([.instance: lease.instance]))
  }

  /// Starts to renew the lease.
  func start() {
    let task = Task { [self] in
      while !Task.isCancelled {
        do throws(StoreError) {
          try await renew()
          if state.withLock({ $0.isFailing.exchange(false) }) { logger.notice("the lease is renewed again") }
          try await waitForOrder()
        } catch {
          if !state.withLock({ $0.isFailing.exchange(true) }), !Task.isCancelled {
            logger.warning(
              "the lease cannot be renewed, trying again; the last order to pause or resume holds: \(error)")
          }
          try? await Task.sleep(for: .seconds(1))
        }
      }
    }
    state.withLock { $0.task = task }
  }

  /// Gives the lease up, once everything is settled.
  func end() async {
    let task = state.withLock(\.task)
    task?.cancel()
    await task?.value
    await lease.end()
  }

  private func waitForOrder() async throws(StoreError) {
    let end = ContinuousClock.now + Self.interval
    while .now < end, !Task.isCancelled {
      // A pause is carried out once the broker has confirmed it, a hold once nothing of it is under way. Either is then
      // reported at once.
      let now = report, last = state.withLock(\.reported)
      if now.obeyed != last?.obeyed || now.state != last?.state || now.holds != last?.holds { return }
      if try await lease.wait(Self.slice) { return }
    }
  }

  private var report: InstanceLease.Report {
    let (order, obeyed, holds) = state.withLock { ($0.order, $0.reported?.obeyed ?? 0, $0.carriedOut) }
    let isPaused = order?.isPause ?? false
    let now: InstanceState =
      if source.isStopping {
        .draining
      } else if isPaused, source.isHeld {
        .paused
      } else {
        source.isConsuming ? .consuming : .waiting
      }
    let isObeyed = !isPaused || source.isHeld
    return InstanceLease.Report(state: now, inHand: inHand(), obeyed: isObeyed ? order?.id ?? 0 : obeyed, holds: holds)
  }

  private func renew() async throws(StoreError) {
    let report = report, sentAt = ContinuousClock.now
    let orders = try await lease.renew(report)
    gate.renewed(orders.holds, sentAt: sentAt)
    carryOut(orders.holds)
    let order = orders.pause
    let isNew = state.withLock { state in
      state.reported = report
      // Orders are not taken back. Where there is none suddenly, the name is a new one, and the last order holds.
      guard let order, state.order?.id != order.id else { return false }
      state.order = order
      return true
    }
    guard isNew, let order else { return }
    source.hold(order.isPause)
    logger.notice(
      order.isPause ? "consuming is paused" : "consuming is not paused", metadata: .fields([.order: "\(order.id)"]))
  }

  /// The gate knows the holds already.
  private func carryOut(_ holds: [Hold]) {
    let ids = Set(holds.map(\.id))
    let (new, ended, isDone) = state.withLock { state in
      let before = Set(state.holds.map(\.id))
      state.holds = holds
      state.carriedOut.formIntersection(ids)
      return (ids.subtracting(before), before.subtracting(ids), state.carriedOut == ids)
    }
    for id in new.sorted() { logger.notice("actions are held", metadata: .fields([.hold: "\(id)"])) }
    for id in ended.sorted() { logger.notice("a hold has ended", metadata: .fields([.hold: "\(id)"])) }
    guard !isDone else { return }
    publisher.whenGatesAreClosed { [self] in state.withLock { $0.carriedOut.formUnion(ids) } }
  }
}

extension Bool {
  fileprivate mutating func exchange(_ new: Bool) -> Bool {
    defer { self = new }
    return self
  }
}

extension JourneyConfiguration.Settings {
  /// With short deadlines: the lease lasts five seconds.
  func leaseDatabase() throws -> PostgresSettings {
    var database = try database(role: workingRole)
    database.connectTimeout = min(database.connectTimeout, .seconds(3))
    database.statementTimeout = .seconds(2)
    database.deadline = .seconds(3)
    database.maxReconnectDelay = .seconds(2)
    return database
  }

  /// - Parameter worker: used by the lease alone.
  func lease(_ worker: PostgresWorker) -> InstanceLease {
    var random = IDRandom()
    return InstanceLease(
      worker: worker, name: instanceName.isEmpty ? Self.hostName : instanceName, host: Self.hostName,
      version: JourneyCommand.configuration.version, process: UUID.v7(at: SystemClock().now(), using: &random))
  }

  static var hostName: String {
    var name = [CChar](repeating: 0, count: 256)
    guard gethostname(&name, name.count - 1) == 0 else { return "unknown" }
    return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }
}
