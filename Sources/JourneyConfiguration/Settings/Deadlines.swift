/// How long the adapter waits for others before it acts: for each wait that has no end of its own.
///
/// Each is a key of the settings, in whole seconds. The heartbeat and the time to connect stand in the URLs, under the
/// names that those have for them.
public struct Deadlines: Hashable, Sendable {
  /// `amqp.requestSeconds`: for the broker's answer to a request; then the connection counts as lost. 1...300.
  public var brokerRequest = 10
  /// `amqp.stallSeconds`: how long a write to the broker may make no progress; then the connection is broken. An alarm
  /// of the broker stops writes, too, but is known, and does not count. 1...3,600.
  public var brokerStall = 30
  /// `amqp.reconnectSeconds`: the longest pause between two attempts to reach the broker. 1...600.
  public var brokerReconnect = 30
  /// `publish.confirmSeconds`: how long the broker may confirm nothing while something is outstanding; then the
  /// connection counts as lost. 1...600.
  public var confirm = 30
  /// `database.statementSeconds`: after this the server cancels a statement. 1...3,600.
  public var statement = 20
  /// `database.lockSeconds`: after this the server gives up waiting for a lock. 1...3,600.
  public var lock = 10
  /// `database.answerSeconds`: for any answer of the server; then the connection counts as lost. More than `statement`.
  /// 2...3,600.
  public var answer = 30
  /// `database.idleTransactionSeconds`: after this the server ends a session that does nothing inside a transaction,
  /// and with it its locks. 1...3,600.
  public var idleTransaction = 60
  /// `database.reconnectSeconds`: the longest pause between two attempts to reach the database. 1...600.
  public var databaseReconnect = 10
  /// `pipeline.retrySeconds`: the longest pause between two attempts to commit a batch. 1...600.
  public var commitRetry = 10

  public init() {}

  /// The keys by section, as they stand in the file.
  static let keys:
    [(section: String, key: String, range: ClosedRange<Int>, field: any WritableKeyPath<Deadlines, Int> & Sendable)] = [
      ("amqp", "requestSeconds", 1...300, \.brokerRequest), ("amqp", "stallSeconds", 1...3600, \.brokerStall),
      ("amqp", "reconnectSeconds", 1...600, \.brokerReconnect), ("publish", "confirmSeconds", 1...600, \.confirm),
      ("database", "statementSeconds", 1...3600, \.statement), ("database", "lockSeconds", 1...3600, \.lock),
      ("database", "answerSeconds", 2...3600, \.answer),
      ("database", "idleTransactionSeconds", 1...3600, \.idleTransaction),
      ("database", "reconnectSeconds", 1...600, \.databaseReconnect),
      ("pipeline", "retrySeconds", 1...600, \.commitRetry),
    ]

  static func keys(of section: String) -> [String] { keys.filter { $0.section == section }.map(\.key) }

  /// - Parameter read: key, default, range -> value.
  static func load(_ read: (String, Int, ClosedRange<Int>) -> Int) -> Deadlines {
    var deadlines = Deadlines()
    for (section, key, range, field) in keys {
      deadlines[keyPath: field] = read("\(section).\(key)", deadlines[keyPath: field], range)
    }
    return deadlines
  }

  /// What cannot be meant.
  var problems: [String] {
    answer > statement
      ? []
      : [
        "database.answerSeconds: \(answer) is not more than database.statementSeconds, \(statement): no slow statement would ever be cancelled"
      ]
  }
}
