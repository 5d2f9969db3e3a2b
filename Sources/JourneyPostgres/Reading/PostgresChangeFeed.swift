import FoundationEssentials
public import Journey
public import PostgresClient

/// Distributes changes to all instances by LISTEN and NOTIFY. Any login may use any channel, so the channel has a name
/// that only the adapter can read.
public struct PostgresChangeFeed: ChangeFeed {
  private let notifier: PostgresWorker
  private let listener: PostgresWorker

  /// - Parameter listener: used by this feed only, because its thread waits for messages.
  public init(notifier: PostgresWorker, listener: PostgresWorker) {
    self.notifier = notifier
    self.listener = listener
  }

  public func notify(_ changes: [JourneyChange]) async throws {
    // The server accepts at most 8,000 bytes per message; 51 ids are well below that.
    let payloads = changes.map { change in ([change.orgID] + change.clients).map(\.text).joined(separator: " ") }
    try await notifier.perform { connection in
      _ = try connection.execute(Self.notify, PostgresParameters { $0.texts(payloads) })
    }
  }

  public func listen(_ receive: @escaping @Sendable (JourneyChange) -> Void) async throws {
    let (session, channel) = try await listener.perform { connection in
      let channel = try connection.execute(Self.channel).text(0, 0)
      try connection.execute("LISTEN \(channel)")
      return (connection.serial, channel)
    }
    while !Task.isCancelled {
      let messages = try await listener.perform { connection in
        // A replaced connection does not listen, and would wait forever.
        guard connection.serial == session else {
          throw PostgresError(.transient, operation: "listen", "the connection was replaced")
        }
        return try connection.notifications(within: .milliseconds(500))
      }
      for message in messages where message.channel == channel {
        let ids = message.payload.split(separator: " ").compactMap { UUID(hyphenated: String($0)) }
        if let org = ids.first { receive(JourneyChange(orgID: org, clients: Set(ids.dropFirst()))) }
      }
    }
  }

  private static let name = "(SELECT 'journey_changes_' || value FROM journey_secrets WHERE name = 'changes')"
  private static let channel = PostgresStatement(
    name: "read_channel", "SELECT \(name) WHERE \(name) ~ '^[a-z0-9_]{20,60}$'")
  private static let notify = PostgresStatement(
    name: "announce_changes", "SELECT pg_notify(\(name), payload) FROM unnest($1::text[]) AS payload")
}
