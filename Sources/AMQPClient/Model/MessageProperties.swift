/// The basic properties of a message (AMQP 0-9-1, class basic).
///
/// Every text outside the headers is a short string of at most 255 bytes of UTF-8; publishing a longer one fails with
/// `tooLarge`.
public struct MessageProperties: Hashable, Sendable {
  public var contentType: String?
  public var contentEncoding: String?
  public var headers: FieldTable
  /// Delivery mode 2 (survives a broker restart in a durable queue) or 1.
  public var isPersistent: Bool
  /// 0...255; the queue decides how many levels it distinguishes.
  public var priority: UInt8?
  public var correlationID: String?
  public var replyTo: String?
  /// Time to live in milliseconds, as decimal text, as in AMQP.
  public var expiration: String?
  public var messageID: String?
  /// Seconds since 1970-01-01T00:00:00Z.
  public var timestamp: Int64?
  public var type: String?
  /// The broker refuses a message whose user id is not the connection's user.
  public var userID: String?
  public var appID: String?

  public init(
    contentType: String? = nil, contentEncoding: String? = nil, headers: FieldTable = FieldTable(),
    isPersistent: Bool = true,
    priority: UInt8? = nil, correlationID: String? = nil, replyTo: String? = nil, expiration: String? = nil,
    messageID: String? = nil,
    timestamp: Int64? = nil, type: String? = nil, userID: String? = nil, appID: String? = nil
  ) {
    self.contentType = contentType
    self.contentEncoding = contentEncoding
    self.headers = headers
    self.isPersistent = isPersistent
    self.priority = priority
    self.correlationID = correlationID
    self.replyTo = replyTo
    self.expiration = expiration
    self.messageID = messageID
    self.timestamp = timestamp
    self.type = type
    self.userID = userID
    self.appID = appID
  }
}
