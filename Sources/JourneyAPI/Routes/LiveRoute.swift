import FoundationEssentials
import HTTPTypes
import Hummingbird
import Journey

/// `GET /api/journey/live`: server-sent events that say where it is worth looking again.
struct LiveRoute: Sendable {
  let reader: any JourneyReader
  let broadcaster: ChangeBroadcaster

  func add(to router: some RouterMethods<APIContext>) {
    router.resource("live", use: watch)
  }

  private func watch(_ request: Request, _ context: APIContext) async throws -> Response {
    _ = try Query(request)
    let caller = try context.requireCaller()
    var headers: HTTPFields = [
      .contentType: "text/event-stream", .cacheControl: "no-store", HTTPField.Name("X-Accel-Buffering")!: "no",
    ]
    if request.method == .head { return Response(status: .ok, headers: headers) }
    // The connection ends with the stream: whoever is shown nothing more holds no place either.
    headers[.connection] = "close"
    let organizations = try await reader.organizations(of: caller)
    let channel = context.channel
    let watching = try broadcaster.watch(organizations, for: caller, at: context.peer) { channel.close(promise: nil) }
    return Response(
      status: .ok, headers: headers,
      body: ResponseBody { writer in
        defer { watching.unsubscribe() }
        try await writer.write(ByteBuffer(string: "retry: 3000\nevent: ready\ndata: {}\n\n"))
        for await signal in watching.signals {
          switch signal {
          case .heartbeat: try await writer.write(ByteBuffer(string: ": \n\n"))
          case .change(let change): try await writer.write(ByteBuffer(bytes: Self.event(change)))
          }
        }
        try await writer.finish(nil)
      })
  }

  private static func event(_ change: JourneyChange) -> [UInt8] {
    let data = encodeJSON(["orgId": change.orgID, "clientIds": change.clients] as JSONObject)
    return Array("event: change\ndata: ".utf8) + data + Array("\n\n".utf8)
  }
}
