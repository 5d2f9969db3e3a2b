import DeadLetters
import FoundationEssentials
import HTTPTypes
import Hummingbird
import Journey
import Logging
import NIOHTTP1

/// Every answer carries these, whatever it is; every error becomes a problem document that reveals nothing of the
/// program.
struct SecurityHeadersMiddleware: RouterMiddleware {
  typealias Context = APIContext

  /// The page needs nothing but its own files and this API.
  private static let policy = """
    default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'
    """
  static let headers: [(HTTPField.Name, String)] = [
    (HTTPField.Name("Content-Security-Policy")!, policy), (.xContentTypeOptions, "nosniff"),
    (HTTPField.Name("Referrer-Policy")!, "no-referrer"),
    (HTTPField.Name("X-Frame-Options")!, "DENY"), (HTTPField.Name("Cross-Origin-Opener-Policy")!, "same-origin"),
    (HTTPField.Name("Cross-Origin-Resource-Policy")!, "same-origin"),
    (HTTPField.Name("Permissions-Policy")!, "camera=(), geolocation=(), microphone=(), payment=()"),
  ]

  @concurrent
  func handle(
    _ request: Request, context: APIContext, next: @concurrent (Request, APIContext) async throws -> Response
  ) async throws -> Response {
    var response: Response
    do {
      // A path knows its own; what no path knows is reported here.
      guard HTTPRequest.Method.known.contains(request.method) else {
        throw Problem(.methodNotAllowed, "no such method is known here", headers: [.allow: "GET, HEAD, POST"])
      }
      response = try await next(request, context)
    } catch let problem as Problem {
      response = problem.response()
    } catch let error as StoreError {
      response = Problem.of(error, context.logger).response()
    } catch let error as OperationsError {
      response = Problem.of(error, context.logger).response()
    } catch let error as HTTPError {
      response = (error.status == .notFound ? .notFound : Problem(error.status, "the request cannot be answered"))
        .response()
    } catch let error as HTTPParserError {
      // The body's framing; the connection ends with the answer.
      response = RequestFault.of(error).response()
    } catch is CancellationError {
      response = Problem(.serviceUnavailable, "the service is stopping").response()
    } catch {
      context.logger.error(
        "a request failed", metadata: .fields([.code: "request_failed", .error: "\(error)"]))
      response = Problem(.internalServerError, "something went wrong here; whoever runs this finds it in the log")
        .response()
    }
    for (name, value) in Self.headers { response.headers[name] = value }
    return response
  }
}

/// Lets only known callers pass, and each of them only so often.
struct Authentication: RouterMiddleware {
  typealias Context = APIContext

  /// nil: no keys are configured.
  let verifier: TokenVerifier?
  let limiter: RateLimiter
  /// Requests under way, a user.
  let shares: Shares<UUID>

  @concurrent
  func handle(
    _ request: Request, context: APIContext, next: @concurrent (Request, APIContext) async throws -> Response
  ) async throws -> Response {
    guard let verifier else {
      throw Problem(
        .serviceUnavailable, "sign-in is not set up: set api.jwtSecret, api.jwksFile or api.jwksURL and start again")
    }
    guard let token = Self.bearer(request.headers[values: .authorization]) else { throw Problem.unauthorized }
    let caller: Caller
    do throws(TokenError) {
      caller = try await verifier.caller(token)
    } catch {
      context.logger.debug("a token was refused", metadata: .fields([.code: "token_refused", .reason: "\(error)"]))
      if error == .noKeys {
        throw Problem(
          .serviceUnavailable, "the keys to check tokens with cannot be had for now", headers: [.retryAfter: "10"])
      }
      throw Problem.unauthorized
    }
    if let wait = limiter.admit(caller.subject) {
      let seconds = max(1, Int((wait / .seconds(1)).rounded(.up)))
      throw Problem(.tooManyRequests, "too many requests; wait \(seconds) s", headers: [.retryAfter: "\(seconds)"])
    }
    guard shares.acquire(caller.subject) else {
      throw Problem(
        .tooManyRequests, "you have \(shares.most) requests under way; wait for their answers",
        headers: [.retryAfter: "1"])
    }
    defer { shares.giveBack(caller.subject) }
    var context = context
    context.caller = caller
    return try await next(request, context)
  }

  private static func bearer(_ values: [String]) -> String? {
    guard values.count == 1, values[0].lowercased().hasPrefix("bearer ") else { return nil }
    return String(values[0].dropFirst(7).drop { $0 == " " })
  }
}

/// Lets only operators pass.
struct OperatorsOnly: RouterMiddleware {
  typealias Context = APIContext

  @concurrent
  func handle(
    _ request: Request, context: APIContext, next: @concurrent (Request, APIContext) async throws -> Response
  ) async throws -> Response {
    guard try context.requireCaller().isOperator else { throw Problem(.forbidden, "this needs an operator's token") }
    return try await next(request, context)
  }
}

extension HTTPRequest.Method {
  fileprivate static let known: [HTTPRequest.Method] = [.get, .head, .post, .put, .patch, .delete, .options, .trace]
}

extension RouterMethods {
  typealias Handler = @Sendable (Request, Context) async throws -> Response

  /// A path with its method; any other method is answered with 405 and the ones that there are.
  func resource(_ path: RouterPath, _ method: HTTPRequest.Method = .get, use handler: @escaping Handler) {
    resource(path, [(method, handler)])
  }

  func resource(_ path: RouterPath, _ handlers: [(method: HTTPRequest.Method, handler: Handler)]) {
    var known: [HTTPRequest.Method] = []
    for (method, handler) in handlers {
      on(path, method: method, use: handler)
      known.append(method)
      guard method == .get else { continue }
      on(path, method: .head) { try await handler($0, $1).createHeadResponse() }
      known.append(.head)
    }
    let allowed = known.map(\.rawValue).joined(separator: ", ")
    for method in HTTPRequest.Method.known where !known.contains(method) {
      on(path, method: method) { _, _ -> Response in
        throw Problem(.methodNotAllowed, "allowed here: \(allowed)", headers: [.allow: allowed])
      }
    }
  }
}
