import DeadLetters
import FoundationEssentials
import HTTPTypes
import Hummingbird
import Journey

/// The holds: what operators see of them, add and release.
struct HoldRoutes: Sendable {
  let operations: any OperationsService
  let settings: APISettings

  func add(to router: some RouterMethods<APIContext>) {
    router.resource("holds", [(.get, list), (.post, add)])
    router.resource("holds/:id/release", .post, use: release)
  }

  private func list(_ request: Request, _ context: APIContext) async throws -> Response {
    let all = try Query(request, ["state"]).keyword("state", States.self) == .all
    return etagResponse(try await operations.holds(all: all), to: request)
  }

  private enum States: String, CaseIterable { case open, all }

  private func add(_ request: Request, _ context: APIContext) async throws -> Response {
    let actor = OperationsRoutes.actor(try context.requireCaller())
    _ = try Query(request)
    let value = try await body(of: request, settings)
    try value.requireKnownMembers(["channel", "action", "orgId", "until", "reason"])
    var hold = Hold(id: 0)
    hold.channel = try value.text("channel").map(Channel.init)
    hold.action = try value.text("action").map { text throws(Problem) in
      guard let action = ActionKind(rawValue: text) else {
        throw .invalid("$.action", "known are \(ActionKind.allCases.map(\.rawValue).joined(separator: ", "))")
      }
      return action
    }
    hold.orgID = try value.text("orgId").map { text throws(Problem) in
      guard let id = uuidText(text) else { throw .invalid("$.orgId", "an organisation is named by its UUID") }
      return id
    }
    guard hold.namesSomething else {
      throw Problem.invalid("$", "say what is held: channel, action, orgId, or several of them")
    }
    let until = try value.time("until")
    guard let why = try value.text("reason") else {
      throw Problem.invalid("$.reason", "the reason is required, for the record")
    }
    let added = try await operations.addHold(hold, until: until, why: why, by: actor)
    return noStoreResponse(added, status: .created)
  }

  private func release(_ request: Request, _ context: APIContext) async throws -> Response {
    let actor = OperationsRoutes.actor(try context.requireCaller())
    guard let id = context.parameters.get("id").flatMap({ Int64($0) }), id > 0 else { throw Problem.notFound }
    _ = try Query(request)
    let value = try await body(of: request, settings)
    try value.requireKnownMembers(["rate", "reason"])
    let rate = try value["rate"].map { part throws(Problem) in
      guard let rate = part.double, Hold.rates.contains(rate) else {
        throw .invalid("$.rate", "0.1 to 1,000 clients a second")
      }
      return rate
    }
    guard
      let released = try await operations.releaseHold(
        id, rate: rate, why: try value.text("reason"), by: actor)
    else { throw Problem.notFound }
    return noStoreResponse(released)
  }
}
