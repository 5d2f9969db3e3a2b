public import Journey
import Synchronization

/// The current mappings, which can be replaced at runtime. Each message is read with either the old or the new ones.
public final class LiveMappings: Sendable {
  private let mappings: Mutex<[String: Mapping]>

  public init(_ mappings: [String: Mapping]) { self.mappings = Mutex(mappings) }

  /// By source.
  public var current: [String: Mapping] { mappings.withLock { $0 } }

  public func replace(with new: [String: Mapping]) { mappings.withLock { $0 = new } }
}
