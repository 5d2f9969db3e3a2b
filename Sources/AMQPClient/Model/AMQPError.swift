/// A failure of the broker, of the connection to it, or of a request.
///
/// The text contains names (queue, exchange, vhost, host) and the broker's reply text, never a password, a header value
/// or a body, so it can be logged.
public struct AMQPError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The kind of failure, independent of who noticed it (this client, the C library or the broker).
  public enum Code: String, Hashable, Sendable, CaseIterable {
    /// The connection URI cannot be used; the message names the part.
    case invalidURI
    /// An argument of a call breaks an AMQP limit (for example a name longer than 255 bytes).
    case invalidArgument
    /// No TCP connection: the name did not resolve, or the host refused or did not answer.
    case connectFailed
    /// TLS could not be set up or the peer could not be verified.
    case tls
    /// The broker refused user and password, or the client certificate.
    case authentication
    /// The user lacks a permission, or the vhost does not exist (403, 530).
    case accessRefused
    /// The broker blocks publishers because it is low on memory or disk space; the message is its reason.
    case blocked
    /// The limit of connections or channels of this user, virtual host or node is reached (530).
    case limitReached
    /// The queue or exchange does not exist (404).
    case notFound
    /// The broker refused a condition (406): an inequivalent argument, an unknown delivery tag, an expired
    /// acknowledgement.
    case preconditionFailed
    /// Another connection holds the object exclusively (405).
    case resourceLocked
    /// The connection broke or the broker closed it.
    case connectionLost
    /// The broker closed the channel for any other reason.
    case channelClosed
    /// The broker cancelled the consumer, because its queue was deleted or moved.
    case consumerCancelled
    /// A deadline passed.
    case timeout
    /// Bytes arrived that AMQP 0-9-1 does not allow at that point.
    case protocolViolation
    /// Headers or body exceed what one frame or one message may hold.
    case tooLarge
    /// No queue took a mandatory message.
    case unroutable
    /// The broker refused to take responsibility for a message.
    case nacked
    /// The client was closed before the operation was done.
    case shutdown
    /// The broker or the library failed internally (541, out of memory).
    case internalError
  }

  public let code: Code
  /// The AMQP reply code (200...599) or the library's negative status, where there is one.
  public let nativeCode: Int?
  /// What was being done, for example `basic.consume journey.ingest`.
  public let operation: String
  public let message: String

  public init(_ code: Code, nativeCode: Int? = nil, operation: String, message: String) {
    self.code = code
    self.nativeCode = nativeCode
    self.operation = operation
    self.message = message
  }

  /// Whether the same operation may succeed later without a person changing anything.
  public var isRetriable: Bool {
    switch code {
    case .connectFailed, .connectionLost, .channelClosed, .consumerCancelled, .timeout, .resourceLocked, .blocked,
      .limitReached, .nacked,
      .internalError, .protocolViolation:
      true
    case .invalidURI, .invalidArgument, .tls, .authentication, .accessRefused, .notFound, .preconditionFailed,
      .tooLarge, .unroutable,
      .shutdown:
      false
    }
  }

  /// Whether the broker refused the operation itself (403, 404, 406). A retry fails the same way until a person changes
  /// something, unlike after a lost connection.
  public var isRefusal: Bool {
    switch code {
    case .accessRefused, .notFound, .preconditionFailed: true
    default: false
    }
  }

  public var description: String {
    let native = nativeCode.map { " (\($0))" } ?? ""
    return "\(operation): \(code.rawValue)\(native): \(message)"
  }
}

extension AMQPError {
  /// What happened, without the names of hosts, users and queues: for readers who may not see the whole text.
  public var reason: String {
    switch code {
    case .invalidURI, .invalidArgument: "the settings of the connection cannot be used"
    case .connectFailed: "no connection to the broker"
    case .tls: "TLS with the broker fails"
    case .authentication: "the broker refuses the login"
    case .accessRefused: "the broker refuses a permission, or the virtual host does not exist"
    case .blocked: "the broker takes no messages for now"
    case .limitReached: "the broker allows no further connection or channel"
    case .notFound: "a queue or an exchange does not exist"
    case .preconditionFailed: "the broker refuses a condition"
    case .resourceLocked: "another connection holds the queue for itself"
    case .connectionLost: "the connection to the broker broke"
    case .channelClosed: "the broker closed the channel"
    case .consumerCancelled: "the broker ended the consumer: its queue was deleted or moved"
    case .timeout: "the broker did not answer in time"
    case .protocolViolation: "the broker and the adapter do not understand each other"
    case .tooLarge: "a message is too large"
    case .unroutable: "no queue takes a message"
    case .nacked: "a queue is full"
    case .shutdown: "the connection was closed"
    case .internalError: "the broker failed in itself"
    }
  }
}

extension AMQPError.Code {
  /// The meaning of a reply code of `connection.close` or `channel.close` (AMQP 0-9-1, section 1.2).
  ///
  /// - Parameter text: the reply text, which distinguishes transient from permanent causes of the same code.
  init(replyCode: Int, text: String, closesChannel: Bool) {
    switch replyCode {
    // As in "access to vhost '/' refused for user 'u': connection limit (9) is reached". With the bracket, because a
    // virtual host or a user may be called "limit".
    case 530 where text.contains("limit ("): self = .limitReached
    case 311: self = .tooLarge
    case 402, 403, 530: self = .accessRefused
    case 404: self = .notFound
    case 405: self = .resourceLocked
    case 406: self = .preconditionFailed
    case 501, 502, 503, 504, 505: self = .protocolViolation
    case 506, 540, 541: self = .internalError
    default: self = closesChannel ? .channelClosed : .connectionLost
    }
  }
}
