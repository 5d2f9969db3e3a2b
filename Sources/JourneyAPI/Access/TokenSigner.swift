public import FoundationEssentials
import JWTKit
public import Journey

/// Makes tokens with the shared secret, as the host application does: for development, demos and tests.
public struct TokenSigner: Sendable {
  private let secret: String
  private let settings: APISettings

  /// - Parameter secret: what HS256 signs with.
  public init(secret: String, settings: APISettings) {
    self.secret = secret
    self.settings = settings
  }

  /// - Parameter isOperator: whether the token opens operations.
  public func token(subject: UUID, isOperator: Bool, from now: Timestamp, for length: TimeSpan) async throws -> String {
    let keys = await JWTKeyCollection().add(hmac: HMACKey(from: Data(secret.utf8)), digestAlgorithm: .sha256)
    var payload = Payload(
      sub: subject.text, role: "authenticated", iat: now.microseconds / 1_000_000,
      exp: (now + length).microseconds / 1_000_000, aud: settings.audience,
      iss: settings.issuer)
    if isOperator { payload.claim = settings.operatorClaim.split(separator: ".").map(String.init) }
    return try await keys.sign(payload)
  }

  private struct Payload: JWTPayload {
    var sub: String
    var role: String
    var iat: Int64
    var exp: Int64
    var aud: String?
    var iss: String?
    /// The path of a claim that is true.
    var claim: [String] = []

    private struct Name: CodingKey {
      var stringValue: String
      var intValue: Int? { nil }
      init(_ name: String) { stringValue = name }
      init?(stringValue: String) { self.stringValue = stringValue }
      init?(intValue: Int) { nil }
    }

    init(sub: String, role: String, iat: Int64, exp: Int64, aud: String?, iss: String?) {
      self.sub = sub
      self.role = role
      self.iat = iat
      self.exp = exp
      self.aud = aud
      self.iss = iss
    }

    init(from decoder: any Decoder) throws {
      let members = try decoder.container(keyedBy: Name.self)
      self.init(
        sub: try members.decode(String.self, forKey: Name("sub")),
        role: try members.decode(String.self, forKey: Name("role")),
        iat: try members.decode(Int64.self, forKey: Name("iat")),
        exp: try members.decode(Int64.self, forKey: Name("exp")),
        aud: try members.decodeIfPresent(String.self, forKey: Name("aud")),
        iss: try members.decodeIfPresent(String.self, forKey: Name("iss")))
    }

    func encode(to encoder: any Encoder) throws {
      var members = encoder.container(keyedBy: Name.self)
      try members.encode(sub, forKey: Name("sub"))
      try members.encode(role, forKey: Name("role"))
      try members.encode(iat, forKey: Name("iat"))
      try members.encode(exp, forKey: Name("exp"))
      try members.encodeIfPresent(aud, forKey: Name("aud"))
      try members.encodeIfPresent(iss, forKey: Name("iss"))
      guard let last = claim.last else { return }
      for name in claim.dropLast() { members = members.nestedContainer(keyedBy: Name.self, forKey: Name(name)) }
      try members.encode(true, forKey: Name(last))
    }

    func verify(using algorithm: some JWTAlgorithm) {}
  }
}
