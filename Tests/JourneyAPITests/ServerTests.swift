import DeadLetters
import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Journey
@testable import JourneyAPI
import Logging
import NIOCore
import Synchronization
import Testing

/// Journeys in memory: one organisation, one client, one user.
private struct FakeReader: JourneyReader {
  static let org = UUID(uuidString: "0a000000-0000-4000-8000-00000000000a")!
  static let client = UUID(uuidString: "0c000000-0000-4000-8000-0000000000a1")!
  var failure: StoreError?

  func read(_ query: JourneyQuery, for caller: Caller) async throws(StoreError) -> [UInt8]? {
    if let failure { throw failure }
    if case .client(let id) = query, id != Self.client { return nil }
    return Array(#"{"items":[]}"#.utf8)
  }
  func organizations(of caller: Caller) async throws(StoreError) -> Set<UUID> { [Self.org] }
  func organization(ofClient client: UUID, for caller: Caller) async throws(StoreError) -> UUID? {
    client == Self.client ? Self.org : nil
  }
  func action(_ id: UUID, for caller: Caller) async throws(StoreError) -> StandingAction? {
    guard id == Self.client else { return nil }
    return StandingAction(
      id: id, orgID: Self.org, clientID: Self.client, channel: .human, state: .published, isExpired: false,
      life: ActionLife())
  }
}

/// Takes events and outcomes, or refuses them all.
private final class FakeIntake: EventIntake, OutcomeIntake {
  let taken = Mutex<[ReportedEvent]>([])
  let outcomes = Mutex<[OutcomeReport]>([])
  let failure: IntakeError?
  init(failure: IntakeError? = nil) { self.failure = failure }
  func check(_ event: ReportedEvent) throws(Rejection) {
    if event.type == "refused" { throw Rejection(.unknownType, field: "$.eventType", "there is no rule for it") }
  }
  func publish(_ event: ReportedEvent) async throws(IntakeError) {
    do throws(Rejection) { try check(event) } catch { throw .refused(error) }
    if let failure { throw failure }
    taken.withLock { $0.append(event) }
  }
  func publish(_ report: OutcomeReport) async throws(IntakeError) {
    if let failure { throw failure }
    outcomes.withLock { $0.append(report) }
  }
}

private struct NoRevoker: ActionRevoker {
  func revoke(_ action: UUID, because reason: String, by actor: String) async throws(StoreError) -> RevocationResult {
    .unknown
  }
}

private actor FakeKeys: RequestKeys {
  private var known: [[UUID]: UUID] = [:]
  func claim(_ key: UUID, of user: UUID, fingerprint: UUID) async throws(StoreError) -> Bool {
    if known[[user, key]] == nil { known[[user, key]] = fingerprint }
    return known[[user, key]] == fingerprint
  }
}

private struct NoOperationsService: OperationsService {
  func overview(of deadLetters: DeadLetterState) async throws(OperationsError) -> [UInt8] { Array("{}".utf8) }
  func deadLetters(_ filter: DeadLetterFilter, before: UUID?, limit: Int) async throws(OperationsError) -> [UInt8] {
    throw .unavailable("away")
  }
  func deadLetter(_ id: UUID) async throws(OperationsError) -> [UInt8]? { nil }
  func startReplay(_ request: ReplayRequest, by actor: String) async throws(OperationsError) -> [UInt8] {
    throw .busy("another is under way")
  }
  func replay(_ id: Int) async throws(OperationsError) -> [UInt8]? { nil }
  func discard(_ filter: DeadLetterFilter, why: String, by actor: String) async throws(OperationsError) -> Int { 0 }
  func holds(all: Bool) async throws(OperationsError) -> [UInt8] { Array("[]".utf8) }
  func addHold(_ hold: Hold, until: Timestamp?, why: String, by actor: String) async throws(OperationsError) -> [UInt8]
  {
    throw .refused(member: "channel", "there is no such channel")
  }
  func releaseHold(_ id: Int64, rate: Double?, why: String?, by actor: String) async throws(OperationsError) -> [UInt8]?
  { nil }
}

private struct SilentFeed: ChangeFeed {
  func notify(_ changes: [JourneyChange]) async throws {}
  func listen(_ receive: @escaping @Sendable (JourneyChange) -> Void) async throws {
    try await Task.sleep(for: .seconds(3600))
  }
}

/// What the server does around its routes: limits, refusals, headers, and answers where something behind it is away.
@Suite struct ServerTests {
  private static let secret = "a secret of the tests, long enough for HS256"

