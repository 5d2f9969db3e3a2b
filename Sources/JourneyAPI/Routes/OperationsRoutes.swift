import DeadLetters
import FoundationEssentials
import HTTPTypes
import Hummingbird
import Journey
import Logging

/// What operators see and do, over all organisations.
struct OperationsRoutes: Sendable {
  let operations: any OperationsService
  let settings: APISettings

  func add(to router: some RouterMethods<APIContext>) {
    router.resource(
      "overview",
      [
        .get: { request, context in
          let state = try Query(request, "state").keyword("state") ?? DeadLetterState.new
          return etagResponse(
            try await mapOperationsError(context) { () throws(OperationsError) in
              try await operations.overview(of: state)
            },
            to: request)
        }
      ])
    router.resource("dead-letters", [.get: { request, context in try await list(request, context) }])
    router.resource("dead-letters/replay", [.post: { request, context in try await replay(request, context) }])
    router.resource("dead-letters/discard", [.post: { request, context in try await discard(request, context) }])
    router.resource(
      "dead-letters/:id",
      [
        .get: { request, context in
          let id = try context.id("id")
          _ = try Query(request)
          let deadLetter = try await mapOperationsError(context) { () throws(OperationsError) in
            try await operations.deadLetter(id)
          }
          guard let deadLetter else { throw Problem.notFound }
          return etagResponse(deadLetter, to: request)
        }
      ])
    router.resource(
      "replays/:id",
      [
        .get: { request, context in
          guard let id = context.parameters.get("id").flatMap({ Int32($0) }), id > 0 else { throw Problem.notFound }
          _ = try Query(request)
          let replay = try await mapOperationsError(context) { () throws(OperationsError) in
            try await operations.replay(Int(id))
          }
          guard let replay else { throw Problem.notFound }
          return etagResponse(replay, to: request)
        }
      ])
  }

  private func list(_ request: Request, _ context: APIContext) async throws -> Response {
    let query = try Query(
      request, "state", "code", "source", "type", "organization", "since", "until", "q", "cursor", "limit")
    var filter = DeadLetterFilter()
    filter.states = [try query.keyword("state") ?? DeadLetterState.new]
    filter.code = try query.text("code")
    filter.source = try query.text("source")
    filter.type = try query.text("type")
    filter.orgID = try query.uuid("organization")
    filter.since = try query.time("since")
    filter.until = try query.time("until")
    filter.text = try query.text("q")
    let page = try query.page(keys: 1)
    let before = try page.after.map { keys throws(Problem) in
      guard let id = uuidText(keys[0]) else { throw .invalidCursor(keys[0]) }
      return id
    }
    let found = try await mapOperationsError(context) { [filter] () throws(OperationsError) in
      try await operations.deadLetters(filter, before: before, limit: page.limit)
    }
    return etagResponse(found, to: request)
  }

  private func replay(_ request: Request, _ context: APIContext) async throws -> Response {
    let actor = Self.actor(try context.requireCaller())
    _ = try Query(request)
    let order = try DeadLetterOrder(try await body(of: request, settings), more: ["edit", "rate", "force"])
    let started = try await mapOperationsError(context) { () throws(OperationsError) in
      try await operations.startReplay(try order.replay(), by: actor)
    }
    return noStoreResponse(started, status: .accepted)
  }

  private func discard(_ request: Request, _ context: APIContext) async throws -> Response {
    let actor = Self.actor(try context.requireCaller())
    _ = try Query(request)
    let order = try DeadLetterOrder(try await body(of: request, settings), more: [])
    guard let why = order.reason else {
      throw Problem.invalid("$.reason", "why they are discarded is expected here, for the record")
    }
    let count = try await mapOperationsError(context) { () throws(OperationsError) in
      try await operations.discard(order.filter, why: why, by: actor)
    }
    return noStoreResponse(
      json {
        $0.beginObject()
        $0.key("discarded")
        $0.int(count)
        $0.endObject()
      })
  }

  /// For the record: who the token says it is.
  private static func actor(_ caller: Caller) -> String {
    let email = (try? JSONDocument(parsing: caller.claims))?.root["email"]?.string
    return "api:\(email.map { $0.shortened(to: 200) } ?? caller.subject.text)"
  }
}

/// Runs an operation, and turns what the desk says into an answer.
private func mapOperationsError<Value>(_ context: APIContext, _ body: () async throws(OperationsError) -> Value)
  async throws(Problem) -> Value
{
  do throws(OperationsError) {
    return try await body()
  } catch {
    switch error {
    case .invalid(let field, let reason): throw .invalid(field, reason)
    case .busy(let reason): throw Problem(.conflict, reason)
    case .unavailable(let reason):
      context.logger.warning("an operation failed: \(reason)")
      throw .unavailable
    }
  }
}

/// Which letters a request's body means: by id, by a filter, or all that are open.
private struct DeadLetterOrder {
  var filter = DeadLetterFilter()
  var reason: String?
  private let value: JSONValue

  init(_ value: JSONValue, more: [String]) throws(Problem) {
    self.value = value
    let known = ["ids", "code", "source", "type", "all", "reason"] + more
    for (name, _) in value.members where !known.contains(name) {
      throw .invalid("$.\(name)", "there is no such member; known are \(known.joined(separator: ", "))")
    }
    filter.states = [.new]
    if let ids = value["ids"] {
      guard ids.kind == .array, (1...1000).contains(ids.count) else {
        throw .invalid("$.ids", "a list of 1 to 1,000 ids is expected")
      }
      for id in ids.elements {
        guard let id = id.string.flatMap(uuidText) else { throw .invalid("$.ids", "a letter is named by its UUID") }
        filter.ids.append(id)
      }
    }
    filter.code = try text("code")
    filter.source = try text("source")
    filter.type = try text("type")
    reason = try text("reason")
    let all = try bool("all")
    guard all || !filter.ids.isEmpty || filter.code != nil || filter.source != nil || filter.type != nil else {
      throw .invalid("$", "say which letters: ids, code, source, type, or all: true")
    }
  }

  func replay() throws(OperationsError) -> ReplayRequest {
    do throws(Problem) {
      var rate: Double?
      if let given = value["rate"] {
        guard let number = given.double, number >= 0.1, number <= 100_000 else {
          throw .invalid("$.rate", "0.1 to 100,000 letters a second")
        }
        rate = number
      }
      if let edit = value["edit"], edit.kind != .array {
        throw .invalid("$.edit", "a JSON patch (RFC 6902) is expected: a list of operations")
      }
      return ReplayRequest(
        filter: filter, filterText: filterText, edit: value["edit"].map { Array($0.rawBytes) }, rate: rate, why: reason,
        isForced: try bool("force"))
    } catch {
      throw .invalid(field: error.errors.first?.field ?? "$", error.errors.first?.message ?? error.detail)
    }
  }

  private var filterText: [UInt8] {
    json { json in
      json.beginObject()
      for name in ["ids", "code", "source", "type", "all"] {
        guard let part = value[name] else { continue }
        json.key(name)
        json.raw(part.rawBytes)
      }
      json.endObject()
    }
  }

  private func text(_ name: String) throws(Problem) -> String? {
    guard let part = value[name] else { return nil }
    guard let text = part.string, (1...200).contains(text.unicodeScalars.count), !text.utf8.contains(0) else {
      throw .invalid("$.\(name)", "1 to 200 characters are expected")
    }
    return text
  }

  private func bool(_ name: String) throws(Problem) -> Bool {
    guard let part = value[name] else { return false }
    guard let flag = part.bool else { throw .invalid("$.\(name)", "true or false is expected") }
    return flag
  }
}
