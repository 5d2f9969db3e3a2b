import Hummingbird
import JourneyPipeline

/// What goes with a request through its handlers.
struct APIContext: RequestContext {
  var coreContext: CoreRequestContextStorage
  /// Who asks; set by `Authentication` for everything below `/api`.
  var caller: Caller?

  init(source: ApplicationRequestContextSource) { coreContext = CoreRequestContextStorage(source: source) }

  /// - Throws: 401, which `Authentication` has thrown before.
  func requireCaller() throws(Problem) -> Caller {
    guard let caller else { throw .unauthorized }
    return caller
  }
}
