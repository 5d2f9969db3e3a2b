import TestSupport
import Journey
import FoundationEssentials
import Testing

/// A broker in memory: it confirms at once, fails, or holds what it gets until the test confirms it.
final class FakePublisher: ActionPublisher {
  enum Mode: Sendable {
    case confirming
    case holding
    case failing
    /// Every second action is held; of the others, every second one fails.
    case gated
  }
  fileprivate struct Held: Sendable {
    var actions: [ActionMessage]
    var completion: @Sendable ([PublishFailure?]) -> Void
  }
  struct State: Sendable {
    /// All that were handed over, in order.
    var actions: [ActionMessage] = []
    fileprivate var held: [Held] = []
    var maxInFlight = 0
    var underWay: Int { held.reduce(0) { $0 + $1.actions.count } }
  }

  let state = Watched(State())
  private let mode: Mode

  init(_ mode: Mode = .confirming) { self.mode = mode }

  var now: State { state.now }

  func publish(_ actions: [ActionMessage], completion: @escaping @Sendable ([PublishFailure?]) -> Void) {
    state.change { state in
      state.actions.append(contentsOf: actions)
      if mode == .holding { state.held.append(Held(actions: actions, completion: completion)) }
      state.maxInFlight = max(state.maxInFlight, state.underWay)
    }
    switch mode {
    case .confirming: completion(actions.map { _ in nil })
    case .failing: completion(actions.map { _ in PublishFailure("no queue took it") })
    case .gated:
      completion(
        actions.indices.map {
          $0 % 2 == 0 ? PublishFailure("held", hold: 7) : $0 % 4 == 1 ? PublishFailure("no queue took it") : nil
        })
    case .holding: break
    }
  }

  /// Confirms the batch that has been held longest.
  /// - Returns: how many actions it has.
  @discardableResult
  func confirmOldest() throws -> Int {
    let held = try #require(state.change { $0.held.isEmpty ? nil : $0.held.removeFirst() })
    held.completion(held.actions.map { _ in nil })
    return held.actions.count
  }

  func confirmAll() throws { while !now.held.isEmpty { try confirmOldest() } }
}
