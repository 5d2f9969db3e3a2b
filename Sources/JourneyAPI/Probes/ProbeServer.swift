public import Logging
public import ServiceLifecycle
import HTTPTypes
import NIOCore
import NIOHTTP1
import NIOPosix

/// Answers probes on an address of its own, on a thread of its own: whatever takes the API's connections or the
/// program's other threads, a supervisor learns how it is. No token is needed, and it answers only what
/// probes ask.
public final class ProbeServer: Service {
  private let host: String
  private let port: Int
  private let readiness: @Sendable () -> Readiness
  private let logger: Logger

  /// - Parameter port: 0 is any free one.
  public init(host: String, port: Int, readiness: @escaping @Sendable () -> Readiness, logger: Logger) {
    self.host = host
    self.port = port
    self.readiness = readiness
    self.logger = logger
  }

  /// How long it waits before it tries again to listen.
  private static let pause = Duration.seconds(2)

  /// It never ends the process: where it cannot listen, for another instance has not ended yet, it says so and tries
  /// again, and the API's own `/live` and `/ready` are still there.
  public func run() async throws {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    await cancelWhenGracefulShutdown { [self] in
      while let channel = await listen(on: group) {
        let authority = host.contains(":") ? "[\(host)]" : host
        logger.info(
          "answering probes", metadata: ["at": "http://\(authority):\(channel.localAddress?.port ?? port)/ready"])
        try? await withTaskCancellationHandler {
          try await channel.closeFuture.get()
        } onCancel: {
          channel.close(promise: nil)
        }
      }
    }
    try? await group.shutdownGracefully()
  }

  /// - Returns: nil where the task is cancelled before.
  private func listen(on group: MultiThreadedEventLoopGroup) async -> (any Channel)? {
    var isReported = false
    while !Task.isCancelled {
      do {
        return try await bind(on: group)
      } catch {
        if !isReported {
          logger.error(
            "probes have no address of their own yet: \(host):\(port) cannot be served (\(error)); it is tried again, or change probes.port, or set probes.host to nothing"
          )
        }
        isReported = true
      }
      try? await Task.sleep(for: Self.pause)
    }
    return nil
  }

  private func bind(on group: MultiThreadedEventLoopGroup) async throws -> any Channel {
    let connections = ProbeConnections()
    return try await ServerBootstrap(group: group)
      .serverChannelOption(ChannelOptions.backlog, value: 64)
      .serverChannelOption(ChannelOptions.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { [readiness] channel in
        channel.eventLoop.makeCompletedFuture {
          connections.add(channel)
          let pipeline = channel.pipeline.syncOperations
          try pipeline.configureHTTPServerPipeline(withPipeliningAssistance: false, withErrorHandling: false)
          try pipeline.addHandler(RequestGuard())
          try pipeline.addHandler(ProbeHandler(readiness))
        }
      }
      .bind(host: host, port: port).get()
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

  private let readiness: @Sendable () -> Readiness
  private var head: HTTPRequestHead?

  init(_ readiness: @escaping @Sendable () -> Readiness) { self.readiness = readiness }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head): self.head = head
    case .body: break
    case .end:
      guard let head else { return }
      self.head = nil
      etagResponse(head, context)
    }
  }

  private func etagResponse(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
    let path = head.uri.prefix { $0 != "?" }
    let (status, type, body): (HTTPResponseStatus, String, [UInt8]) =
      switch (head.method, path) {
      case (.GET, "/live"), (.HEAD, "/live"), (.GET, "/health"), (.HEAD, "/health"):
        (.ok, "application/json", HealthRoutes.alive)
      case (.GET, "/ready"), (.HEAD, "/ready"): ready()
      default: (.notFound, "application/problem+json", Problem(.notFound, "here are /live and /ready alone").document)
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

  private func ready() -> (HTTPResponseStatus, String, [UInt8]) {
    let now = readiness()
    return (now.isReady ? .ok : .serviceUnavailable, "application/json", now.document)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
