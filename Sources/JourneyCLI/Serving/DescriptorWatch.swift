import JourneyConfiguration
import Logging
import ServiceLifecycle
import Synchronization
import Glibc

/// Sees to it that the process never runs out of file descriptors, without which the runtime itself cannot go on.
///
/// It holds some from the start, which have low numbers and so are of use even where the limit is lowered while the
/// process runs. When few others are left it gives them up, and the API takes no further connections until there are
/// enough again.
final class DescriptorWatch: Service {
  /// More than the API accepts at a time.
  private static let reserve = 32
  /// What has to be free besides.
  private static let margin = 16
  private static let interval = Duration.milliseconds(250)

  private let held: Mutex<[Int32]>
  private let isAborted = Atomic<Bool>(false)
  private let logger: Logger

  /// - Throws: where the process may open so few that it could not work.
  init(_ settings: JourneyConfiguration.Settings, logger: Logger) throws {
    self.logger = logger
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    limit.rlim_cur = limit.rlim_max
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    // Forty for connections, the API's listener and files that are read, and a connection each of these.
    let needed = Self.reserve + Self.margin + 40 + settings.workers + settings.api.databaseConnections
    guard limit.rlim_cur >= rlim_t(needed) else {
      throw Failure(
        .settings,
        "the process may open \(limit.rlim_cur) files; serve needs \(needed), and one for each connection to the API: raise ulimit -n (LimitNOFILE=)"
      )
    }
    held = Mutex(Self.reserve(Self.reserve) ?? [])
  }

  /// Whether few descriptors are left: nothing that can wait should open another.
  var isShort: Bool {
    if isAborted.load(ordering: .relaxed) { return true }
    return !Self.areFree(Self.margin)
  }

  func run() async throws {
    await cancelWhenGracefulShutdown { [self] in
      while (try? await Task.sleep(for: Self.interval)) != nil { look() }
    }
  }

  private func look() {
    if !isAborted.load(ordering: .relaxed) {
      guard !Self.areFree(Self.margin) else { return }
      held.withLock { held in
        for descriptor in held { close(descriptor) }
        held = []
      }
      isAborted.store(true, ordering: .relaxed)
      logger.error(
        "few file descriptors are left; the API takes no more connections. Raise ulimit -n (LimitNOFILE=), or lower api.maximumConnections"
      )
    } else if Self.areFree(Self.reserve + 2 * Self.margin), let taken = Self.reserve(Self.reserve) {
      held.withLock { $0 = taken }
      isAborted.store(false, ordering: .relaxed)
      logger.notice("there are enough file descriptors again")
    }
  }

  private static func areFree(_ count: Int) -> Bool {
    guard let taken = reserve(count) else { return false }
    for descriptor in taken { close(descriptor) }
    return true
  }

  /// - Returns: nil where there are not as many.
  private static func reserve(_ count: Int) -> [Int32]? {
    var taken: [Int32] = []
    for _ in 0..<count {
      let descriptor = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)
      guard descriptor >= 0 else {
        for descriptor in taken { close(descriptor) }
        return nil
      }
      taken.append(descriptor)
    }
    return taken
  }
}
