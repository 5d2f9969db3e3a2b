import DeadLetters
import FoundationEssentials
import IngestPipeline
import Journey
import JourneyPostgres
import ServiceLifecycle
import Synchronization

/// What operators see and do through the API of a running `serve`.
final class LiveOperationsService: OperationsService, Service {
  private struct Sample {
    var counts: Statistics.Counts
    var at = ContinuousClock.now
    /// Per second.
    var rates = (stored: 0.0, published: 0.0)
  }

  private let deadLetterOperations: DeadLetterOperations
  private let replays: ReplayRunner
  private let statistics: Statistics
  private let isConsuming: @Sendable () -> Bool
  private let pause: @Sendable () -> PauseOrder?
  private let isArchiving: Bool
  private let holdRepository: HoldRepository
  private let instances: InstanceRepository
  private let channels: [String]
  private let sample: Mutex<Sample>

  /// - Parameter channels: the channels that there are.
  init(
    deadLetters: DeadLetterOperations, replays: ReplayRunner, statistics: Statistics,
    isConsuming: @escaping @Sendable () -> Bool, pause: @escaping @Sendable () -> PauseOrder?, isArchiving: Bool,
    holds: HoldRepository, instances: InstanceRepository, channels: [String]
  ) {
    deadLetterOperations = deadLetters
    self.replays = replays
    self.statistics = statistics
    self.isConsuming = isConsuming
    self.pause = pause
    self.isArchiving = isArchiving
    holdRepository = holds
    self.instances = instances
    self.channels = channels
    sample = Mutex(Sample(counts: statistics.now))
  }

  /// Measures throughput every five seconds. At the end it interrupts a replay, which `journey dlq replay --resume`
  /// finishes.
  func run() async throws {
    await cancelWhenGracefulShutdown { [self] in
      while (try? await Task.sleep(for: .seconds(5))) != nil {
        let now = statistics.now
        sample.withLock { last in
          let seconds = max(0.001, last.at.duration(to: .now) / .seconds(1))
          func rate(_ count: KeyPath<Statistics.Counts, Int>) -> Double {
            (Double(now[keyPath: count] - last.counts[keyPath: count]) / seconds * 10).rounded() / 10
          }
          last = Sample(counts: now, rates: (rate(\.stored), rate(\.published)))
        }
      }
    }
    await replays.stop()
  }

  func overview(of state: DeadLetterState) async throws(OperationsError) -> [UInt8] {
    let found = try await deadLetterOperations.statistics(state)
    let (replays, depths) = try await replays.recent()
    let rates = sample.withLock(\.rates)
    let overview: JSONObject = [
      "consuming": isConsuming(), "archiving": isArchiving,
      "paused": pause().map { ["at": $0.at, "by": $0.actor, "reason": $0.why] as JSONObject },
      "queues": ["waiting": depths.ingest, "deadLetters": depths.dead] as JSONObject,
      "perSecond": ["stored": rates.stored, "published": rates.published] as JSONObject, "counts": statistics.now,
      "deadLetters": ["states": found.stateCounts, "codes": found.codes, "sources": found.sources] as JSONObject,
      "replays": replays,
    ]
    return encodeJSON(overview, reservingCapacity: 2048)
  }

  func deadLetters(_ filter: DeadLetterFilter, before: UUID?, limit: Int) async throws(OperationsError) -> [UInt8] {
    try await deadLetterOperations.list(filter, before: before, limit: limit)
  }
  func deadLetter(_ id: UUID) async throws(OperationsError) -> [UInt8]? {
    try await deadLetterOperations.deadLetter(id)
  }
  func discard(_ filter: DeadLetterFilter, why: String, by actor: String) async throws(OperationsError) -> Int {
    try await deadLetterOperations.discard(filter, why: why, by: actor)
  }
  func startReplay(_ request: ReplayRequest, by actor: String) async throws(OperationsError) -> [UInt8] {
    encodeJSON(try await replays.start(request, by: actor))
  }
  func replay(_ id: Int) async throws(OperationsError) -> [UInt8]? {
    try await replays.status(of: id).map { encodeJSON($0) }
  }

  /// Longer than a lease.
  private static let confirmTimeout = Duration.seconds(8)

  func holds(all: Bool) async throws(OperationsError) -> [UInt8] {
    let found = try await OperationsError.unavailable { try await holdRepository.list(all: all, limit: 100) }
    return encodeJSON(["items": found.map(\.json)] as JSONObject)
  }

  func addHold(_ hold: Hold, until: Timestamp?, why: String, by actor: String) async throws(OperationsError) -> [UInt8]
  {
    if let channel = hold.channel?.rawValue, !channels.contains(channel) {
      throw .refused(member: "channel", "known are \(channels.joined(separator: ", "))")
    }
    if let until, until <= SystemClock().now() { throw .refused(member: "until", "it has passed") }
    if let org = hold.orgID {
      let isKnown = try await OperationsError.unavailable { try await holdRepository.isOrganization(org) }
      guard isKnown else { throw .refused(member: "orgId", "there is no such organisation") }
    }
    let (added, instances, others) = try await OperationsError.unavailable {
      let added = try await holdRepository.add(hold, until: until, actor: actor, why: why)
      let instances = try await holdRepository.carriedOut(added.hold.id, within: Self.confirmTimeout)
      return (added, instances, try await self.instances.withoutLease { _ in true })
    }
    return encodeJSON(added.json(by: instances, withoutLease: others))
  }

  func releaseHold(
    _ id: Int64, rate: Double?, why: String?, by actor: String
  ) async throws(OperationsError) -> [UInt8]? {
    try await OperationsError.unavailable {
      try await holdRepository.release(id, rate: rate, actor: actor, why: why).map { encodeJSON($0.json) }
    }
  }
}
