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

/// Keeps the lease of this instance, and pauses and resumes consuming as operators order it.
///
/// While the database is away, the last order holds.
final class InstanceKeeper: Sendable {
  private struct State {
    var order: PauseOrder?
    /// What the row says.
    var reported: InstanceLease.Report?
    var isFailing = false
    var task: Task<Void, Never>?
  }

  private let lease: InstanceLease
  private let source: IngestConsumer
  private let inHand: @Sendable () -> Int
  private let logger: Logger
  private let state = Mutex(State())

  /// Well below the five seconds after which the lease has run out.
  private static let interval = Duration.seconds(2)
  /// How long the connection's thread waits for an order at most, so that a stop does not wait for it.
  private static let slice = Duration.milliseconds(200)

  init(lease: InstanceLease, source: IngestConsumer, inHand: @escaping @Sendable () -> Int, logger: Logger) {
    self.lease = lease
    self.source = source
    self.inHand = inHand
    self.logger = logger
  }

  /// The order to pause that holds.
  var pause: PauseOrder? { state.withLock(\.order).flatMap { $0.isPause ? $0 : nil } }

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
      // A pause is carried out once the broker has confirmed it, and is then reported at once.
      let now = report, last = state.withLock(\.reported)
      if now.obeyed != last?.obeyed || now.state != last?.state { return }
      if try await lease.wait(Self.slice) { return }
    }
  }

  private var report: InstanceLease.Report {
    let (order, obeyed) = state.withLock { ($0.order, $0.reported?.obeyed ?? 0) }
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
    return InstanceLease.Report(state: now, inHand: inHand(), obeyed: isObeyed ? order?.id ?? 0 : obeyed)
  }

  private func renew() async throws(StoreError) {
    let report = report
    let order = try await lease.renew(report)
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
