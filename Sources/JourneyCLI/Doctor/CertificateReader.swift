import FoundationEssentials
import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS
import Synchronization

/// Reads when certificates end. It sends no credentials and verifies nothing, so that it can also read a certificate
/// that has ended, for which no connection comes about.
enum CertificateReader {
  enum Greeting { case direct, postgres }

  /// The limit for connecting, and again for the handshake.
  private static let limit = TimeAmount.seconds(3)

  /// - Returns: the end of the first certificate to end in the chain that the server shows; nil if it shows none.
  static func end(host: String, port: Int, _ kind: Greeting) async -> Date? {
    let shown = ShownCertificates()
    guard let context = try? NIOSSLContext(configuration: .makeClientConfiguration()),
      let channel = try? await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connectTimeout(limit)
        .channelInitializer({ channel in
          channel.eventLoop.makeCompletedFuture {
            let secure = { @Sendable in
              // A name only: the handshake of an address carries none.
              try NIOSSLClientHandler(context: context, serverHostname: isName(host) ? host : nil) { chain, verdict in
                shown.record(chain)
                verdict.succeed(.certificateVerified)
              }
            }
            let pipeline = channel.pipeline.syncOperations
            switch kind {
            case .direct: try pipeline.addHandler(secure())
            case .postgres: try pipeline.addHandler(PostgresTLSRequest(secure))
            }
            try pipeline.addHandler(EndOfHandshake(limit))
          }
        }).connect(host: host, port: port).get()
    else { return nil }
    try? await channel.closeFuture.get()
    return shown.end
  }

  /// - Returns: nil if the file holds no certificate that can be read.
  static func end(ofFile path: String) -> Date? {
    ShownCertificates.end(of: (try? NIOSSLCertificate.fromPEMFile(path)) ?? [])
  }

  private static func isName(_ host: String) -> Bool {
    !host.contains(":") && host.contains { !$0.isNumber && $0 != "." }
  }
}

private final class ShownCertificates: Sendable {
  private let first = Mutex<Date?>(nil)

  var end: Date? { first.withLock { $0 } }

  func record(_ chain: [NIOSSLCertificate]) { first.withLock { $0 = Self.end(of: chain) } }

  static func end(of chain: [NIOSSLCertificate]) -> Date? {
    chain.map { Date(timeIntervalSince1970: Double($0.notValidAfter)) }.min()
  }
}

/// Asks a PostgreSQL server for TLS, and begins it where the server agrees.
private final class PostgresTLSRequest: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let secure: () throws -> NIOSSLClientHandler

  init(_ secure: @escaping () throws -> NIOSSLClientHandler) { self.secure = secure }

  func channelActive(context: ChannelHandlerContext) {
    // The next handler limits the time.
    context.fireChannelActive()
    // Length 8 and the code of an SSLRequest.
    let request = context.channel.allocator.buffer(bytes: [0, 0, 0, 8, 0x04, 0xD2, 0x16, 0x2F])
    context.writeAndFlush(wrapOutboundOut(request), promise: nil)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let pipeline = context.pipeline.syncOperations
    guard unwrapInboundIn(data).readableBytesView.first == UInt8(ascii: "S"), let handler = try? secure(),
      (try? pipeline.addHandler(handler, position: .first)) != nil
    else { return context.close(promise: nil) }
    pipeline.removeHandler(context: context, promise: nil)
  }
}

/// Closes the connection once the handshake is done, has failed, or takes too long.
private final class EndOfHandshake: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let limit: TimeAmount
  init(_ limit: TimeAmount) { self.limit = limit }

  func channelActive(context: ChannelHandlerContext) {
    let channel = context.channel
    context.eventLoop.scheduleTask(in: limit) { channel.close(promise: nil) }
    context.fireChannelActive()
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    guard let event = event as? TLSUserEvent, case .handshakeCompleted = event else { return }
    context.close(promise: nil)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
