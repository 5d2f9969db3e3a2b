import Foundation
import TestServers
import Testing

@testable import TestSupport

/// The API's wire protocol: answers match requests, malformed requests are rejected, and no client can take all
/// connections.
@Suite struct APIWireTests {
  private static let user = "0d000000-0000-4000-8000-0000000000aa"

  private func exchange(_ api: APIEnvironment, _ text: String, _ methods: [String]) throws -> (
    answers: [WireAnswer], rest: String, isEnded: Bool
  ) {
    let wire = try Wire(api.port)
    wire.send(text)
    let (found, isEnded) = wire.all()
    let (answers, rest) = WireAnswer.parse(found, methods)
    return (answers, rest, isEnded)
  }

  private func isProblem(_ answer: WireAnswer?, _ status: Int) -> Bool {
    guard let answer, answer.status == status, answer.headers["content-type"] == "application/problem+json" else {
      return false
    }
    let document = (try? JSONSerialization.jsonObject(with: Data(answer.body.utf8)) as? [String: Any]) ?? [:]
    return document["status"] as? Int == status && document["detail"] is String
      && answer.headers["content-security-policy"] != nil
  }

  @Test func answersStayInStepWithRequests() async throws {
    try await APIEnvironment.with { api in
      let token = APIEnvironment.token(Self.user)
      func request(_ method: String, _ path: String, _ headers: String = "", signedIn: Bool = true) -> String {
        "\(method) \(path) HTTP/1.1\r\nHost: x\r\n\(signedIn ? "Authorization: Bearer \(token)\r\n" : "")\(headers)\r\n"
      }
      let tag = try #require(try await api.get("/", nil).headers["etag"])
      // The answers to all of these have no body, whatever their status is.
      for (first, status) in [
        (request("HEAD", "/nowhere"), 404), (request("HEAD", "/api/journey/me", signedIn: false), 401),
        (request("HEAD", "/api/journey/me?x=1"), 400),
        (request("HEAD", "/api/operations/overview"), 403), (request("HEAD", "/api/journey/event"), 405),
        (request("HEAD", "/api/journey/live"), 200),
        (request("HEAD", "/api/journey/client/x"), 404), (request("HEAD", "/"), 200),
        (request("GET", "/", "If-None-Match: \(tag)\r\n"), 304),
        (request("HEAD", "/", "If-None-Match: \(tag)\r\n"), 304), (request("HEAD", "/ready"), 200),
      ] {
        let method = String(first.prefix { $0 != " " })
        let both = try exchange(api, first + request("GET", "/health", "Connection: close\r\n"), [method, "GET"])
        #expect(both.answers.map(\.status) == [status, 200], "\(first)")
        #expect(
          both.answers.last?.body == #"{"status":"ok"}"# && both.rest.isEmpty && both.isEnded, "\(first)\(both.rest)")
      }
    }
  }