  private func with(
    reader: FakeReader = FakeReader(), intake: FakeIntake = FakeIntake(), consuming: Bool = true,
    problems: [Health.Problem] = [], _ change: (inout APISettings) -> Void = { _ in },
    _ body: @escaping @Sendable (any TestClientProtocol, HTTPFields, HTTPFields) async throws -> Void
  ) async throws {
    var settings = APISettings()
    settings.keys = .secrets { [Self.secret] }
    change(&settings)
    let probes = Probes(Liveness())
    probes.started {
      Readiness(isConsuming: consuming, isPublishing: true, hasDatabase: reader.failure == nil, problems: problems)
    }
    let server = try await JourneyServer(
      settings: settings,
      parts: JourneyServer.Dependencies(
        reader: reader, intake: intake, outcomes: intake, revoker: NoRevoker(), keys: FakeKeys(),
        operations: NoOperationsService(), feed: SilentFeed(), probes: probes, clock: SystemClock()),
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    let signer = TokenSigner(secret: Self.secret, settings: settings)
    let now = SystemClock().now()
    let user = try await signer.token(subject: UUID(), isOperator: false, from: now, for: .hours(1))
    let op = try await signer.token(subject: UUID(), isOperator: true, from: now, for: .hours(1))
    try await Application(router: server.router()).test(.router) { client in
      try await body(client, [.authorization: "Bearer \(user)"], [.authorization: "Bearer \(op)"])
    }
  }

  @Test func everyAnswerIsGuarded() async throws {
    try await with { (client: any TestClientProtocol, user: HTTPFields, _: HTTPFields) async throws in
      for (path, headers, status) in [
        ("/", HTTPFields(), HTTPResponse.Status.ok), ("/health", [:], .ok), ("/nowhere", [:], .notFound),
        ("/api/journey/me", [:], .unauthorized),
        ("/api/journey/me", user, .ok), ("/api/operations/overview", user, .forbidden),
      ] {
        let answer = try await client.execute(uri: path, method: .get, headers: headers)
        #expect(answer.status == status, "\(path)")
        #expect(
          answer.headers[HTTPField.Name("Content-Security-Policy")!]?.hasPrefix("default-src 'none'") == true, "\(path)"
        )
        #expect(
          answer.headers[.xContentTypeOptions] == "nosniff" && answer.headers[.accessControlAllowOrigin] == nil,
          "\(path)")
        if status.kind == .clientError {
          #expect(answer.headers[.contentType] == "application/problem+json", "\(path)")
        }
      }
      for method in [HTTPRequest.Method.put, .delete, .patch, .trace, HTTPRequest.Method("QUERY")!] {
        let answer = try await client.execute(uri: "/api/journey/high-risk", method: method, headers: user)
        #expect(answer.status == .methodNotAllowed && answer.headers[.allow]?.contains("GET") == true, "\(method)")
      }
      let preflight = try await client.execute(
        uri: "/api/journey/me", method: .options, headers: [.origin: "https://elsewhere.example"])
      #expect(preflight.headers[.accessControlAllowOrigin] == nil)
    }
  }

