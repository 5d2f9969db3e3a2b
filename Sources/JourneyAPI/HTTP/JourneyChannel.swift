import Hummingbird
import HummingbirdCore
import enum Journey.LogKey
import Logging
import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import NIOHTTPTypesHTTP1
import Synchronization

/// A connection of the API: HTTP/1.1 behind a guard, so many of them an address.
struct JourneyChannel: HTTPChannelHandler {
  typealias Value = NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>

  let responder: Responder
  let idleTimeout: Duration
  let peers: Peers
  let shares: Shares<Peer>
  /// Connections beyond an address's share whose client has time to read why; those beyond these are closed at once, so
  /// that refusals take no places of the others.
  let refusals: Shares<Peer>
  static let refusalsPerAddress = 4
  let fullLog: FullLog

  /// Says once a minute at most that an address has its share: what is wanted where it is a proxy is a setting.
  final class FullLog: Sendable {
    private let last = Mutex<ContinuousClock.Instant?>(nil)
    private let logger: Logger

    init(_ logger: Logger) { self.logger = logger }

    func isFull(_ address: SocketAddress?, _ most: Int) {
      let isNew = last.withLock { last in
        if let last, .now - last < .seconds(60) { return false }
        last = .now
        return true
      }
      guard isNew else { return }
      logger.warning(
        "an address has \(most) connections to the API, and gets no more (api.connectionsPerAddress); a proxy of your own belongs into api.trustedProxies",
        metadata: .fields([.code: "crowded", .address: address?.ipAddress]))
    }
  }

  func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
    channel.eventLoop.makeCompletedFuture {
      var limits = NIOHTTPDecoderLimitConfiguration()
      limits.maxHeaderFieldSize = 12 << 10
      limits.maxHeaderListSize = 32 << 10
      limits.maxHeaderFieldCount = 100
      let pipeline = channel.pipeline.syncOperations
      try pipeline.configureHTTPServerPipeline(
        withPipeliningAssistance: false, withErrorHandling: false, withOutboundHeaderValidation: false,
        withEncoderConfiguration: .init(),
        withDecoderLimitConfiguration: limits)
      try pipeline.addHandler(admit(channel))
      try pipeline.addHandler(HTTP1ToHTTPServerCodec(secure: false))
      try pipeline.addHandler(HTTPConnectionStateHandler(idleTimeout: idleTimeout, logger: logger))
      return try NIOAsyncChannel(
        wrappingChannelSynchronously: channel, configuration: .init(isOutboundHalfClosureEnabled: true))
    }
  }

  /// - Returns: the connection's guard, which refuses everything where the address has its share already.
  private func admit(_ channel: any Channel) -> RequestGuard {
    guard let address = addressBytes(channel.remoteAddress), !peers.isProxy(address) else { return RequestGuard() }
    let peer = Peer(address)
    guard shares.acquire(peer) else {
      fullLog.isFull(channel.remoteAddress, shares.most)
      let lingers = refusals.acquire(peer)
      if lingers { channel.closeFuture.whenComplete { [refusals] _ in refusals.giveBack(peer) } }
      return RequestGuard(
        refusing: Problem(
          .tooManyRequests, "there are \(shares.most) connections of this address already", headers: [.retryAfter: "5"]),
        lingers: lingers)
    }
    channel.closeFuture.whenComplete { [shares] _ in shares.giveBack(peer) }
    return RequestGuard()
  }

  func handle(value: Value, logger: Logger) async { await handleHTTP(asyncChannel: value, logger: logger) }
}
