import FoundationEssentials
import HTTPTypes
import Hummingbird
import Journey

/// What members of an organisation read.
struct JourneyRoutes: Sendable {
  let reader: any JourneyReader
  /// A list that is kept costs a row of the whole of it.
  private let lists = RateLimiter(rate: 2)

  init(reader: any JourneyReader) { self.reader = reader }

  func add(to router: some RouterMethods<APIContext>) {
    router.resource("me", [.get: get { _, _ in (.caller, Query.none) }])
    router.resource("client/:id", [.get: get { _, context in (.client(try context.id("id")), Query.none) }])
    router.resource(
      "client/:id/events",
      [
        .get: get { request, context in
          let id = try context.id("id")
          return (.events(client: id, try Query(request, "cursor", "limit").page(keys: 2)), nil)
        }
      ])
    router.resource(
      "next-action/:clientId",
      [.get: get { _, context in (.nextAction(client: try context.id("clientId")), Query.none) }])
    router.resource(
      "high-risk",
      [
        .get: get { request, _ in
          let query = try Query(request, "organization", "cursor", "limit")
          return (.highRisk(org: try query.uuid("organization"), try query.board()), nil)
        }
      ])
    router.resource(
      "upsell",
      [
        .get: get { request, _ in
          let query = try Query(request, "organization", "cursor", "limit")
          return (.upsell(org: try query.uuid("organization"), try query.board()), nil)
        }
      ])
    router.resource(
      "clients",
      [
        .get: get { request, _ in
          let query = try Query(request, "organization", "q", "stage", "riskLevel", "cursor", "limit")
          let filter = ClientFilter(
            orgID: try query.uuid("organization"), text: try query.text("q", 1...100),
            stage: try query.keyword("stage"),
            riskLevel: try query.keyword("riskLevel"))
          return (.clients(filter, try query.page(keys: 2)), nil)
        }
      ])
    router.resource(
      "actions",
      [
        .get: get { request, _ in
          let query = try Query(request, "organization", "clientId", "state", "cursor", "limit")
          let filter = ActionFilter(
            orgID: try query.uuid("organization"), clientID: try query.uuid("clientId"),
            state: try query.keyword("state"))
          return (.actions(filter, try query.page(keys: 2)), nil)
        }
      ])
    router.resource("actions/:id", [.get: get { _, context in (.action(try context.id("id")), Query.none) }])
    router.resource(
      "stages",
      [
        .get: get { request, _ in
          let query = try Query(request, "organization", "days")
          let days = try query.int("days", 30...90, defaultValue: 30)
          guard days == 30 || days == 90 else { throw Problem.invalid("days", "30 or 90 is expected, not \(days)") }
          return (.map(org: try query.uuid("organization"), days: days), nil)
        }
      ])
    router.resource(
      "stats",
      [
        .get: get { request, _ in
          let query = try Query(request, "organization", "days")
          return (
            .statistics(org: try query.uuid("organization"), days: try query.int("days", 1...90, defaultValue: 30)), nil
          )
        }
      ])
  }

  /// A read of one document. The second part of what `query` answers is what a path without parameters makes of the
  /// query: it has to be empty.
  private func get(
    _ query: @escaping @Sendable (Request, APIContext) throws -> (JourneyQuery, (@Sendable (Request) throws -> Void)?)
  ) -> @Sendable (Request, APIContext) async throws -> Response {
    { [reader, lists] request, context in
      let (query, check) = try query(request, context)
      try check?(request)
      let caller = try context.requireCaller()
      if query.keepsAList, let wait = lists.admit(caller.subject) {
        throw Problem(
          .tooManyRequests, "too many lists are begun; wait a moment",
          headers: [.retryAfter: "\(max(1, Int((wait / .seconds(1)).rounded(.up))))"])
      }
      let found = try await mapStoreError(context, cursor: request.uri.queryParameters["cursor"]) {
        () throws(StoreError) in
        try await reader.read(query, for: caller)
      }
      guard let found else { throw Problem.notFound }
      return etagResponse(found, to: request)
    }
  }
}

extension Query {
  /// For a path that takes no parameters.
  fileprivate static let none: @Sendable (Request) throws -> Void = { _ = try Query($0) }
}

extension JourneyQuery {
  /// Whether the rest of a list is kept for it.
  fileprivate var keepsAList: Bool {
    switch self {
    case .highRisk(_, let page), .upsell(_, let page): if case .after = page.position { true } else { false }
    default: false
    }
  }
}
