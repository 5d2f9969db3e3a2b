import AsyncHTTPClient
import FoundationEssentials
import JWTKit
import Journey
import Logging
import NIOCore
import NIOHTTP1
import Synchronization

/// Keys that signatures are checked with.
protocol VerificationKeys: Sendable {
  func verify(_ token: String, keyID: String?) async throws(TokenError)
}

/// Shared secrets, HS256: those of the time at which a token is verified.
actor SecretKeys: VerificationKeys {
  private let secrets: @Sendable () -> [String]
  private var current: (secrets: [String], keys: [JWTKeyCollection]) = ([], [])

  init(_ secrets: @escaping @Sendable () -> [String]) { self.secrets = secrets }

  func verify(_ token: String, keyID: String?) async throws(TokenError) {
    for keys in await keys() where (try? await keys.verify(token, as: AnyClaims.self)) != nil { return }
    throw .badSignature
  }

  private func keys() async -> [JWTKeyCollection] {
    let secrets = secrets()
    if secrets == current.secrets { return current.keys }
    var keys: [JWTKeyCollection] = []
    for secret in secrets {
      keys.append(
        await JWTKeyCollection().add(hmac: HMACKey(from: Data(secret.utf8)), digestAlgorithm: .sha256))
    }
    current = (secrets, keys)
    return keys
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

  /// A key that is not understood, or is for something else, is passed over: a set may hold kinds of keys that are
  /// newer than this program.
  init(_ json: [UInt8], _ algorithm: JWTAlgorithmName) async throws {
    guard let root = try? JSONDocument(parsing: json).root, let entries = root["keys"], entries.kind == .array else {
      throw KeySetError("it is no JSON object with a list of keys")
    }
    var ids: Set<String> = []
    let keys = JWTKeyCollection()
    for entry in entries.elements where Self.isUsable(entry, algorithm) {
      guard var key = try? JSONDecoder().decode(JWK.self, from: Data(entry.rawBytes)) else { continue }
      let id = key.keyIdentifier?.string ?? "key-\(ids.count + 1)"
      // The first of a name; nobody could say which of them a token means.
      guard !ids.contains(id) else { continue }
      key.keyIdentifier = JWKIdentifier(string: id)
      guard (try? await keys.add(jwk: key)) != nil else { continue }
      ids.insert(id)
    }
    guard !ids.isEmpty else {
      throw KeySetError("it holds no key of type \(algorithm.keyType) for \(algorithm.rawValue)")
    }
    self.keys = keys
    self.ids = ids
    only = ids.count == 1 ? ids.first : nil
  }

  private static func isUsable(_ key: JSONValue, _ algorithm: JWTAlgorithmName) -> Bool {
    key["kty"]?.string == algorithm.keyType && (key["alg"].map { $0.string == algorithm.rawValue } ?? true)
      && (key["use"].map { $0.string == "sig" } ?? true)
      && (key["key_ops"].map { operations in operations.elements.contains { $0.string == "verify" } } ?? true)
  }
}

struct KeySetError: Error, CustomStringConvertible {
  var description: String
  init(_ description: String) { self.description = description }
}

/// Public keys that are read once, or again from an address: now and then, and when a token names a key that is not
/// known.
actor KeySet: VerificationKeys {
  private static let maxBytes = 1 << 18
  /// It follows nobody elsewhere: what an https address sends on to may be http.
  private static let client = HTTPClient(
    eventLoopGroupProvider: .singleton, configuration: HTTPClient.Configuration(redirectConfiguration: .disallow))
  private static let ordinaryAge = Duration.seconds(600)
  /// So that tokens with invented key ids do not become requests.
  private static let minAge = Duration.seconds(30)

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
    do { current = try await PublicKeys(Array(data), algorithm) } catch {
      throw KeySetError("\(file) is no usable key set: \(error)")
    }
  }

  /// - Parameter timeoutSeconds: how long a request for the keys may take.
  init(address: String, _ algorithm: JWTAlgorithmName, timeoutSeconds: Int64 = 5, logger: Logger) throws {
    // The address is not repeated: somebody may have written a password into it.
    guard !address.contains("@"), !address.contains("#") else {
      throw KeySetError(
        "api.jwksURL: public keys need no user and no password, and a '@' or '#' of the path is written %40 or %23")
    }
    let isLoopback = ["http://127.0.0.1", "http://localhost", "http://[::1]"].contains { prefix in
      address.hasPrefix(prefix) && [":", "/", nil].contains(address.dropFirst(prefix.count).first)
    }
    guard address.hasPrefix("https://") || isLoopback else {
      throw KeySetError("api.jwksURL: keys are fetched over https only, from this machine also over http")
    }
    origin = (address, timeoutSeconds)
    self.algorithm = algorithm
    self.logger = logger
  }

  func verify(_ token: String, keyID: String?) async throws(TokenError) {
    let age = fetchedAt.map { $0.duration(to: .now) }
    let isUnknown = current.map { keys in keyID.map { !keys.ids.contains($0) } ?? false } ?? true
    if origin != nil, age.map({ $0 > Self.ordinaryAge || (isUnknown && $0 > Self.minAge) }) ?? true {
      await refresh()
    }
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
      let response = try await Self.client.execute(
        HTTPClientRequest(url: origin.address), timeout: .seconds(origin.timeoutSeconds))
      guard response.status.code == 200 else { throw KeySetError("it answers \(response.status.code)") }
      let body = try await response.body.collect(upTo: Self.maxBytes)
      current = try await PublicKeys(Array(body.readableBytesView), algorithm)
    } catch {
      // Keys that are there stay: an address that is away for a moment locks nobody out.
      logger.warning("the keys of api.jwksURL cannot be fetched: \(error)")
    }
    fetchedAt = .now
  }
}
