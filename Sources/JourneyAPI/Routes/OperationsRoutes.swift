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
    router.resource("overview") { request, context in
      let state = try Query(request, ["state"]).keyword("state") ?? DeadLetterState.new
      return etagResponse(try await operations.overview(of: state), to: request)
    }
    router.resource("dead-letters", use: list)
    router.resource("dead-letters/replay", .post, use: replay)
    router.resource("dead-letters/discard", .post, use: discard)
    router.resource("dead-letters/:id") { request, context in
      let id = try context.id("id")
      _ = try Query(request)
      return try document(try await operations.deadLetter(id), to: request)
    }
    router.resource("replays/:id") { request, context in
      guard let id = context.parameters.get("id").flatMap({ Int32($0) }), id > 0 else { throw Problem.notFound }
      _ = try Query(request)
      return try document(try await operations.replay(Int(id)), to: request)
    }
  }

  /// The answer to a read of one document; 404 where there is none.
  private func document(_ found: [UInt8]?, to request: Request) throws(Problem) -> Response {
    guard let found else { throw .notFound }
    return etagResponse(found, to: request)
  }

  private func list(_ request: Request, _ context: APIContext) async throws -> Response {
    let query = try Query(
      request, ["state", "code", "source", "type", "organization", "since", "until", "q", "cursor", "limit"])
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
    let found = try await operations.deadLetters(filter, before: before, limit: page.limit)
    return etagResponse(found, to: request)
  }

  private func replay(_ request: Request, _ context: APIContext) async throws -> Response {
    let actor = Self.actor(try context.requireCaller())
    _ = try Query(request)
    let selection = try DeadLetterSelection(try await body(of: request, settings), more: ["edit", "rate", "force"])
    let replay = try selection.replayRequest()
    let started = try await operations.startReplay(replay, by: actor)
    return noStoreResponse(started, status: .accepted)
  }

  private func discard(_ request: Request, _ context: APIContext) async throws -> Response {
    let actor = Self.actor(try context.requireCaller())
    _ = try Query(request)
    let selection = try DeadLetterSelection(try await body(of: request, settings), more: [])
    guard let why = selection.reason else {
      throw Problem.invalid("$.reason", "the reason for discarding them is required, for the record")
    }
    let count = try await operations.discard(selection.filter, why: why, by: actor)
    return noStoreResponse(encodeJSON(["discarded": count] as JSONObject))
  }

  /// For the record: who the token says it is.
  static func actor(_ caller: Caller) -> String { "api:\(caller.name)" }
}

/// The open dead letters that a request's body selects: by id, by a filter, or all.
private struct DeadLetterSelection {
  var filter = DeadLetterFilter()
  var reason: String?
  private let value: JSONValue

  init(_ value: JSONValue, more: [String]) throws(Problem) {
    self.value = value
    try value.requireKnownMembers(["ids", "code", "source", "type", "all", "reason"] + more)
    filter.states = [.new]
    if let ids = value["ids"] {
      guard ids.kind == .array, (1...1000).contains(ids.count) else {
        throw .invalid("$.ids", "a list of 1 to 1,000 ids is expected")
      }
      for id in ids.elements {
        guard let id = id.string.flatMap(uuidText) else {
          throw .invalid("$.ids", "a dead letter is named by its UUID")
        }
        filter.ids.append(id)
      }
    }
    filter.code = try value.text("code")
    filter.source = try value.text("source")
    filter.type = try value.text("type")
    reason = try value.text("reason")
    let all = try bool("all")
    guard all || !filter.ids.isEmpty || filter.code != nil || filter.source != nil || filter.type != nil else {
      throw .invalid("$", "say which dead letters: ids, code, source, type, or all: true")
    }
  }

  func replayRequest() throws(Problem) -> ReplayRequest {
    var request = ReplayRequest(filter: filter, why: reason, isForced: try bool("force"))
    if let rate = value["rate"] {
      guard let number = rate.double, number >= 0.1, number <= 100_000 else {
        throw .invalid("$.rate", "0.1 to 100,000 dead letters per second")
      }
      request.rate = number
    }
    if let edit = value["edit"] {
      guard edit.kind == .array else {
        throw .invalid("$.edit", "a JSON patch (RFC 6902) is expected: a list of operations")
      }
      do throws(JSONPatchError) { request.edit = try JSONPatch(parsing: Array(edit.rawBytes)) } catch {
        throw .invalid("$.edit", "\(error)")
      }
    }
    return request
  }

  private func bool(_ name: String) throws(Problem) -> Bool {
    guard let part = value[name] else { return false }
    guard let flag = part.bool else { throw .invalid("$.\(name)", "true or false is expected") }
    return flag
  }
}
