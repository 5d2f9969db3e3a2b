/// Timeouts for the broker and the database, in seconds. Heartbeat and connect timeout are parameters of the URLs.
public struct Deadlines: Hashable, Sendable {
  public let brokerRequest: Int
  public let brokerStall: Int
  public let brokerReconnect: Int
  public let confirm: Int
  public let statement: Int
  public let lock: Int
  public let answer: Int
  public let idleTransaction: Int
  public let databaseReconnect: Int
  public let commitRetry: Int

  init(_ read: SettingsReader) {
    brokerRequest = read.integer(
      "amqp.requestSeconds", 10, 1...300, unit: .seconds,
      "timeout of a request to the broker; then the connection is closed")
    brokerStall = read.integer(
      "amqp.stallSeconds", 30, 1...3600, unit: .seconds,
      "timeout of a write without progress, unless the broker has blocked the connection")
    brokerReconnect = read.integer(
      "amqp.reconnectSeconds", 30, 1...600, unit: .seconds, "maximum delay between two attempts to reach the broker")
    confirm = read.integer(
      "publish.confirmSeconds", 30, 1...600, unit: .seconds, "timeout without a confirm while confirms are outstanding")
    statement = read.integer(
      "database.statementSeconds", 20, 1...3600, unit: .seconds, "the server cancels a statement after this")
    lock = read.integer(
      "database.lockSeconds", 10, 1...3600, unit: .seconds, "the server's lock timeout; commits wait 200 ms at most")
    answer = read.integer(
      "database.answerSeconds", 30, 2...3600, unit: .seconds,
      "a connection without an answer for this long is closed; more than `statementSeconds`")
    idleTransaction = read.integer(
      "database.idleTransactionSeconds", 60, 1...3600, unit: .seconds,
      "the server ends a session that is idle in a transaction for this long, and releases its locks")
    databaseReconnect = read.integer(
      "database.reconnectSeconds", 10, 1...600, unit: .seconds,
      "maximum delay between two attempts to reach the database")
    commitRetry = read.integer(
      "pipeline.retrySeconds", 10, 1...600, unit: .seconds, "maximum delay between two attempts to commit a batch")
    if answer <= statement {
      read.report(
        "database.answerSeconds: \(answer) is not more than database.statementSeconds, \(statement): no slow statement would ever be cancelled"
      )
    }
  }
}
