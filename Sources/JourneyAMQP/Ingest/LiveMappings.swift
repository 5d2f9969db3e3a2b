public import Journey
import Synchronization

/// The mappings in use, which can be replaced while messages are read: a message is read by the old ones or by the new
/// ones, never by both.
public final class LiveMappings: Sendable {
  private let mappings: Mutex<[String: Mapping]>

  public init(_ mappings: [String: Mapping]) { self.mappings = Mutex(mappings) }

  /// By source.
  public var current: [String: Mapping] { mappings.withLock { $0 } }

  public func replace(with new: [String: Mapping]) { mappings.withLock { $0 = new } }
}
