public import Journey
import Synchronization

/// The current mappings, which can be replaced at runtime. Each message is read with either the old or the new ones.
public final class LiveMappings: Sendable {
  private struct State {
    var mappings: [String: Mapping]
    /// Of the sources that redact something.
    var redactions: [String: BodyRedaction]

    init(_ mappings: [String: Mapping]) {
      self.mappings = mappings
      redactions = mappings.compactMapValues { BodyRedaction($0) }
    }
  }
  private let state: Mutex<State>

  public init(_ mappings: [String: Mapping]) { state = Mutex(State(mappings)) }

  /// By source.
  public var current: [String: Mapping] { state.withLock { $0.mappings } }

  /// nil: the mapping of the source redacts nothing.
  func redaction(of source: String) -> BodyRedaction? { state.withLock { $0.redactions[source] } }

  public func replace(with new: [String: Mapping]) { state.withLock { $0 = State(new) } }
}
