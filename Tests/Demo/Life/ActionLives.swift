import Foundation
import Subprocess

/// What becomes of actions: one is revoked, one expires, and the example workers run the others, of which one is
/// accepted. It takes clients of the stories and reads all outcomes from the adapter.
struct ActionLives {
  /// How long a survey may wait for a worker in the demo, instead of three days.
  static let expiry = "20s"
  /// The rules of the demo: those that are shipped, and the expiry above.
  ///
  /// - Throws: `DemoFailure` where the shipped rules have no such line.
  static func rules(_ shipped: String) throws -> String {
    let line = "  expiresAfter: 72h\n"
    guard shipped.contains(line) else { throw DemoFailure("config/decisions.yaml has no line 'expiresAfter: 72h'") }
    return shipped.replacing(
      line, with: "  expiresAfter: { default: 72h, trigger_satisfaction_survey: \(expiry) }\n")
  }

  /// For a machine that stands still, not for one that is slow.
  private static let timeout = Duration.seconds(90)
  private static let paying = "Mei Tanaka", accepting = "Kwame Mensah", silent = "Tomás Herrera"

  let run: DemoRun
  let journey: Journey
  let servers: DemoServers
  let adapter: Adapter
  private var console: Console { run.console }

  /// - Returns: how many events it has added.
  /// - Throws: `DemoFailure` where an action does not end as it has to.
  func show(_ scenario: Scenario) async throws -> Int {
    let paid = try StoryEvents(scenario, of: Self.paying, later: Story(lines: [.init(words: Self.payment)]))
    let revoked = try await action("email_outreach", of: Self.paying)
    let accepted = try await action("email_outreach", of: Self.accepting)
    let expired = try await action("trigger_satisfaction_survey", of: Self.silent)

    try await journey.publish(paid.files, in: run.directory + "/events/later")
    try await until("a revoked action", "revoked", revoked)
    console.detail("\(Self.paying) has paid: the e-mail about the invoice is taken back")
    try await until("an expired action", "expired", expired)
    console.detail("no worker has run the survey for \(Self.silent) within \(Self.expiry): it has expired")

    guard let page = try await journey.page(adapter) else { throw DemoFailure("the API is not served") }
    let workers = ExampleWorkers(run: run, servers, page)
    let isVoiceThere = try await workers.running {
      try await wait("the workers' reports") {
        try await servers.value(Self.open(["email"])) == "0"
      }
      try await journey.run(
        ["actions", "outcome", accepted, "accepted", "--detail", "the client has answered, and pays tomorrow"],
        output: .discarded)
      try await until("an accepted action", "accepted", accepted)
    } voice: {
      try await wait("the calls") { try await servers.value(Self.open(["voice"])) == "0" }
    }
    let mails = try workers.mails(), calls = try workers.calls()
    console.detail("the workers have sent \(mails.count) mails and made \(calls.count) calls")
    for name in [Self.paying, Self.silent] {
      let client = try scenario.client(name)
      if mails.contains(client.email) { throw DemoFailure("\(name) got a mail that was taken back or has expired") }
    }
    for (channel, reached) in [("email", mails), ("voice", calls)] where channel == "email" || isVoiceThere {
      let delivered = try await servers.value(
        "SELECT count(*) FROM journey_actions WHERE channel = '\(channel)' AND state IN ('delivered', 'accepted')")
      guard delivered == "\(reached.count)", Set(reached).count == reached.count else {
        throw DemoFailure("\(reached.count) messages by \(channel), but \(delivered) actions are delivered")
      }
    }
    for id in [revoked, expired, accepted] {
      console.heading("journey actions show \(id)")
      try await journey.run(["actions", "show", id], output: .currentStandardOutput)
    }
    console.result()
    return paid.count
  }

  /// The invoice of the story `late_payer`, a day late.
  private static let payment = ["0", "stripe", "invoice.paid", "invoice=1", "amount=310000"]

  private static func open(_ channels: [String]) -> String {
    """
    SELECT count(*) FROM journey_actions
    WHERE channel IN (\(channels.map { "'\($0)'" }.joined(separator: ","))) AND state IN ('proposed', 'published')
      AND COALESCE(expires_at > now(), true)
    """
  }

  private func action(_ kind: String, of client: String) async throws -> String {
    let id = try await servers.value(
      """
      SELECT a.id FROM journey_actions a JOIN contacts c ON c.id = a.client_id
      WHERE c.name = '\(client)' AND a.action = '\(kind)' ORDER BY a.decided_at DESC LIMIT 1
      """)
    guard !id.isEmpty else { throw DemoFailure("\(client) has no action \(kind)") }
    return id
  }

  private func until(_ what: String, _ state: String, _ action: String) async throws {
    try await wait(what) {
      // The message that takes it back is sent too.
      try await servers.value(
        """
        SELECT count(*) FROM journey_action_states
        WHERE action_id = '\(action)' AND state = '\(state)' AND revocation IS DISTINCT FROM 'pending'
        """) == "1"
    }
  }

  private func wait(_ what: String, _ condition: () async throws -> Bool) async throws {
    let began = ContinuousClock.now
    while try await !condition() {
      guard !adapter.hasEnded else { throw DemoFailure("the adapter has ended") }
      guard ContinuousClock.now - began < Self.timeout else {
        throw DemoFailure("waited \(Self.timeout.components.seconds) s in vain for \(what)")
      }
      try await Task.sleep(for: .milliseconds(200))
    }
  }
}
