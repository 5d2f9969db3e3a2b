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
    /// A read of one document. Other parameters than those named are mistakes.
    func get(
      _ path: RouterPath, _ parameters: String...,
      query: @escaping @Sendable (Query, APIContext) throws -> JourneyQuery
    ) {
      router.resource(path) { request, context in
        try await read(try query(try Query(request, parameters), context), request, context)
      }
    }
    get("me") { _, _ in .caller }
    get("client/:id") { _, context in .client(try context.id("id")) }
    get("client/:id/events", "cursor", "limit") { query, context in
      .events(client: try context.id("id"), try query.page(keys: 2))
    }
    get("next-action/:clientId") { _, context in .nextAction(client: try context.id("clientId")) }
    get("high-risk", "organization", "cursor", "limit") { query, _ in
      .highRisk(org: try query.uuid("organization"), try query.board())
    }
    get("upsell", "organization", "cursor", "limit") { query, _ in
      .upsell(org: try query.uuid("organization"), try query.board())
    }
    get("clients", "organization", "q", "stage", "riskLevel", "cursor", "limit") { query, _ in
      let filter = ClientFilter(
        orgID: try query.uuid("organization"), text: try query.text("q", 1...100), stage: try query.keyword("stage"),
        riskLevel: try query.keyword("riskLevel"))
      return .clients(filter, try query.page(keys: 2))
    }
    get("actions", "organization", "clientId", "state", "channel", "open", "cursor", "limit") { query, _ in
      let filter = ActionFilter(
        orgID: try query.uuid("organization"), clientID: try query.uuid("clientId"), state: try query.keyword("state"),
        channel: try query.text("channel", 1...100).map(Channel.init(rawValue:)), isOpen: try query.flag("open"))
      return .actions(filter, try query.page(keys: 2))
    }
    get("actions/:id") { _, context in .action(try context.id("id")) }
    get("stages", "organization", "days") { query, _ in
      let days = try query.int("days", 30...90, defaultValue: 30)
      guard days == 30 || days == 90 else { throw Problem.invalid("days", "30 or 90 is expected, not \(days)") }
      return .map(org: try query.uuid("organization"), days: days)
    }
    get("stats", "organization", "days") { query, _ in
      .statistics(org: try query.uuid("organization"), days: try query.int("days", 1...90, defaultValue: 30))
    }
  }

  private func read(_ query: JourneyQuery, _ request: Request, _ context: APIContext) async throws -> Response {
    let caller = try context.requireCaller()
    if query.keepsAList, let wait = lists.admit(caller.subject) {
      throw Problem(
        .tooManyRequests, "too many lists are begun; wait a moment",
        headers: [.retryAfter: "\(max(1, Int((wait / .seconds(1)).rounded(.up))))"])
    }
    do {
      guard let found = try await reader.read(query, for: caller) else { throw Problem.notFound }
      return etagResponse(found, to: request)
    } catch let error as StoreError where error.kind == .poison {
      // The only part of a read's parameters that is not checked before is what stands in a cursor.
      guard let cursor = request.uri.queryParameters["cursor"] else { throw error }
      throw Problem.invalidCursor(cursor)
    }
  }
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
