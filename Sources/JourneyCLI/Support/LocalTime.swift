import Glibc
import Journey

extension Timestamp {
  /// In the zone of this machine, and how long ago: `2026-11-20 11:00:07 +0100 (2 min ago)`.
  func local(at now: Timestamp) -> String { "\(local) (\(relative(to: now)))" }

  var local: String {
    var seconds = time_t(microseconds / 1_000_000)
    var parts = tm()
    guard localtime_r(&seconds, &parts) != nil else { return toTheSecond }
    return String(unsafeUninitializedCapacity: 64) { buffer in
      buffer.withMemoryRebound(to: CChar.self) { strftime($0.baseAddress!, $0.count, "%Y-%m-%d %H:%M:%S %z", &parts) }
    }
  }

  /// `2 min ago`, `in 41 s`.
  func relative(to now: Timestamp) -> String {
    let seconds = Int((self - now).microseconds / 1_000_000), amount = abs(seconds).ofTime
    return seconds > 0 ? "in \(amount)" : "\(amount) ago"
  }
}

extension Int {
  /// A number of seconds, for a person: `95 s`, `1 min`, `14 min`, `3 h`, `2 days`.
  var ofTime: String {
    switch self {
    case 172_800...: "\(self / 86_400) days"
    case 7200..., 3600: "\(self / 3600) h"
    case 120..., 60: "\(self / 60) min"
    default: "\(self) s"
    }
  }
}
