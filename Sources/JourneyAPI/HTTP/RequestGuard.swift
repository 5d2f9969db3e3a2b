import HTTPTypes
import NIOCore
import NIOHTTP1

/// Stands between the parser and everything else on a connection, and holds three things for all routes at once:
///
/// - what is no sound request is answered with a problem document and ends the connection;
/// - an answer that must not have a body (to HEAD, 204, 304) never gets one, whoever wrote it: the client would take it
///   for the next answer;
/// - there is one answer a request, in order, and none after the connection's end was announced.
final class RequestGuard: ChannelDuplexHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias InboundOut = HTTPServerRequestPart
  typealias OutboundIn = HTTPServerResponsePart
  typealias OutboundOut = HTTPServerResponsePart

  /// How long a client may take to read the last answer, and what it still sends is thrown away meanwhile: a connection
  /// that is closed with bytes unread is reset, and the answer lost with it.
  private static let linger = TimeAmount.seconds(1)
  private let lingers: Bool

  private struct Open {
    var isHead: Bool
    var closes: Bool
  }
  /// Requests that are not answered yet.
  private var open: [Open] = []
  /// Whether a request's body is on its way.
  private var isReading = false
  /// Nothing more is read.
  private var isDeaf = false
  /// What is answered instead of what cannot be read, once the answers before it are written.
  private var refusal: (problem: Problem, isHead: Bool)?
  private var isClosing = false
  /// Of the answer that is being written.
  private var mayHaveBody = true
  private var isUnmappable = false

  /// - Parameters:
  ///   - refusal: what is answered, whatever comes.
  ///   - lingers: whether a client has time to read the last answer. Where it has none, the answer may be lost.
  init(refusing refusal: Problem? = nil, lingers: Bool = true) {
    self.refusal = refusal.map { ($0, false) }
    self.lingers = lingers
  }

  // MARK: In

  func channelActive(context: ChannelHandlerContext) {
    context.fireChannelActive()
    refuseNow(context)
  }

  func handlerAdded(context: ChannelHandlerContext) {
    if context.channel.isActive { refuseNow(context) }
  }

  private func refuseNow(_ context: ChannelHandlerContext) {
    guard refusal != nil, !isDeaf else { return }
    isDeaf = true
    sendRefusal(context)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !isDeaf else { return }
    switch unwrapInboundIn(data) {
    case .head(let head):
      if let problem = RequestFault.of(head) { return refuse(problem, isHead: head.method == .HEAD, context) }
      // After an upgrade the parser reads no further.
      let upgrades = head.method == .CONNECT || head.headers.contains(name: "upgrade")
      open.append(Open(isHead: head.method == .HEAD, closes: upgrades || !head.isKeepAlive))
      isReading = true
    case .body: break
    case .end: isReading = false
    }
    context.fireChannelRead(data)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    guard error is HTTPParserError else { return context.fireErrorCaught(error) }
    guard !isDeaf else { return }
    guard isReading else { return refuse(RequestFault.of(error), isHead: false, context) }
    // The request whose body breaks off is answered by its route.
    isDeaf = true
    open[open.count - 1].closes = true
    context.fireErrorCaught(error)
  }

  private func refuse(_ problem: Problem, isHead: Bool, _ context: ChannelHandlerContext) {
    isDeaf = true
    refusal = (problem, isHead)
    if open.isEmpty { sendRefusal(context) }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if isClosing, case ChannelEvent.inputClosed? = event as? ChannelEvent { return context.close(promise: nil) }
    context.fireUserInboundEventTriggered(event)
  }

  // MARK: Out

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    switch unwrapOutboundIn(data) {
    case .head(var head):
      guard let request = open.first, !isClosing else {
        isUnmappable = true
        return drop(promise)
      }
      if (100..<200).contains(head.status.code) { return context.write(data, promise: promise) }
      mayHaveBody = !request.isHead && head.status.mayHaveResponseBody
      // The encoder frames what has no length in chunks, and so writes an end even of nothing.
      if request.isHead, !head.headers.contains(name: "content-length") {
        head.headers.add(name: "content-length", value: "0")
      }
      if head.headers[canonicalForm: "connection"].contains("close") { open[0].closes = true }
      // The rest of a body that nobody reads is not waited for.
      if open.count == 1, isReading { open[0].closes = true }
      if open[0].closes { head.headers.replaceOrAdd(name: "connection", value: "close") }
      context.write(wrapOutboundOut(.head(head)), promise: promise)
    case .body:
      guard !isUnmappable, mayHaveBody else { return drop(promise) }
      context.write(data, promise: promise)
    case .end(let trailers):
      guard !isUnmappable else {
        isUnmappable = false
        return drop(promise)
      }
      context.write(wrapOutboundOut(.end(mayHaveBody ? trailers : nil)), promise: promise)
      let closes = open.isEmpty || open.removeFirst().closes
      if closes {
        isDeaf = true
        context.flush()
        end(context)
      } else if open.isEmpty, refusal != nil {
        sendRefusal(context)
      }
    }
  }

  /// What is not sent counts as sent: the writer has nothing to repair.
  private func drop(_ promise: EventLoopPromise<Void>?) { promise?.succeed() }

  private func sendRefusal(_ context: ChannelHandlerContext) {
    guard let (problem, isHead) = refusal, !isClosing else { return }
    refusal = nil
    var headers = HTTPHeaders(problem.fields.map { ($0.name.rawName, $0.value) })
    for (name, value) in SecurityHeadersMiddleware.headers { headers.replaceOrAdd(name: name.rawName, value: value) }
    let body = problem.document
    headers.replaceOrAdd(name: "content-length", value: "\(body.count)")
    headers.replaceOrAdd(name: "connection", value: "close")
    let status = HTTPResponseStatus(statusCode: problem.status.code, reasonPhrase: problem.status.reasonPhrase)
    context.write(
      wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: status, headers: headers))), promise: nil)
    if !isHead {
      context.write(wrapOutboundOut(.body(.byteBuffer(context.channel.allocator.buffer(bytes: body)))), promise: nil)
    }
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    end(context)
  }

  /// No more is sent; the connection is closed once the client has closed its side, or has had its time.
  private func end(_ context: ChannelHandlerContext) {
    guard !isClosing else { return }
    isClosing = true
    guard lingers else { return context.close(promise: nil) }
    context.close(mode: .output, promise: nil)
    let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
    context.eventLoop.scheduleTask(in: Self.linger) { bound.value.close(promise: nil) }
    // Also where what comes after this handler asks for no more.
    context.read()
  }
}
