import Foundation
import Journey
import PostgresClient

@testable import JourneyPostgres
@testable import TestSupport

/// Looks for broken limits in what was recorded. It shares no code with the decision, and its own knowledge of the rules.
struct YearChecker {
  struct Action {
    var id: String
    var client: UUID
    var kind: String
    var channel: String
    var at: Timestamp
    var state: String
  }

  let actions: [Action]
  let verdicts: Set<String>
  private(set) var broken: [String] = []

  init(
    _ database: PostgresWorker, _ account: YearRun.Account, _ clients: [YearClient],
    isNight: (Timestamp, String?) -> Bool
  ) async throws {
    actions = try await database.rows(
      """
      SELECT id, client_id, action, channel, (extract(epoch FROM decided_at) * 1000000)::bigint, state
      FROM journey_actions ORDER BY decided_at, id
      """
    ).map { row in
      let parts = row.split(separator: "|").map(String.init)
      return Action(
        id: parts[0], client: UUID(uuidString: parts[1])!, kind: parts[2], channel: parts[3],
        at: Timestamp(microseconds: Int64(parts[4])!), state: parts[5])
    }
    verdicts = Set(
      try await database.rows(
        "SELECT DISTINCT c ->> 'verdict' FROM client_journey_scores, json_array_elements(explanation -> 'candidates') c"
      ))
    let byID = Dictionary(uniqueKeysWithValues: clients.map { ($0.id, $0) })
    let callsEnd = try await Self.callsEnd(database)
    for (client, actions) in Dictionary(grouping: actions, by: \.client) {
      // Workers run e-mails and calls at once, so all of them have reached the client.
      for channel in ["email", "voice"] {
        let sent = actions.filter { $0.channel == channel }
        for (one, two) in zip(sent, sent.dropFirst()) where two.at < one.at + .days(7) {
          fail("two within seven days", one, two)
        }
        for action in sent where isNight(action.at, byID[client]!.zone) { fail("at night", action) }
      }
      let surveys = actions.filter { $0.kind == "trigger_satisfaction_survey" }
      for (one, two) in zip(surveys, surveys.dropFirst()) where two.at < one.at + .days(90) {
        fail("two surveys within 90 days", one, two)
      }
      for action in actions where action.channel == "email" {
        if let since = account.noEmailSince[client], action.at > since + .seconds(60) {
          fail("an e-mail that nobody wants", action)
        }
        if action.kind == "offer_credit_pack",
          account.overdue[client]?.contains(where: { $0.from < action.at && $0.to.map { $0 > action.at } ?? true })
            == true
        {
          fail("an offer to someone who is late", action)
        }
      }
      for action in actions where action.channel == "voice" {
        if !byID[client]!.agreesToCalls { fail("a call without consent", action) }
        if let end = callsEnd[client], action.at >= end { fail("a call after the consent has ended", action) }
      }
    }
    let called = Set(actions.filter { $0.channel != "human" }.map(\.client))
    let heldOut = Set(
      try await database.rows(
        "SELECT DISTINCT client_id FROM client_journey_scores WHERE explanation ->> 'holdout' = 'true'"
      ).compactMap(UUID.init(uuidString:)))
    for client in called.intersection(heldOut) { broken.append("\(client) is held out, and was contacted") }
    // Four standard deviations of a share of 5 %, and a client.
    let expected = Double(clients.count) * 0.05
    if abs(Double(heldOut.count) - expected) > 4 * expected.squareRoot() + 1 {
      broken.append("\(heldOut.count) of \(clients.count) clients are held out")
    }
  }

  private mutating func fail(_ what: String, _ actions: Action...) {
    broken.append(
      "\(what): " + actions.map { "\($0.kind) \($0.at.iso8601) \($0.state) \($0.id)" }.joined(separator: "; "))
  }

  /// When the consent to calls ends: withdrawn, or expired.
  private static func callsEnd(_ database: PostgresWorker) async throws -> [UUID: Timestamp] {
    var ends: [UUID: Timestamp] = [:]
    let rows = try await database.rows(
      """
      SELECT client_id, (extract(epoch FROM min(CASE change WHEN 'withdrawn' THEN at ELSE expires_at END)) * 1000000)::bigint
      FROM journey_consents WHERE change = 'withdrawn' OR expires_at IS NOT NULL GROUP BY 1
      """)
    for row in rows {
      let parts = row.split(separator: "|").map(String.init)
      ends[UUID(uuidString: parts[0])!] = Timestamp(microseconds: Int64(parts[1])!)
    }
    return ends
  }
}
