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
  private let timeout: TimeAmount
  private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
  private let listener = Mutex<(any Channel)?>(nil)
  private let isClosed = Atomic<Bool>(false)

  /// How long it waits before it tries again to listen.
  private static let pause = TimeAmount.seconds(2)

  /// - Parameter port: 0 is any free one.
  public convenience init(host: String, port: Int, probes: Probes, logger: Logger) {
    self.init(host: host, port: port, probes: probes, logger: logger, timeout: .seconds(3))
  }

  /// - Parameter timeout: how long a connection is kept.
  init(host: String, port: Int, probes: Probes, logger: Logger, timeout: TimeAmount) {
    self.host = host
    wantedPort = port
    self.probes = probes
    self.logger = logger
    self.timeout = timeout
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
    let connections = ProbeConnections(timeout: timeout)
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
  private let timeout: TimeAmount
  // Touched on the one event loop alone.
  private var open: [(id: ObjectIdentifier, channel: any Channel)] = []

  init(timeout: TimeAmount) { self.timeout = timeout }

  func add(_ channel: any Channel) {
    channel.eventLoop.preconditionInEventLoop()
    if open.count >= Self.most { open.removeFirst().channel.close(promise: nil) }
    let id = ObjectIdentifier(channel)
    open.append((id, channel))
    let late = channel.eventLoop.scheduleTask(in: timeout) { channel.close(promise: nil) }
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
  /// An answer is being made. It ends the connection, so what else was asked is not answered.
  private var isAnswering = false

  init(_ probes: Probes) { self.probes = probes }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !isAnswering else { return }
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
    let isRead = head.method == .GET || head.method == .HEAD
    let path = isRead ? head.uri.prefix { $0 != "?" } : ""
    let answer: Probes.Answer? =
      switch path {
      case "/live", "/health": probes.live
      case "/ready": probes.ready
      case "/startup": probes.startup
      default: nil
      }
    if path == "/metrics", let metrics = probes.metrics {
      respond(with: metrics, context)
    } else if let answer {
      respond(answer.isGood ? .ok : .serviceUnavailable, "application/json", answer.document, context)
    } else {
      let problem = Problem(
        .notFound, "here are /live, /ready, /startup and, once started and if switched on, /metrics")
      respond(.notFound, "application/problem+json", problem.document, context)
    }
  }

  /// They may be read from servers, so a task asks for them; the thread goes on with other probes.
  private func respond(with metrics: @escaping @Sendable () async -> [UInt8], _ context: ChannelHandlerContext) {
    isAnswering = true
    let loop = context.eventLoop, bound = NIOLoopBound((handler: self, context: context), eventLoop: loop)
    Task {
      let text = await metrics()
      loop.execute {
        let (handler, context) = bound.value
        handler.respond(.ok, "text/plain; version=0.0.4; charset=utf-8", text, context)
      }
    }
  }

  private func respond(
    _ status: HTTPResponseStatus, _ type: String, _ body: [UInt8], _ context: ChannelHandlerContext
  ) {
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
