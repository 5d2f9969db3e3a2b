import Hummingbird
import Journey
import NIOCore

/// What goes with a request through its handlers.
struct APIContext: RequestContext {
  var coreContext: CoreRequestContextStorage
  /// Who asks; set by `Authentication` for everything below `/api`.
  var caller: Caller?
  /// From where; set by `FairShare`.
  var peer: Peer?
  /// The connection.
  let channel: any NIOCore.Channel

  init(source: ApplicationRequestContextSource) {
    coreContext = CoreRequestContextStorage(source: source)
    channel = source.channel
  }

  /// - Throws: 401, which `Authentication` has thrown before.
  func requireCaller() throws(Problem) -> Caller {
    guard let caller else { throw .unauthorized }
    return caller
  }
}