  @Test func aMalformedRequestIsRejectedAndClosesTheConnection() async throws {
    try await APIEnvironment.with { api in
      let get = "GET /health HTTP/1.1\r\n", host = "Host: x\r\n"
      let post =
        "POST /api/journey/event HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(APIEnvironment.token(Self.user))\r\nContent-Type: application/json\r\n"
      for (what, text, status) in [
        ("no request line", "hello\r\n\r\n", 400),
        ("another protocol", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\r\n\r\n", 400),
        ("another version", "GET /health HTTP/3.7\r\nHost: x\r\n\r\n", 505),
        ("a space in the target", "GET /he alth HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("no host", get + "\r\n", 400), ("two hosts", get + host + "Host: y\r\n\r\n", 400),
        ("the same host twice", get + host + host + "\r\n", 400),
        ("a host with a user", get + "Host: a@b\r\n\r\n", 400),
        ("a space before the colon", get + "Host : x\r\n\r\n", 400),
        ("a folded header", get + host + "A: b\r\n c: d\r\n\r\n", 400),
        ("a header without a name", get + host + ": b\r\n\r\n", 400),
        ("another host in the target", "GET http://y/health HTTP/1.1\r\n" + host + "\r\n", 400),
        ("a user in the target", "GET http://x@y/health HTTP/1.1\r\n" + host + "\r\n", 400),
        ("no path", "GET health HTTP/1.1\r\n" + host + "\r\n", 400),
        (
          "a large head",
          get + host + String(repeating: "A: \(String(repeating: "b", count: 1000))\r\n", count: 60) + "\r\n", 431
        ),
        ("a large field", get + host + "A: \(String(repeating: "b", count: 20_000))\r\n\r\n", 431),
        ("many fields", get + host + String(repeating: "A: b\r\n", count: 300) + "\r\n", 431),
        ("two lengths", post + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400),
        ("two lengths that differ", post + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
        ("a list of lengths", post + "Content-Length: 2, 2\r\n\r\n{}", 400),
        ("a negative length", post + "Content-Length: -2\r\n\r\n{}", 400),
        ("a signed length", post + "Content-Length: +2\r\n\r\n{}", 400),
        ("a length and chunks", post + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("another coding", post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
        ("two codings", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("chunks that are none", post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
        ("a bad chunk", post + "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", 400),
        ("chunks in HTTP/1.0", "POST /api/journey/event HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
      ] {
        let found = try exchange(api, text, ["GET"])
        #expect(isProblem(found.answers.first, status), "\(what): \(found.answers)")
        #expect(found.rest.isEmpty && found.isEnded, "\(what): \(found.rest)")
      }
      // Earlier requests are answered, and later ones are not read.
      let mixed = try exchange(
        api, get + host + "\r\n" + get + host + host + "\r\n" + get + host + "\r\n", ["GET", "GET", "GET"])
      #expect(mixed.answers.map(\.status) == [200, 400] && mixed.rest.isEmpty && mixed.isEnded)
      // A request whose body is not read gets one answer, and the connection is closed.
      let broken = try exchange(
        api, "GET /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", ["GET", "GET"])
      #expect(broken.answers.count == 1 && broken.rest.isEmpty && broken.isEnded, "\(broken)")
    }
  }

  @Test func noUserAndNoAddressTakesAllThereIs() async throws {
    let settings = [
      "API_MAXIMUM_CONNECTIONS": "24", "API_CONNECTIONS_PER_ADDRESS": "12", "API_STREAMS_PER_USER": "3",
      "API_REQUESTS_PER_SECOND": "1000",
    ]
    try await APIEnvironment.with(settings) { api in
      func watch(_ user: String, from source: String? = nil) throws -> Wire {
        let wire = try Wire(api.port, from: source)
        wire.send(
          "GET /api/journey/live HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(APIEnvironment.token(user))\r\n\r\n")
        return wire
      }
      var open: [Wire] = []
      for _ in 0..<3 {
        let wire = try watch(Self.user)
        #expect(wire.reads("event: ready"))
        open.append(wire)
      }
      let fourth = try watch(Self.user, from: "127.0.0.2")
      #expect(fourth.reads("HTTP/1.1 429"), "a user has three streams")
      let another = try watch("0d000000-0000-4000-8000-0000000000ab", from: "127.0.0.2")
      #expect(another.reads("event: ready"), "another user has its own")
      // The remaining share of an address, and more.
      for _ in 0..<9 { open.append(try Wire(api.port)) }
      let tooMany = try Wire(api.port)
      let refused = WireAnswer.parse(tooMany.all().text, ["GET"]).answers.first
      #expect(isProblem(refused, 429) && refused?.headers["retry-after"] != nil, "\(String(describing: refused))")
      let elsewhere = try Wire(api.port, from: "127.0.0.3")
      elsewhere.send("GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
      #expect(elsewhere.reads("200 OK"), "another address is served")
      #expect(api.program.standardError.contains("api.trustedProxies"))
      // Released connections can be used again.
      open.removeLast(5)
      try await eventually("a place") {
        let again = try Wire(api.port)
        again.send("GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return again.reads("200 OK")
      }
    }
  }

  @Test func behindATrustedProxyTheClientsAreCounted() async throws {
    let settings = [
      "API_CONNECTIONS_PER_ADDRESS": "4", "API_TRUSTED_PROXIES": "127.0.0.1", "API_STREAMS_PER_USER": "100",
      "API_REQUESTS_PER_SECOND": "1000",
    ]
    try await APIEnvironment.with(settings) { api in
      func watch(_ forwarded: String) throws -> Wire {
        let wire = try Wire(api.port)
        wire.send(
          "GET /api/journey/live HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: \(forwarded)\r\nAuthorization: Bearer \(APIEnvironment.token(Self.user))\r\n\r\n"
        )
        return wire
      }
      var open: [Wire] = []
      for number in 0..<4 {
        // The client's own claims come before the address that the proxy saw.
        let wire = try watch("10.9.9.\(number), 198.51.100.7")
        #expect(wire.reads("event: ready"), "stream \(number)")
        open.append(wire)
      }
      #expect(try watch("10.9.9.9, 198.51.100.7").reads("HTTP/1.1 429"), "a client's own claims do not make it another")
      #expect(try watch("198.51.100.8").reads("event: ready"), "the proxy's other clients are served")
      // The header of a client that is not a proxy is ignored.
      for number in 0..<4 { open.append(try Wire(api.port, from: "127.0.0.\(9 + 0 * number)")) }
      let fifth = try Wire(api.port, from: "127.0.0.9")
      fifth.send("GET /health HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 198.51.100.9\r\n\r\n")
      #expect(fifth.reads("HTTP/1.1 429"))
    }
  }

  @Test func probesAreAnsweredThoughAllElseIsTaken() async throws {
    try await APIEnvironment.with(["API_MAXIMUM_CONNECTIONS": "4", "API_CONNECTIONS_PER_ADDRESS": "4"]) { api in
      let probes = try api.probes
      var open: [Wire] = []
      // All of the API's connections, and as many to the probes as are allowed.
      for number in 0..<8 { open.append(try Wire(api.port, from: "127.0.0.\(number + 2)")) }
      for _ in 0..<80 { open.append(try Wire(probes)) }
      for (method, path, status) in [
        ("GET", "/live", 200), ("GET", "/ready", 200), ("HEAD", "/ready", 200), ("GET", "/api/journey/me", 404),
      ] {
        let began = ContinuousClock.now
        let wire = try Wire(probes)
        wire.send("\(method) \(path) HTTP/1.1\r\nHost: x\r\n\r\n")
        let (text, isEnded) = wire.all()
        let (answers, rest) = WireAnswer.parse(text, [method])
        #expect(answers.first?.status == status && rest.isEmpty && isEnded, "\(path): \(text)")
        #expect(.now - began < .seconds(1), "\(path)")
      }
    }
  }

  @Test func readinessAnswersWithinASecondIfTheDatabaseHangs() async throws {
    let servers = try await TestServers.dedicated()
    try await APIEnvironment.with(servers: servers) { api in
      let probes = try api.probes
      func ready(_ port: UInt16) throws -> WireAnswer? {
        let wire = try Wire(port, silence: 10)
        wire.send("GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return WireAnswer.parse(wire.all().text, ["GET"]).answers.first
      }
      #expect(try ready(api.port)?.status == 200)
      try await servers.pause(.postgres)
      // Requests that wait for the database do not block the probes.
      let token = APIEnvironment.token(Self.user)
      let waiting = try (0..<12).map { _ in
        let wire = try Wire(api.port)
        wire.send("GET /api/journey/high-risk HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(token)\r\n\r\n")
        return wire
      }
      var last = 200
      let end = ContinuousClock.now + .seconds(20)
      while last == 200, .now < end {
        for port in [api.port, probes] {
          let began = ContinuousClock.now
          let answer = try ready(port)
          #expect(.now - began < .seconds(1), "an answer within a second")
          last = try #require(answer?.status)
        }
        try await Task.sleep(for: .milliseconds(100))
      }
      #expect(last == 503, "it says that the database does not answer")
      #expect(waiting.count == 12)
      try await servers.resume(.postgres)
      try await eventually("ready again") { try ready(probes)?.status == 200 }
    }
    try await servers.stop()
  }
}
