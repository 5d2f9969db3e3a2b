import FoundationEssentials
import JourneyAMQP

/// Versions of the servers that lose or damage data, or get no more corrections. Pure: from the version and the date.
///
/// Only what the servers' own projects say; docs/operations.md names the sources. Not a list of vulnerabilities.
enum KnownFaults {
  struct Fault: Hashable {
    var verdict: DiagnosticReport.Verdict
    var code: FindingCode
    var text: String
    var advice: String
  }

  /// - Parameter description: the product and version as the broker gives them, e.g. `RabbitMQ 3.13.1`.
  static func ofBroker(_ description: String, _ names: MessagingNames, virtualHost: String) -> [Fault] {
    let words = description.split(separator: " ")
    guard words.count == 2, words[0] == "RabbitMQ" else { return [] }
    let version = numbers(words[1])
    var faults: [Fault] = []
    for (first, fixed, text) in brokerFaults where isWithin(version, first, fixed) {
      faults.append(
        Fault(
          verdict: .failure, code: .brokerVersion, text: "\(description): \(text)",
          advice: "upgrade to RabbitMQ \(fixed.map(String.init).joined(separator: ".")) or later"))
    }
    if version.first ?? 0 >= 4 {
      // Not a warning: AMQP does not tell whether there is a policy.
      faults.append(
        Fault(
          verdict: .ok, code: .brokerVersion,
          text:
            "since 4.0 a quorum queue drops a message after 20 deliveries: a dead letter that is requeued too often",
          advice:
            "unless it is done: rabbitmqctl set_policy -p '\(virtualHost)' journey-unlimited '\(unlimited(names))' '{\"delivery-limit\": -1}' --apply-to quorum_queues"
        ))
    }
    return faults
  }

  /// - Parameter version: as libpq writes it, e.g. 150018 for 15.18.
  static func ofDatabase(_ version: Int32, now: Date = Date()) -> [Fault] {
    let major = Int(version / 10_000), minor = Int(version % 10_000)
    let name = "PostgreSQL \(major).\(minor)"
    var faults: [Fault] = []
    if major == 14, minor < 4 {
      faults.append(
        Fault(
          verdict: .failure, code: .databaseVersion,
          text: "\(name): an index that was made CONCURRENTLY can lack rows",
          advice: "upgrade to PostgreSQL 14.4 or later, then REINDEX the indexes that were made so"))
    }
    let end = endOfLife[major] ?? (major < 13 ? "2024-11-21" : nil)
    if let end, now.ISO8601Format() >= end {
      faults.append(
        Fault(
          verdict: .warning, code: .databaseVersion, text: "\(name): no more corrections since \(end)",
          advice: "upgrade to a supported major version: https://www.postgresql.org/support/versioning/"))
    }
    return faults
  }

  /// Major versions and the dates of their last releases.
  private static let endOfLife = [
    13: "2025-11-13", 14: "2026-11-12", 15: "2027-11-11", 16: "2028-11-09", 17: "2029-11-08", 18: "2030-11-14",
  ]

  private static let brokerFaults: [(first: [Int], fixed: [Int], text: String)] = [
    (
      [3, 13, 0], [3, 13, 3],
      "takes retries for a cycle of dead letters and drops them (rabbitmq-server issue 11159)"
    ),
    (
      [4, 3, 0], [4, 3, 3],
      "retries and dead letters can stay in a queue for ever (rabbitmq-server issue 16652), and a partition can lose confirmed messages (ra pull request 637)"
    ),
  ]

  /// The queues that have no limit of deliveries: a regular expression.
  private static func unlimited(_ names: MessagingNames) -> String {
    let queues = names.queues.filter {
      switch $0.contents {
      case .deadLetters: true
      case .events, .retries, .actions, .outcomes: false
      }
    }
    return "^(\(queues.map { $0.name.replacing(".", with: "\\.") }.joined(separator: "|")))$"
  }

  /// `4.0.0-rc.2` -> [4, 0, 0].
  private static func numbers(_ version: Substring) -> [Int] {
    version.prefix { $0.isNumber || $0 == "." }.split(separator: ".").compactMap { Int($0) }
  }

  private static func isWithin(_ version: [Int], _ first: [Int], _ fixed: [Int]) -> Bool {
    !version.lexicographicallyPrecedes(first) && version.lexicographicallyPrecedes(fixed)
  }
}
