import Foundation
import TestServers
import Testing

/// What no log line may hold. Checked for every `serve` that a test of the suite has started.
extension TestEnvironment {
  /// What stands in the events of `Workload`, and in no field of a log line.
  static let payloadMarkers = ["Grüße", "kanarivogel"]

  /// A part of each password of the logins, and the secret of tokens.
  private static let secrets = [TestServers.passwordMarker, "the secret of the integration tests"]

  func checkPrivacy(_ child: ChildProcess) {
    for line in child.standardError.split(separator: "\n") {
      for word in Self.payloadMarkers where line.contains(word) { Issue.record("a payload in the log: \(line)") }
      for secret in Self.secrets where line.contains(secret) { Issue.record("a secret in the log: \(line)") }
      if line.contains(Self.address) { Issue.record("an e-mail address in the log: \(line)") }
    }
  }

  nonisolated(unsafe) private static let address = /[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+\.[A-Za-z]{2,}/
}
