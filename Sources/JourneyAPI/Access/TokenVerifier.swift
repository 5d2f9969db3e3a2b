import FoundationEssentials
import JWTKit
import Journey

/// Why a token is not believed. Reported to nobody outside: for the log at debug level, and for tests.
enum TokenError: Error, Hashable {
  case noKeys
  case malformed
  case wrongAlgorithm
  case badSignature
  case expired
  case notYetValid
  case wrongIssuer
  case wrongAudience
  case noSubject
  case wrongRole
}

/// Turns a bearer token into a caller, or refuses it.
struct TokenVerifier: Sendable {
  /// How far clocks may differ.
  private static let leeway = TimeSpan.seconds(5)

  private let keys: any VerificationKeys
  private let algorithm: String
  private let issuer: String?
  private let audience: String?
  private let operatorClaim: [String]
  private let clock: any WallClock

  init(keys: any VerificationKeys, algorithm: String, settings: APISettings, clock: any WallClock) {
    self.keys = keys
    self.algorithm = algorithm
    issuer = settings.issuer
    audience = settings.audience
    operatorClaim = settings.operatorClaim.split(separator: ".").map(String.init)
    self.clock = clock
  }

  func caller(_ token: String) async throws(TokenError) -> Caller {
    let parts = token.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard token.utf8.count <= 8192, parts.count == 3, let head = Self.object(parts[0]),
      let claims = Self.object(parts[1])
    else {
      throw .malformed
    }
    // Before any key is looked for: a token does not choose how it is checked.
    guard head.root["alg"]?.string == algorithm else { throw .wrongAlgorithm }
    // Extensions that have to be understood: none is.
    guard head.root["crit"] == nil else { throw .malformed }
    try await keys.verify(token, keyID: head.root["kid"]?.string)
    return try caller(claims)
  }

  private func caller(_ document: JSONDocument) throws(TokenError) -> Caller {
    let claims = document.root, now = clock.now()
    guard let expiry = claims["exp"]?.double, let expiresAt = Self.time(expiry) else { throw .malformed }
    guard now < expiresAt + Self.leeway else { throw .expired }
    if let claim = claims["nbf"] {
      guard let time = claim.double.flatMap(Self.time) else { throw .malformed }
      guard now + Self.leeway >= time else { throw .notYetValid }
    }
    if let issuer, claims["iss"]?.string != issuer { throw .wrongIssuer }
    if let audience {
      let isMeant = claims["aud"].map {
        $0.string == audience || $0.kind == .array && $0.elements.contains { $0.string == audience }
      }
      guard isMeant == true else { throw .wrongAudience }
    }
    // An anonymous token or a service's key is no person.
    if let role = claims["role"], role.string != "authenticated" { throw .wrongRole }
    guard let subject = claims["sub"]?.string.flatMap({ UUID(uuidString: $0) }) else { throw .noSubject }
    var claim: JSONValue? = claims
    for name in operatorClaim { claim = claim?[name] }
    return Caller(subject: subject, claims: document.bytes, isOperator: claim?.bool == true, expiresAt: expiresAt)
  }

  private static func time(_ seconds: Double) -> Timestamp? {
    seconds.isFinite && abs(seconds) < 100_000_000_000 ? Timestamp(microseconds: Int64(seconds * 1_000_000)) : nil
  }

  private static func object(_ part: Substring.UTF8View.SubSequence) -> JSONDocument? {
    guard let bytes = base64URL(part), let document = try? JSONDocument(parsing: bytes), document.root.kind == .object
    else { return nil }
    return document
  }
}

/// Bytes of unpadded base64url (RFC 4648, section 5); nil where it is none.
func base64URL(_ text: some Collection<UInt8>) -> [UInt8]? {
  guard !text.contains(where: { "+/=".utf8.contains($0) }) else { return nil }
  let standard = text.map {
    $0 == UInt8(ascii: "-") ? UInt8(ascii: "+") : $0 == UInt8(ascii: "_") ? UInt8(ascii: "/") : $0
  }
  let padding = [UInt8](repeating: UInt8(ascii: "="), count: (4 - standard.count % 4) % 4)
  return Data(base64Encoded: Data(standard + padding)).map(Array.init)
}
