import FoundationEssentials
import HTTPTypes
import Hummingbird
import Journey
import Logging

/// What people report of actions, and what operators take back.
struct ActionRoutes: Sendable {
  let reader: any JourneyReader
  let outcomes: any OutcomeIntake
  let revoker: any ActionRevoker
  let clock: any WallClock
  let settings: APISettings

  func add(to router: some RouterMethods<APIContext>) {
    router.resource("actions/:id/outcome", .post, use: report)
    router.resource("actions/:id/revoke", .post, use: revoke)
  }

  private func report(_ request: Request, _ context: APIContext) async throws -> Response {
    let caller = try context.requireCaller(), id = try context.id("id")
    _ = try Query(request)
    let given = try await body(of: request, settings)
    try given.requireKnownMembers(["outcome", "occurredAt", "detail", "until"])
    let names = ActionOutcome.allCases.map(\.rawValue).joined(separator: ", ")
    guard let outcome = given["outcome"]?.string.flatMap(ActionOutcome.init(rawValue:)) else {
      throw Problem.invalid("$.outcome", "one of \(names) is expected")
    }
    let detail = try given.text("detail", 1...OutcomeReport.maxDetail), now = clock.now()
    guard var action = try await reader.action(id, for: caller) else { throw Problem.notFound }
    let report = OutcomeReport(
      actionID: id, outcome: outcome, occurredAt: try given.time("occurredAt") ?? now, detail: detail,
      until: try given.time("until"), reporter: "person:\(caller.name)", orgID: action.orgID)
    do throws(Rejection) { try report.checkTimes(at: now) } catch { throw Self.refused(error) }
    switch action.life.apply(report) {
    case .refused(let reason): throw Problem(.conflict, "the action cannot take this outcome: \(reason)")
    case .repeated: return Self.answer(report, "known")
    case .changed: break
    }
    do throws(IntakeError) {
      try await outcomes.publish(report)
    } catch {
      switch error {
      case .refused(let rejection): throw Self.refused(rejection)
      case .unavailable(let reason):
        context.logger.warning(
          "an outcome was not confirmed",
          metadata: .fields([.code: "not_confirmed", .action: id.text, .reason: reason]))
        throw Problem(
          .serviceUnavailable, "the broker has not confirmed the outcome; send it again", headers: [.retryAfter: "2"])
      }
    }
    return Self.answer(report, "accepted")
  }

  private static func answer(_ report: OutcomeReport, _ status: String) -> Response {
    let answer: JSONObject = [
      "actionId": report.actionID, "outcome": report.outcome.rawValue, "occurredAt": report.occurredAt,
      "status": status,
    ]
    return noStoreResponse(encodeJSON(answer), status: .accepted)
  }

  private static func refused(_ rejection: Rejection) -> Problem {
    let field = rejection.field.map { $0.replacing("data.", with: "$.") } ?? "$"
    return Problem(
      .unprocessableContent, "the outcome cannot be used",
      errors: [Problem.Detail(field: field, message: rejection.message)])
  }

  private func revoke(_ request: Request, _ context: APIContext) async throws -> Response {
    let caller = try context.requireCaller()
    guard caller.isOperator else { throw Problem(.forbidden, "this needs an operator's token") }
    let id = try context.id("id")
    _ = try Query(request)
    let given = try await body(of: request, settings)
    try given.requireKnownMembers(["reason"])
    guard let reason = try given.text("reason") else {
      throw Problem.invalid("$.reason", "the reason is required, for the record and the worker")
    }
    let status: String
    switch try await revoker.revoke(id, because: reason, by: "person:\(caller.name)") {
    case .unknown: throw Problem.notFound
    case .refused(_, let why): throw Problem(.conflict, "the action cannot be revoked: \(why)")
    case .revoked: status = "accepted"
    case .repeated: status = "known"
    }
    let answer: JSONObject = ["actionId": id, "state": ActionState.revoked.rawValue, "status": status]
    return noStoreResponse(encodeJSON(answer), status: .accepted)
  }
}

extension Caller {
  /// For the record: the e-mail address that the token says, or the user's id.
  var name: String {
    let email = (try? JSONDocument(parsing: claims))?.root["email"]?.string
    return email.map { $0.shortened(to: 200) } ?? subject.text
  }
}
