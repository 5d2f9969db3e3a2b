import Foundation
public import Journey

extension TimeZones {
  /// The zones of the system's data.
  public static let system = TimeZones { name, time in
    // Foundation also accepts abbreviations and offsets, which say nothing of daylight saving.
    guard name.contains("/") || name == "UTC", let zone = TimeZone(identifier: name) else { return nil }
    let begin = time - .days(366), end = time + .days(366)
    var date = Date(begin)
    var periods = [ZoneOffsets.Period(begin: begin, offset: zone.offset(at: date))]
    while let next = zone.nextDaylightSavingTimeTransition(after: date), next < Date(end), next > date {
      date = next
      periods.append(
        ZoneOffsets.Period(
          begin: Timestamp(seconds: Int64(next.timeIntervalSince1970.rounded())), offset: zone.offset(at: next)))
    }
    return ZoneOffsets(periods: periods, end: end)
  }

  public func isKnown(_ name: String) -> Bool { offsets(name, at: SystemClock().now()) != nil }
}

extension TimeZone {
  fileprivate func offset(at date: Date) -> TimeSpan { .seconds(Int64(secondsFromGMT(for: date))) }
}

extension Date {
  fileprivate init(_ time: Timestamp) { self.init(timeIntervalSince1970: Double(time.microseconds) / 1_000_000) }
}
