import AsyncHTTPClient
import FoundationEssentials
import JWTKit
import Logging
import NIOCore
import NIOHTTP1
import Synchronization

/// Keys that signatures are checked with.
protocol VerificationKeys: Sendable {
  func verify(_ token: String, keyID: String?) async throws(TokenError)
}

/// A shared secret, HS256.
struct SecretKey: VerificationKeys {
  private let keys: JWTKeyCollection

  init(_ secret: String) async {
    keys = await JWTKeyCollection().add(hmac: HMACKey(from: Data(secret.utf8)), digestAlgorithm: .sha256)
  }

  func verify(_ token: String, keyID: String?) async throws(TokenError) {
    do { _ = try await keys.verify(token, as: AnyClaims.self) } catch { throw .badSignature }
  }
}

/// Claims are read elsewhere; the library checks the signature.
private struct AnyClaims: JWTPayload {
  func verify(using algorithm: some JWTAlgorithm) {}
}

/// Public keys of a JSON Web Key Set (RFC 7517): those of the algorithm that is taken, whatever else is in it.
struct PublicKeys: Sendable {
  let keys: JWTKeyCollection
  let ids: Set<String>
  /// The one that a token without a key's id means; nil where there are several.
  let only: String?

  init(_ json: [UInt8], _ algorithm: JWTAlgorithmName) async throws {
    let set = try JSONDecoder().decode(JWKS.self, from: Data(json))
    var ids: Set<String> = []
    let keys = JWTKeyCollection()
    for var key in set.keys where key.keyType.rawValue == algorithm.keyType && (key.algorithm.map { $0.rawValue == algorithm.rawValue } ?? true) {
      let id = key.keyIdentifier?.string ?? "key-\(ids.count + 1)"
      key.keyIdentifier = JWKIdentifier(string: id)
      try await keys.add(jwk: key)
      ids.insert(id)
    }
    guard !ids.isEmpty else { throw KeySetError("it holds no key of type \(algorithm.keyType) for \(algorithm.rawValue)") }
    self.keys = keys
    self.ids = ids
    only = ids.count == 1 ? ids.first : nil
  }
}

struct KeySetError: Error, CustomStringConvertible {
  var description: String
  init(_ description: String) { self.description = description }
}

/// Public keys that are read once, or again from an address: now and then, and when a token names a key that is not known.
actor KeySet: VerificationKeys {
  private static let maximumBytes = 1 << 18
  private static let ordinaryAge = Duration.seconds(600)
  /// So that tokens with invented key ids do not become requests.
  private static let shortestAge = Duration.seconds(30)

  /// Where the keys are read again from, and how long a request for them may take.
  private let origin: (address: String, timeoutSeconds: Int64)?
  private let algorithm: JWTAlgorithmName
  private let logger: Logger
  private var current: PublicKeys?
  private var fetchedAt: ContinuousClock.Instant?
  private var fetching: Task<Void, Never>?

  init(file: String, _ algorithm: JWTAlgorithmName, logger: Logger) async throws {
    guard let data = FileManager.default.contents(atPath: file) else { throw KeySetError("\(file) cannot be read") }
    origin = nil
    self.algorithm = algorithm
    self.logger = logger
    do { current = try await PublicKeys(Array(data), algorithm) } catch { throw KeySetError("\(file) is no usable key set: \(error)") }
  }

  /// - Parameter timeoutSeconds: how long a request for the keys may take.
  init(address: String, _ algorithm: JWTAlgorithmName, timeoutSeconds: Int64 = 5, logger: Logger) throws {
    let isLoopback = ["http://127.0.0.1", "http://localhost", "http://[::1]"].contains { address.hasPrefix($0 + ":") || address.hasPrefix($0 + "/") }
    guard address.hasPrefix("https://") || isLoopback else { throw KeySetError("\(address): keys are fetched over https only") }
    origin = (address, timeoutSeconds)
    self.algorithm = algorithm
    self.logger = logger
  }

  func verify(_ token: String, keyID: String?) async throws(TokenError) {
    let age = fetchedAt.map { $0.duration(to: .now) }
    let isUnknown = current.map { keys in keyID.map { !keys.ids.contains($0) } ?? false } ?? true
    if origin != nil, age.map({ $0 > Self.ordinaryAge || (isUnknown && $0 > Self.shortestAge) }) ?? true { await refresh() }
    guard let current else { throw .noKeys }
    guard let id = keyID ?? current.only, current.ids.contains(id) else { throw .badSignature }
    do { _ = try await current.keys.verify(token, as: AnyClaims.self) } catch { throw .badSignature }
  }

  /// All who need it wait for the same request.
  private func refresh() async {
    if let fetching { return await fetching.value }
    let task = Task { await fetch() }
    fetching = task
    await task.value
    fetching = nil
  }

  private func fetch() async {
    guard let origin else { return }
    do {
      let response = try await HTTPClient.shared.execute(HTTPClientRequest(url: origin.address), timeout: .seconds(origin.timeoutSeconds))
      guard response.status.code == 200 else { throw KeySetError("it answers \(response.status.code)") }
      let body = try await response.body.collect(upTo: Self.maximumBytes)
      current = try await PublicKeys(Array(body.readableBytesView), algorithm)
    } catch {
      // Keys that are there stay: an address that is away for a moment locks nobody out.
      logger.warning("the keys of api.jwksURL cannot be fetched: \(error)")
    }
    fetchedAt = .now
  }
}
