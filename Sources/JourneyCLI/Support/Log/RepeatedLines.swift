import Journey
import Logging
import Synchronization

/// Makes one line of many: of lines with a code, the first of the same level, message and code is written at once, the
/// others are counted, and their count is written at the end of each interval.
final class RepeatedLines: Sendable {
  private struct Group: Hashable {
    var level: Logger.Level
    var message: String
    var code: String
  }
  private struct Waiting {
    var since: ContinuousClock.Instant
    var count = 0
    var last: LogLine
    var sums: [LogKey: Int] = [:]
  }

  private let interval: Duration
  private let groups = Mutex<[Group: Waiting]>([:])
  /// Codes are few; messages should be. Beyond this, lines are written one by one.
  private static let maxGroups = 200

  init(interval: Duration = .seconds(10)) { self.interval = interval }

  /// - Returns: whether the line is to be written now.
  func isFirst(_ line: LogLine, at now: ContinuousClock.Instant) -> Bool {
    guard let code = line[.code] else { return true }
    let group = Group(level: line.level, message: line.message, code: code)
    return groups.withLock { groups in
      guard var waiting = groups[group] else {
        if groups.count < Self.maxGroups { groups[group] = Waiting(since: now, last: line) }
        return true
      }
      waiting.count += 1
      waiting.last = line
      for (key, text) in line.fields where key.isSum { waiting.sums[key, default: 0] += Int(text) ?? 0 }
      groups[group] = waiting
      return false
    }
  }

  /// The counts of intervals that are over: each the last line of its group, with its sums. A group without another
  /// line in its interval ends.
  func removeDue(at now: ContinuousClock.Instant, all: Bool) -> [LogLine] {
    groups.withLock { groups in
      var due: [LogLine] = []
      for (group, waiting) in groups where all || now - waiting.since >= interval {
        guard waiting.count > 0 else {
          groups[group] = nil
          continue
        }
        var line = waiting.last
        for (key, sum) in waiting.sums { line.set(key, sum) }
        if waiting.count > 1 { line.set(.repeats, waiting.count) }
        due.append(line)
        groups[group] = Waiting(since: now, last: line)
      }
      return due
    }
  }
}
