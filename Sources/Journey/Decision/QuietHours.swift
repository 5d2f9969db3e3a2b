/// When a client is left alone, by its own clock: from `begin` to `end`, local time, also across midnight.
public struct QuietHours: Hashable, Sendable {
  /// Since the local midnight, less than a day, and not equal.
  public var begin: TimeSpan
  public var end: TimeSpan
  /// The channels that keep to it.
  public var channels: Set<Channel>
  /// The IANA name of the zone of clients that have none, nor has their organisation; nil: these have no quiet hours,
  /// because those of another place would be worse.
  public var zone: String?
  private let zones: TimeZones
  private static let day = TimeSpan.days(1).microseconds

  /// - Parameter zones: where zones are looked up.
  public init(begin: TimeSpan, end: TimeSpan, channels: Set<Channel>, zone: String?, zones: TimeZones) {
    self.begin = begin
    self.end = end
    self.channels = channels
    self.zone = zone
    self.zones = zones
  }

  // Where zones are looked up is no part of the rule.
  public static func == (a: QuietHours, b: QuietHours) -> Bool {
    a.begin == b.begin && a.end == b.end && a.channels == b.channels && a.zone == b.zone
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(begin)
    hasher.combine(end)
    hasher.combine(channels)
    hasher.combine(zone)
  }

  /// When the client may be contacted again, and the zone that this follows from; nil: it may be contacted now.
  ///
  /// The local time counts: if the clocks change in the meantime, the hours are as much shorter or longer.
  /// - Parameter names: the client's zone and its organisation's. Those that are no zones are skipped.
  func wait(at now: Timestamp, in names: [String?]) -> (until: Timestamp, zone: String)? {
    for case let name? in names + [zone] {
      if let offsets = zones.offsets(name, at: now) { return wait(at: now, offsets).map { ($0, name) } }
    }
    return nil
  }

  private func wait(at now: Timestamp, _ zone: ZoneOffsets) -> Timestamp? {
    var time = now
    while true {
      let (offset, change) = zone.offset(at: time)
      let local = (time + offset).sinceMidnight
      guard isQuiet(local) else { return time == now ? nil : time }
      let open = time + TimeSpan(microseconds: (end.microseconds - local.microseconds + Self.day) % Self.day)
      guard let change, change < open else { return open }
      time = change
    }
  }

  private func isQuiet(_ local: TimeSpan) -> Bool {
    begin < end ? begin <= local && local < end : begin <= local || local < end
  }
}

extension Timestamp {
  /// The time since midnight, read as UTC.
  fileprivate var sinceMidnight: TimeSpan {
    let day = TimeSpan.days(1).microseconds, rest = microseconds % day
    return TimeSpan(microseconds: rest < 0 ? rest + day : rest)
  }
}
