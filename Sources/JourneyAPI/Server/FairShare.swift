import HTTPTypes
import Hummingbird
import Journey

/// Lets nobody have more requests under way than a share, so that the others' are answered too.
///
/// Of an address without a proxy the connections are counted, and each has one request at a time. Behind a proxy that
/// is trusted it is the requests, by the address that the proxy names.
struct FairShare: RouterMiddleware {
  typealias Context = APIContext

  let peers: Peers
  let shares: Shares<Peer>

  @concurrent
  func handle(
    _ request: Request, context: APIContext, next: @concurrent (Request, APIContext) async throws -> Response
  ) async throws -> Response {
    var context = context
    guard let address = addressBytes(context.channel.remoteAddress) else { return try await next(request, context) }
    let peer = peers.client(of: address, forwarded: request.headers[values: HTTPField.Name("X-Forwarded-For")!])
    context.peer = peer
    guard peers.isProxy(address) else { return try await next(request, context) }
    guard shares.acquire(peer) else {
      throw Problem(
        .tooManyRequests, "there are \(shares.most) requests of this address under way", headers: [.retryAfter: "1"])
    }
    defer { shares.giveBack(peer) }
    return try await next(request, context)
  }
}
