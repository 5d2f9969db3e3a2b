import FoundationEssentials
import Glibc

/// What this process uses of the machine, as the system says.
public enum ProcessUsage {
  /// In bytes; nil if the system does not say.
  public static var residentBytes: Int? {
    guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return nil }
    let fields = text.split(separator: " ")
    guard fields.count > 1, let pages = Int(fields[1]) else { return nil }
    return pages * Int(sysconf(Int32(_SC_PAGESIZE)))
  }

  /// CPU time of all threads, ended ones too, in seconds.
  public static var cpuSeconds: Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1_000_000_000
  }

  /// When the process started, in seconds since 1970; nil if the system does not say.
  public static let startTime: Double? = {
    guard let text = try? String(contentsOfFile: "/proc/self/stat", encoding: .utf8), let end = text.lastIndex(of: ")")
    else { return nil }
    // The 22nd field; the name before it may hold spaces.
    let fields = text[end...].split(separator: " ")
    guard fields.count > 20, let ticks = Double(fields[20]) else { return nil }
    var sinceBoot = timespec()
    clock_gettime(CLOCK_BOOTTIME, &sinceBoot)
    let now = Double(sinceBoot.tv_sec) + Double(sinceBoot.tv_nsec) / 1_000_000_000
    return Date().timeIntervalSince1970 - (now - ticks / Double(sysconf(Int32(_SC_CLK_TCK))))
  }()

  /// nil if none is left to count them with.
  public static var openDescriptors: Int? {
    // One is open to read the directory.
    (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")).map { $0.count - 1 }
  }

  public static var maxDescriptors: Int {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    return Int(clamping: limit.rlim_cur)
  }
}
