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
    let seconds = (self - now).microseconds / 1_000_000
    let amount = abs(seconds)
    let text =
      switch amount {
      case ..<120: "\(amount) s"
      case ..<7200: "\(amount / 60) min"
      case ..<172_800: "\(amount / 3600) h"
      default: "\(amount / 86_400) days"
      }
    return seconds > 0 ? "in \(text)" : "\(text) ago"
  }
}
