public import FoundationEssentials
import JWTKit
public import Journey

/// Signs tokens with the shared secret, as the host application does: for development, demos and tests.
public struct TokenSigner: Sendable {
  private let secret: String
  private let settings: APISettings

  /// - Parameter secret: the key for HS256.
  public init(secret: String, settings: APISettings) {
    self.secret = secret
    self.settings = settings
  }

  /// - Parameter isOperator: whether the token grants access to operations.
  public func token(subject: UUID, isOperator: Bool, from now: Timestamp, for length: TimeSpan) async throws -> String {
    let keys = await JWTKeyCollection().add(hmac: HMACKey(from: Data(secret.utf8)), digestAlgorithm: .sha256)
    let payload = Payload(
      sub: SubjectClaim(value: subject.text), iat: IssuedAtClaim(value: Self.date(now)),
      exp: ExpirationClaim(value: Self.date(now + length)), aud: settings.audience.map { AudienceClaim(value: $0) },
      iss: settings.issuer.map { IssuerClaim(value: $0) },
      operatorClaim: isOperator
        ? settings.operatorClaim.split(separator: ".").map { Name(stringValue: String($0)) } : [])
    return try await keys.sign(payload)
  }

  private static func date(_ time: Timestamp) -> Date {
    Date(timeIntervalSince1970: Double(time.microseconds / 1_000_000))
  }

  private struct Name: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  private struct Payload: JWTPayload {
    var sub: SubjectClaim
    var role = "authenticated"
    var iat: IssuedAtClaim
    var exp: ExpirationClaim
    var aud: AudienceClaim?
    var iss: IssuerClaim?
    /// The path of the claim that makes an operator.
    var operatorClaim: [Name] = []

    private enum CodingKeys: CodingKey { case sub, role, iat, exp, aud, iss }

    func encode(to encoder: any Encoder) throws {
      var members = encoder.container(keyedBy: CodingKeys.self)
      try members.encode(sub, forKey: .sub)
      try members.encode(role, forKey: .role)
      try members.encode(iat, forKey: .iat)
      try members.encode(exp, forKey: .exp)
      try members.encodeIfPresent(aud, forKey: .aud)
      try members.encodeIfPresent(iss, forKey: .iss)
      guard let last = operatorClaim.last else { return }
      var more = encoder.container(keyedBy: Name.self)
      for name in operatorClaim.dropLast() { more = more.nestedContainer(keyedBy: Name.self, forKey: name) }
      try more.encode(true, forKey: last)
    }

    func verify(using algorithm: some JWTAlgorithm) {}
  }
}
