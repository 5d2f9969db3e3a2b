import Foundation
import Hummingbird
import HummingbirdTesting
import JWTKit
import Journey
@testable import JourneyAPI
import Logging
import Testing

/// Who is believed: one algorithm, one key, times and names that fit; and nobody else.
@Suite struct TokenVerifierTests {
  private static let secret = "a secret of the tests, long enough for HS256"
  private static let user = UUID(uuidString: "0d000000-0000-4000-8000-000000000001")!
  private static let now = Timestamp(seconds: 1_800_000_000)

  private struct FixedClock: WallClock {
    func now() -> Timestamp { TokenVerifierTests.now }
  }

  /// Claims as a JSON object, signed as it stands.
  private struct Claims: JWTPayload {
    var members: [String: Member]
    enum Member: Codable, Sendable {
      case text(String), number(Double), texts([String]), flags([String: Bool])
      func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .text(let value): try container.encode(value)
        case .number(let value): try container.encode(value)
        case .texts(let value): try container.encode(value)
        case .flags(let value): try container.encode(value)
        }
      }
      init(from decoder: any Decoder) throws { self = .text(try decoder.singleValueContainer().decode(String.self)) }
    }
    init(_ members: [String: Member]) { self.members = members }
    func encode(to encoder: any Encoder) throws { try members.encode(to: encoder) }
    init(from decoder: any Decoder) throws { members = [:] }
    func verify(using algorithm: some JWTAlgorithm) {}
  }

  private static let good: [String: Claims.Member] = [
    "sub": .text(user.uuidString), "aud": .text("authenticated"), "role": .text("authenticated"),
    "exp": .number(1_800_000_600),
  ]

  private func signed(_ claims: [String: Claims.Member], with secret: String = Self.secret) async throws -> String {
    try await JWTKeyCollection().add(hmac: HMACKey(from: Data(secret.utf8)), digestAlgorithm: .sha256).sign(
      Claims(claims))
  }

  private func verifier(_ change: (inout APISettings) -> Void = { _ in }) async -> TokenVerifier {
    var settings = APISettings()
    change(&settings)
    return TokenVerifier(
      keys: SecretKeys { [Self.secret] }, algorithm: "HS256", settings: settings, clock: FixedClock())
  }

  private func refusal(_ token: String, by verifier: TokenVerifier) async -> TokenError? {
    do throws(TokenError) {
      _ = try await verifier.caller(token)
      return nil
    } catch {
      return error
    }
  }

  @Test func aGoodTokenIsItsSubject() async throws {
    let caller = try await verifier().caller(try await signed(Self.good))
    #expect(caller.subject == Self.user && !caller.isOperator && caller.expiresAt == Timestamp(seconds: 1_800_000_600))
    #expect(String(decoding: caller.claims, as: UTF8.self).contains(Self.user.uuidString))
    let made = try await TokenSigner(secret: Self.secret, settings: APISettings())
      .token(subject: Self.user, isOperator: true, from: Self.now, for: .hours(1))
    let op = try await verifier().caller(made)
    #expect(op.isOperator && op.subject == Self.user)
  }

  @Test func anythingElseIsRefused() async throws {
    func with(_ change: (inout [String: Claims.Member]) -> Void) async throws -> String {
      var claims = Self.good
      change(&claims)
      return try await signed(claims)
    }
    let verifier = await verifier { $0.issuer = nil }
    let cases: [(TokenError, String)] = [
      (.expired, try await with { $0["exp"] = .number(1_799_999_990) }),
      (.malformed, try await with { $0["exp"] = nil }),
      (.notYetValid, try await with { $0["nbf"] = .number(1_800_000_060) }),
      (.wrongAudience, try await with { $0["aud"] = .text("somebody") }),
      (.wrongAudience, try await with { $0["aud"] = nil }),
      (.wrongRole, try await with { $0["role"] = .text("service_role") }),
      (.noSubject, try await with { $0["sub"] = nil }), (.noSubject, try await with { $0["sub"] = .text("root") }),
      (.badSignature, try await signed(Self.good, with: "another secret of at least 32 bytes, too")),
      (.malformed, "abc"), (.malformed, "a.b.c"), (.malformed, ""), (.malformed, String(repeating: "a", count: 9000)),
    ]
    for (wanted, token) in cases { #expect(await refusal(token, by: verifier) == wanted, "\(wanted)") }
    #expect(try await refusal(with { $0["aud"] = .texts(["x", "authenticated"]) }, by: verifier) == nil)
    // Four seconds late is the clocks' doing.
    #expect(try await refusal(with { $0["exp"] = .number(1_799_999_996) }, by: verifier) == nil)
    let strict = await self.verifier { $0.issuer = "https://issuer.example" }
    #expect(try await refusal(signed(Self.good), by: strict) == .wrongIssuer)
    #expect(try await refusal(with { $0["iss"] = .text("https://issuer.example") }, by: strict) == nil)
  }

  @Test func aTokenDoesNotChooseItsAlgorithm() async throws {
    let parts = try await signed(Self.good).split(separator: ".")
    func head(_ json: String) -> String {
      Data(json.utf8).base64EncodedString().replacing("=", with: "").replacing("+", with: "-").replacing("/", with: "_")
    }
    let verifier = await verifier()
    for algorithm in ["none", "None", "HS512", "RS256", "ES256", ""] {
      for signature in ["", String(parts[2])] {
        let token = "\(head(#"{"alg":"\#(algorithm)","typ":"JWT"}"#)).\(parts[1]).\(signature)"
        #expect(await refusal(token, by: verifier) == .wrongAlgorithm, "\(algorithm)")
      }
    }
    #expect(await refusal("\(head(#"{"alg":"HS256"}"#)).\(parts[1]).", by: verifier) == .badSignature)
    #expect(
      await refusal("\(head(#"{"alg":"HS256","crit":["exp"]}"#)).\(parts[1]).\(parts[2])", by: verifier) == .malformed)
    // The claims changed under their signature.
    let changed = head(#"{"sub":"\#(UUID().uuidString)","aud":"authenticated","exp":1800000600}"#)
    #expect(await refusal("\(parts[0]).\(changed).\(parts[2])", by: verifier) == .badSignature)
  }

  @Test func publicKeysByFile() async throws {
    let key = ES256PrivateKey(), other = ES256PrivateKey()
    let parameters = try #require(key.parameters)
    let set = """
      {"keys":[{"kty":"RSA","kid":"r","alg":"RS256","n":"AQAB","e":"AQAB"},
      {"kty":"EC","crv":"P-256","alg":"ES256","kid":"k1","use":"sig","x":"\(parameters.x)","y":"\(parameters.y)"}]}
      """
    let file = NSTemporaryDirectory() + "jwks-\(UUID().uuidString).json"
    try set.write(toFile: file, atomically: true, encoding: .utf8)
    defer { try? FileManager.default.removeItem(atPath: file) }
    let keys = try await KeySet(file: file, .es256, logger: Logger(label: "test"))
    let verifier = TokenVerifier(keys: keys, algorithm: "ES256", settings: APISettings(), clock: FixedClock())
    let own = try await JWTKeyCollection().add(ecdsa: key, kid: "k1").sign(Claims(Self.good), kid: "k1")
    #expect(try await verifier.caller(own).subject == Self.user)
    // One key: a token need not name it.
    let unnamed = try await JWTKeyCollection().add(ecdsa: key).sign(Claims(Self.good))
    #expect(await refusal(unnamed, by: verifier) == nil)
    let foreign = try await JWTKeyCollection().add(ecdsa: other, kid: "k1").sign(Claims(Self.good), kid: "k1")
    #expect(await refusal(foreign, by: verifier) == .badSignature)
    let unknown = try await JWTKeyCollection().add(ecdsa: key, kid: "k2").sign(Claims(Self.good), kid: "k2")
    #expect(await refusal(unknown, by: verifier) == .badSignature)
    // The public key as a shared secret: the oldest trick there is.
    #expect(try await refusal(signed(Self.good, with: set), by: verifier) == .wrongAlgorithm)
    await #expect(throws: KeySetError.self) {
      try await KeySet(file: file + "x", .es256, logger: Logger(label: "test"))
    }
    #expect(throws: KeySetError.self) {
      try KeySet(address: "http://keys.example/jwks", .es256, logger: Logger(label: "test"))
    }
  }

  @Test func publicKeysByAddress() async throws {
    let pem = try Self.command("openssl genrsa 2048")
    let key = try Insecure.RSA.PrivateKey(pem: pem)
    // URL-safe base64 of the modulus, RFC 7518 section 6.3.1.1.
    let modulus = try Self.command(
      "openssl rsa -noout -modulus | cut -d= -f2 | tr -d '\\n' | python3 -c 'import sys; sys.stdout.buffer.write(bytes.fromhex(sys.stdin.read()))' | base64 -w 0 | tr '+/' '-_' | tr -d =",
      input: pem)
    let set = #"{"keys":[{"kty":"RSA","kid":"r1","alg":"RS256","use":"sig","n":"\#(modulus)","e":"AQAB"}]}"#
    let router = Router()
    router.get("jwks") { _, _ in set }
    let own = try await JWTKeyCollection().add(rsa: key, digestAlgorithm: .sha256, kid: "r1").sign(
      Claims(Self.good), kid: "r1")
    let others = try await JWTKeyCollection().add(
      rsa: Insecure.RSA.PrivateKey(pem: Self.command("openssl genrsa 2048")), digestAlgorithm: .sha256, kid: "r1"
    ).sign(Claims(Self.good), kid: "r1")
    try await Application(router: router).test(.live) { client in
      let port = try #require(client.port)
      let keys = try KeySet(
        address: "http://127.0.0.1:\(port)/jwks", .rs256, timeoutSeconds: 60, logger: Logger(label: "test"))
      let verifier = TokenVerifier(keys: keys, algorithm: "RS256", settings: APISettings(), clock: FixedClock())
      #expect(try await verifier.caller(own).subject == Self.user)
      #expect(await refusal(others, by: verifier) == .badSignature)
      #expect(try await refusal(signed(Self.good, with: set), by: verifier) == .wrongAlgorithm)
      let nowhere = try KeySet(address: "http://127.0.0.1:\(port)/other", .rs256, logger: Logger(label: "test"))
      let blind = TokenVerifier(keys: nowhere, algorithm: "RS256", settings: APISettings(), clock: FixedClock())
      #expect(await refusal(own, by: blind) == .noKeys)
    }
  }

  private static func command(_ line: String, input: String = "") throws -> String {
    let process = Process(), output = Pipe(), source = Pipe()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", line]
    process.standardInput = source
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    try process.run()
    source.fileHandleForWriting.write(Data(input.utf8))
    try source.fileHandleForWriting.close()
    let data = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0, "\(line)")
    return String(decoding: data, as: UTF8.self)
  }

  @Test func aSubjectHasSoManyRequests() {
    let limiter = RateLimiter(rate: 10)
    let subject = UUID()
    let admitted = (0..<200).filter { _ in limiter.admit(subject) == nil }.count
    // Twenty at once, and what the rate adds while the loop runs.
    #expect((20...40).contains(admitted))
    #expect(limiter.admit(subject).map { $0 > .zero && $0 <= .milliseconds(100) } == true)
    #expect(limiter.admit(UUID()) == nil)
  }
}
