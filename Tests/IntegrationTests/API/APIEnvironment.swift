import Crypto
import Foundation
import FoundationNetworking
import TestServers
import Testing

@testable import TestSupport

/// `journey serve` with its API, an HTTP client, and tokens for any user.
struct APIEnvironment {
  static let secret = "the secret of the integration tests, 32 bytes and more"
  let environment: TestEnvironment
  let program: ChildProcess
  let address: String

  static func with(
    _ settings: [String: String] = [:], servers: TestServers? = nil, _ body: (APIEnvironment) async throws -> Void
  ) async throws {
    try await TestEnvironment.with(servers: servers) { environment in
      let api = try await serve(environment, settings)
      try await body(api)
      if api.program.ending == nil { try await environment.stop(api.program) }
    }
  }

  /// Starts `journey serve` with its API in an existing environment.
  static func serve(_ environment: TestEnvironment, _ settings: [String: String] = [:]) async throws -> APIEnvironment {
    let program = try await environment.serve(
      .defaultProfile, ["API_JWT_SECRET": secret, "DEAD_LETTERS_ARCHIVE": "true"].merging(settings) { $1 })
    let address = "http://127.0.0.1:\(try await HTTPPort.find("address=", program))"
    return APIEnvironment(environment: environment, program: program, address: address)
  }

  // MARK: Tokens

  static func token(
    _ user: String, secret: String = Self.secret, algorithm: String = "HS256", role: String = "authenticated",
    audience: String = "authenticated",
    expires: TimeInterval = 600, operations: Bool = false
  ) -> String {
    func part(_ text: some DataProtocol) -> String {
      Data(text).base64EncodedString().replacing("=", with: "").replacing("+", with: "-").replacing("/", with: "_")
    }
    let claims = """
      {"sub":"\(user)","role":"\(role)","aud":"\(audience)","exp":\(Int(Date().timeIntervalSince1970 + expires)),\
      "app_metadata":{"journey_operator":\(operations)}}
      """
    let text = part(Data(#"{"alg":"\#(algorithm)","typ":"JWT"}"#.utf8)) + "." + part(Data(claims.utf8))
    let signature = HMAC<SHA256>.authenticationCode(for: Data(text.utf8), using: SymmetricKey(data: Data(secret.utf8)))
    return text + "." + part(Data(signature))
  }

  // MARK: Requests

  struct Answer {
    var status: Int
    var headers: [String: String]
    var body: String
    var json: [String: Any] { (try? JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: Any]) ?? [:] }
  }

  func get(_ path: String, _ token: String?, headers: [String: String] = [:]) async throws -> Answer {
    try await send("GET", path, token, headers: headers)
  }

  func send(_ method: String, _ path: String, _ token: String?, headers: [String: String] = [:], body: String? = nil)
    async throws -> Answer
  {
    var request = URLRequest(
      url: try #require(URL(string: address + path)), cachePolicy: .reloadIgnoringLocalAndRemoteCacheData)
    request.httpMethod = method
    request.timeoutInterval = 20
    if let token { request.setValue("Bearer \(token)", forHTTPHeaderField: "Authorization") }
    for (name, value) in headers { request.setValue(value, forHTTPHeaderField: name) }
    if let body {
      request.httpBody = Data(body.utf8)
      if headers["Content-Type"] == nil { request.setValue("application/json", forHTTPHeaderField: "Content-Type") }
    }
    let (data, response) = try await URLSession.shared.data(for: request)
    let http = try #require(response as? HTTPURLResponse)
    var fields: [String: String] = [:]
    for (name, value) in http.allHeaderFields { fields["\(name)".lowercased()] = "\(value)" }
    return Answer(status: http.statusCode, headers: fields, body: String(decoding: data, as: UTF8.self))
  }
}
