import Foundation

/// Reads the kernel's counters of processes from /proc.
enum Processes {
  private static let tick = 1000.0 / Double(sysconf(Int32(_SC_CLK_TCK)))

  /// CPU time in milliseconds, user and system; 0 if the process has ended.
  /// - Parameter children: includes children that have ended.
  static func cpu(_ pid: Int32, children: Bool = false) -> Double {
    guard let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
      let end = text.lastIndex(of: ")")
    else { return 0 }
    let fields = text[end...].split(separator: " ").dropFirst()
    return fields.dropFirst(11).prefix(children ? 4 : 2).reduce(0) { $0 + (Double($1) ?? 0) } * tick
  }

  /// The CPU time of a server with worker processes.
  static func cpuOfTree(_ pid: Int32, without excluded: Int32) -> Double {
    let text = (try? String(contentsOfFile: "/proc/\(pid)/task/\(pid)/children", encoding: .utf8)) ?? ""
    let children = text.split(separator: " ").compactMap { Int32($0) }
    return children.reduce(cpu(pid, children: true)) { $0 + ($1 == excluded ? 0 : cpu($1)) }
  }

  static func peakMemoryMiB(_ pid: Int32) -> Double { memory(pid, "VmHWM") }
  static func memoryMiB(_ pid: Int32) -> Double { memory(pid, "VmRSS") }

  private static func memory(_ pid: Int32, _ name: String) -> Double {
    guard let text = try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8) else { return 0 }
    let line = text.split(separator: "\n").first { $0.hasPrefix(name) }
    return (line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Double($0) } ?? 0) / 1024
  }
}
