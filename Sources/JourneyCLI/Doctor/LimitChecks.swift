import AMQPClient
import AsyncHTTPClient
import FoundationEssentials
import Journey
import JourneyAMQP
import JourneyConfiguration
import NIOCore
import NIOHTTP1

/// Whether the queues of actions and outcomes have limits and a target of their dead letters.
extension DiagnosticReport {
  mutating func limits(_ settings: JourneyConfiguration.Settings) async {
    let names = settings.messagingNames
    guard !settings.managementURL.isEmpty else {
      let old = try? await settings.withAdmin { try await $0.queuesOfEarlierVersions(names) }
      guard let old, !old.isEmpty else { return }
      let known = old.map { ($0, "declared by an earlier version") }
      return unlimited(
        known, settings,
        " unless a policy gives it to them, which only the management API tells (amqp.managementURL)")
    }
    var lacking: [(queue: String, what: String)] = []
    let isRead = await check("limits", .managementUnreadable, advice: "correct amqp.managementURL, or leave it out") {
      let client = ManagementAPI(url: settings.managementURL)
      for policy in names.policies {
        guard let queue = try await client.queue(policy.name, virtualHost: settings.virtualHost) else { continue }
        let missing = policy.lacks(queue.value)
        if !missing.isEmpty { lacking.append((policy.name, "without \(missing.joined(separator: ", "))")) }
      }
      return "each action queue has a limit and a target of its dead letters"
    }
    guard isRead, !lacking.isEmpty else { return }
    removeLast()
    unlimited(lacking, settings, "")
  }

  private mutating func unlimited(
    _ queues: [(queue: String, what: String)], _ settings: JourneyConfiguration.Settings, _ unless: String
  ) {
    let policies = settings.messagingNames.policies.filter { policy in queues.contains { $0.queue == policy.name } }
    let list = queues.map { "\($0.queue) (\($0.what))" }.joined(separator: ", ")
    add(
      "limits", .warning, .queuesUnlimited,
      "what workers reject in these queues is lost, and nothing limits their length,\(unless.isEmpty ? "" : unless + ":") \(list)",
      "as the broker's administrator run: "
        + policies.map { $0.command(virtualHost: settings.virtualHost) }.joined(separator: " && "))
  }
}

/// RabbitMQ's management API, which knows what AMQP does not tell: policies.
struct ManagementAPI {
  struct Queue {
    fileprivate let json: JSONDocument

    /// Of an argument (`x-…`), or else of the policies in effect.
    func value(_ name: String) -> String? {
      (json.root["arguments"]?["x-\(name)"] ?? json.root["effective_policy_definition"]?[name])?.text
    }
  }

  /// `http[s]://user:password@host:port`
  let url: String

  /// - Returns: nil if there is no such queue.
  func queue(_ name: String, virtualHost: String) async throws -> Queue? {
    guard var parts = URLComponents(string: url), parts.host != nil else {
      throw Failure(.settings, "amqp.managementURL: expected http[s]://user:password@host:port")
    }
    let login = "\(parts.user ?? ""):\(parts.password ?? "")"
    (parts.user, parts.password) = (nil, nil)
    let base = parts.string ?? ""
    var request = HTTPClientRequest(
      url:
        "\(base.hasSuffix("/") ? String(base.dropLast()) : base)/api/queues/\(AMQPConnectionSettings.percentEncoded(virtualHost))/\(AMQPConnectionSettings.percentEncoded(name))"
    )
    request.headers.add(name: "Authorization", value: "Basic \(Data(login.utf8).base64EncodedString())")
    let response = try await HTTPClient.shared.execute(request, timeout: .seconds(5))
    if response.status == .notFound { return nil }
    guard response.status == .ok else {
      throw Failure(.settings, "the management API answers \(response.status.code) \(response.status.reasonPhrase)")
    }
    let body = try await response.body.collect(upTo: 1 << 20)
    return Queue(json: try JSONDocument(parsing: Array(body.readableBytesView)))
  }
}