  @Test func anAnswerThatIsKnownIsNotSentAgain() async throws {
    try await with { (client: any TestClientProtocol, user: HTTPFields, _: HTTPFields) async throws in
      let first = try await client.execute(uri: "/api/journey/upsell", method: .get, headers: user)
      var headers = user
      headers[.ifNoneMatch] = "\"other\", W/\(try #require(first.headers[.eTag]))"
      let again = try await client.execute(uri: "/api/journey/upsell", method: .get, headers: headers)
      #expect(
        again.status == .notModified && again.body.readableBytes == 0 && again.headers[.eTag] == first.headers[.eTag])
      headers[.ifNoneMatch] = "\"other\""
      #expect(try await client.execute(uri: "/api/journey/upsell", method: .get, headers: headers).status == .ok)
    }
  }

  /// The moment of an answer is another each time.
  @Test func theMomentOfAnAnswerCountsByTheMinute() {
    func tag(_ body: String) -> String { entityTag(Array(body.utf8)) }
    let first = tag(#"{"asOf" : "2026-11-29T10:00:01.5+00:00", "score" : 5}"#)
    #expect(first.hasPrefix("W/\""))
    #expect(tag(#"{"asOf" : "2026-11-29T10:00:59+00:00", "score" : 5}"#) == first)
    #expect(tag(#"{"asOf" : "2026-11-29T10:01:00+00:00", "score" : 5}"#) != first)
    #expect(tag(#"{"asOf" : "2026-11-29T10:00:01.5+00:00", "score" : 6}"#) != first)
    #expect(!tag(#"{"score" : 5}"#).hasPrefix("W/"))
    for cut in [#"{"asOf" : ""#, #"{"asOf" : "2026"}"#, #"{"asOf" : null}"#] { #expect(tag(cut) != first) }
  }

  @Test func oneUserDoesNotTakeAll() async throws {
    try await with({ $0.requestsPerSecond = 2 }) {
      (client: any TestClientProtocol, user: HTTPFields, other: HTTPFields) async throws in
      var refused: TestResponse?
      for _ in 0..<40 {
        let answer = try await client.execute(uri: "/api/journey/me", method: .get, headers: user)
        if answer.status == .tooManyRequests { refused = answer }
      }
      #expect(refused?.headers[.retryAfter].flatMap { Int($0) }.map { $0 >= 1 } == true)
      #expect(try await client.execute(uri: "/api/journey/me", method: .get, headers: other).status == .ok)
    }
  }

  @Test func anUnavailableDatabaseIsReportedWithoutDetails() async throws {
    try await with(reader: FakeReader(failure: StoreError(.transient, "password=secret host=db-1")), consuming: false) {
      (client: any TestClientProtocol, user: HTTPFields, op: HTTPFields) async throws in
      let answer = try await client.execute(uri: "/api/journey/high-risk", method: .get, headers: user)
      #expect(answer.status == .serviceUnavailable && answer.headers[.retryAfter] != nil)
      #expect(!String(buffer: answer.body).contains("db-1"))
      let ready = try await client.execute(uri: "/ready", method: .get)
      #expect(ready.status == .serviceUnavailable && String(buffer: ready.body).contains(#""consuming":false"#))
      #expect(try await client.execute(uri: "/health", method: .get).status == .ok)
      #expect(
        try await client.execute(uri: "/api/operations/dead-letters", method: .get, headers: op).status
          == .serviceUnavailable)
    }
  }

  @Test func aPartThatFailsMakesItNotReadyAndIsNamed() async throws {
    let problems = [Health.Problem(part: .commits, reason: "the database's disk is full (SQLSTATE 53100)")]
    try await with(problems: problems) { (client: any TestClientProtocol, _: HTTPFields, _: HTTPFields) async throws in
      let ready = try await client.execute(uri: "/ready", method: .get)
      #expect(ready.status == .serviceUnavailable)
      #expect(
        String(buffer: ready.body) == #"{"status":"not ready","consuming":true,"paused":false,"publishing":true,"#
          + #""database":true,"#
          + #""problems":[{"part":"commits","reason":"the database's disk is full (SQLSTATE 53100)"}]}"#)
    }
  }

  @Test func anOutcomeIsTakenUnlessNobodyConfirmsIt() async throws {
    let path = "/api/journey/actions/\(FakeReader.client.text)/outcome"
    for (intake, status) in [
      (FakeIntake(), HTTPResponse.Status.accepted), (FakeIntake(failure: .unavailable("secret")), .serviceUnavailable),
      (FakeIntake(failure: .refused(Rejection(.invalidField, field: "data.detail", "no"))), .unprocessableContent),
    ] {
      try await with(intake: intake) { (client: any TestClientProtocol, user: HTTPFields, _: HTTPFields) async throws in
        var headers = user
        headers[.contentType] = "application/json"
        let answer = try await client.execute(
          uri: path, method: .post, headers: headers, body: ByteBuffer(string: #"{"outcome":"accepted"}"#))
        #expect(answer.status == status && !String(buffer: answer.body).contains("secret"))
        let report = intake.outcomes.withLock { $0.first }
        #expect(report.map { $0.reporter.hasPrefix("person:") && $0.orgID == FakeReader.org } ?? (status != .accepted))
      }
    }
  }

  @Test func eventsAreTakenOnceEach() async throws {
    let intake = FakeIntake()
    try await with(intake: intake) { (client: any TestClientProtocol, user: HTTPFields, _: HTTPFields) async throws in
      let body = ByteBuffer(
        string:
          #"{"clientId":"\#(FakeReader.client.uuidString)","stage":"billing","eventType":"invoice_sent","metadata":{"a":1}}"#
      )
      var headers = user
      headers[.contentType] = "application/json; charset=utf-8"
      headers[HTTPField.Name("Idempotency-Key")!] = "k"
      for _ in 0..<2 {
        #expect(
          try await client.execute(uri: "/api/journey/event", method: .post, headers: headers, body: body).status
            == .accepted)
      }
      headers[HTTPField.Name("Idempotency-Key")!] = "l"
      #expect(
        try await client.execute(uri: "/api/journey/event", method: .post, headers: headers, body: body).status
          == .accepted)
    }
    let events = intake.taken.withLock { $0 }
    #expect(
      events.count == 3 && events[0].id == events[1].id && events[1].id != events[2].id
        && events[0].orgID == FakeReader.org)
    try await with(intake: FakeIntake(failure: .unavailable("amqp://user:secret@host"))) {
      (client: any TestClientProtocol, user: HTTPFields, _: HTTPFields) async throws in
      var headers = user
      headers[.contentType] = "application/json"
      let body = ByteBuffer(
        string: #"{"clientId":"\#(FakeReader.client.uuidString)","stage":"billing","eventType":"invoice_sent"}"#)
      let answer = try await client.execute(uri: "/api/journey/event", method: .post, headers: headers, body: body)
      #expect(answer.status == .serviceUnavailable && !String(buffer: answer.body).contains("secret"))
    }
  }

  @Test func whatIsRefusedDoesNotUseUpAnIdempotencyKey() async throws {
    try await with { (client: any TestClientProtocol, user: HTTPFields, _: HTTPFields) async throws in
      var headers = user
      headers[.contentType] = "application/json"
      headers[HTTPField.Name("Idempotency-Key")!] = "k"
      func post(_ type: String) async throws -> HTTPResponse.Status {
        let body = ByteBuffer(
          string: #"{"clientId":"\#(FakeReader.client.uuidString)","stage":"billing","eventType":"\#(type)"}"#)
        return try await client.execute(uri: "/api/journey/event", method: .post, headers: headers, body: body).status
      }
      #expect(try await post("refused") == .unprocessableContent)
      #expect(try await post("invoice_sent") == .accepted)
      #expect(try await post("invoice_paid") == .unprocessableContent, "the key is another event's now")
    }
  }

  @Test func aSecondReplayHasToWait() async throws {
    try await with { (client: any TestClientProtocol, _: HTTPFields, op: HTTPFields) async throws in
      var headers = op
      headers[.contentType] = "application/json"
      let answer = try await client.execute(
        uri: "/api/operations/dead-letters/replay", method: .post, headers: headers,
        body: ByteBuffer(string: #"{"all":true}"#))
      #expect(answer.status == .conflict)
    }
  }

  @Test func aBodyThatDoesNotCome() async throws {
    var settings = APISettings()
    settings.requestTimeout = .milliseconds(50)
    let (stream, source) = RequestBody.makeStream()
    await source.yield(ByteBuffer(string: "{"))
    let request = Request(
      head: HTTPRequest(
        method: .post, scheme: nil, authority: nil, path: "/", headerFields: [.contentType: "application/json"]),
      body: stream)
    await #expect { try await body(of: request, settings) } throws: { ($0 as? Problem)?.status == .requestTimeout }
  }

  @Test func thePageNeedsNoOtherHost() throws {
    let files = [
      PackageResources.index_html, PackageResources.app_css, PackageResources.app_js, PackageResources.dom_js,
      PackageResources.words_js, PackageResources.server_js, PackageResources.view_js, PackageResources.search_js,
      PackageResources.charts_js, PackageResources.clients_js, PackageResources.map_js, PackageResources.client_js,
      PackageResources.boards_js, PackageResources.ask_js, PackageResources.dead_letter_js,
      PackageResources.operations_js, PackageResources.icon_svg,
    ]
    #expect(files.map(\.count).reduce(0, +) < 100_000)
    for file in files {
      let text = String(decoding: file, as: UTF8.self).replacing("http://www.w3.org/2000/svg", with: "")
      #expect(
        !text.contains("http://") && !text.contains("https://") && !text.contains("innerHTML")
          && !text.contains("eval("))
      // The policy allows neither.
      #expect(!text.contains(" style=\"") && !text.contains("<script>"))
    }
  }
}
