/// The measured program, or several instances of it on one queue.
struct Subject: Codable, Hashable {
  var kind: Program.Kind
  var instances = 1

  static let floor = Subject(kind: .floor)
  static let adapter = Subject(kind: .adapter)

  var name: String { kind.rawValue + (instances > 1 ? " x \(instances)" : "") }
}

/// One measurement: the load, the stored data and the programs.
struct Scenario: Codable {
  enum Load: Codable {
    /// A queue that is filled before the measurement starts.
    case drain(events: Int)
    /// An open loop: events are published on schedule, without waiting for earlier ones.
    case steady(rate: Int, seconds: Int)
  }

  var load: Load
  var subjects: [Subject]
  /// Rounds per program.
  var rounds: Int
  /// Stored older events, without those of the hot client.
  var history = 0
  /// Stored older events of one client.
  var hotClient = 0
  /// The percentage of events for that client.
  var hotShare = 0
  /// Whether memory is reported during the run.
  var watchesMemory = false
  /// The directory of the adapter's settings and rules; nil: that of the run's options.
  var configuration: String?

  var keepsHistory: Bool { history + hotClient > 0 }

  var events: Int {
    switch load {
    case .drain(let events): events
    case .steady(let rate, let seconds): rate * seconds
    }
  }

  var title: String {
    let what =
      switch load {
      case .drain(let events): "\(events) events that wait"
      case .steady(let rate, let seconds):
        "\(rate) events/s for \(seconds) s a round; from when an event is due to its action at a worker"
      }
    let stored = [
      history > 0 ? "\(history) older events" : nil, hotClient > 0 ? "\(hotClient) older events of one client" : nil,
    ].compactMap(\.self)
    let after = stored.isEmpty ? "" : "; stored: " + stored.joined(separator: ", ")
    let rules = configuration == nil ? "" : ", profile default"
    return what + rules + (hotShare > 0 ? ", \(hotShare) % of one client" : "") + after
  }
}
