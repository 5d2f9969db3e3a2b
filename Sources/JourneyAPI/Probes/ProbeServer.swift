public import Logging
import HTTPTypes
import enum Journey.LogKey
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// Answers probes on an address of its own, on a thread of its own: whatever takes the API's connections, the
/// program's other threads and its tasks, a supervisor learns how it is. No token is needed, and it answers only what
/// probes ask.
public final class ProbeServer: Sendable {
  private let host: String
  private let wantedPort: Int
  private let probes: Probes
  private let logger: Logger
  private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
  private let listener = Mutex<(any Channel)?>(nil)
  private let isClosed = Atomic<Bool>(false)

  /// How long it waits before it tries again to listen.
  private static let pause = TimeAmount.seconds(2)

  /// - Parameter port: 0 is any free one.
  public init(host: String, port: Int, probes: Probes, logger: Logger) {
    self.host = host
    wantedPort = port
    self.probes = probes
    self.logger = logger
  }

  /// Returns at once. It never ends the process: where it cannot listen, for another instance has not ended yet, it
  /// says so and tries again, and the API's own `/live` and `/ready` are still there.
  public func start() { listen(isReported: false) }

  /// nil while it does not listen.
  var port: Int? { listener.withLock(\.self)?.localAddress?.port }

  public func close() async {
    isClosed.store(true, ordering: .sequentiallyConsistent)
    listener.withLock(\.self)?.close(promise: nil)
    try? await group.shutdownGracefully()
  }

  private func listen(isReported: Bool) {
    guard !isClosed.load(ordering: .sequentiallyConsistent) else { return }
    bind().whenComplete { [self] result in
      switch result {
      case .success(let channel):
        listener.withLock { $0 = channel }
        let authority = host.contains(":") ? "[\(host)]" : host
        logger.info(
          "answering probes",
          metadata: .fields([.probes: "http://\(authority):\(channel.localAddress?.port ?? wantedPort)/ready"]))
        channel.closeFuture.whenComplete { _ in self.listen(isReported: false) }
      case .failure(let error):
        if !isReported {
          logger.error(
            "probes have no address of their own yet: \(host):\(wantedPort) cannot be served (\(error)); it is tried again, or change probes.port, or set probes.host to nothing"
          )
        }
        group.any().scheduleTask(in: Self.pause) { self.listen(isReported: true) }
      }
    }
  }

  private func bind() -> EventLoopFuture<any Channel> {
    let connections = ProbeConnections()
    return ServerBootstrap(group: group)
      .serverChannelOption(ChannelOptions.backlog, value: 64)
      .serverChannelOption(ChannelOptions.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { [probes] channel in
        channel.eventLoop.makeCompletedFuture {
          connections.add(channel)
          let pipeline = channel.pipeline.syncOperations
          try pipeline.configureHTTPServerPipeline(withPipeliningAssistance: false, withErrorHandling: false)
          try pipeline.addHandler(RequestGuard())
          try pipeline.addHandler(ProbeHandler(probes))
        }
      }
      .bind(host: host, port: wantedPort)
  }
}

/// The connections of probes. A probe asks once and is gone, so none is kept for long, and the oldest goes where there
/// are many: nobody holds a place that another probe needs.
private final class ProbeConnections: @unchecked Sendable {
  private static let most = 64
  private static let time = TimeAmount.seconds(3)
  // Touched on the one event loop alone.
  private var open: [(id: ObjectIdentifier, channel: any Channel)] = []

  func add(_ channel: any Channel) {
    channel.eventLoop.preconditionInEventLoop()
    if open.count >= Self.most { open.removeFirst().channel.close(promise: nil) }
    let id = ObjectIdentifier(channel)
    open.append((id, channel))
    let late = channel.eventLoop.scheduleTask(in: Self.time) { channel.close(promise: nil) }
    channel.closeFuture.whenComplete { [self] _ in
      late.cancel()
      open.removeAll { $0.id == id }
    }
  }
}

private final class ProbeHandler: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private let probes: Probes
  private var head: HTTPRequestHead?

  init(_ probes: Probes) { self.probes = probes }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head): self.head = head
    case .body: break
    case .end:
      guard let head else { return }
      self.head = nil
      respond(head, context)
    }
  }

  private func respond(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
    let answer: Probes.Answer? =
      switch head.uri.prefix(while: { $0 != "?" }) {
      case "/live", "/health": probes.live
      case "/ready": probes.ready
      case "/startup": probes.startup
      default: nil
      }
    let (status, type, body): (HTTPResponseStatus, String, [UInt8]) =
      if let answer, head.method == .GET || head.method == .HEAD {
        (answer.isGood ? .ok : .serviceUnavailable, "application/json", answer.document)
      } else {
        (
          .notFound, "application/problem+json",
          Problem(.notFound, "here are /live, /ready and /startup alone").document
        )
      }
    var headers = HTTPHeaders([
      ("content-type", type), ("cache-control", "no-store"), ("content-length", "\(body.count)"),
      ("connection", "close"),
    ])
    for (name, value) in SecurityHeadersMiddleware.headers { headers.replaceOrAdd(name: name.rawName, value: value) }
    context.write(
      wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: status, headers: headers))), promise: nil)
    context.write(wrapOutboundOut(.body(.byteBuffer(context.channel.allocator.buffer(bytes: body)))), promise: nil)
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
