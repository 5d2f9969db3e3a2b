import AMQPClient
import Journey
import JourneyConfiguration
import JourneyAMQP
import JourneyPostgres
import Logging
import PostgresClient

/// What has to be in order before anything is taken from the queue: each start that fails later costs the messages it
/// had taken one of their deliveries.
struct StartChecks {
  let settings: JourneyConfiguration.Settings
  /// Gets the name of each check before it begins.
  let onCheck: (String) -> Void
  let logger: Logger
  /// How long a login that is refused is tried again: a password may be in the middle of a change, a database of being
  /// renamed or restored.
  var timeout = Duration.seconds(10)

  func run() async throws {
    guard settings.publishers == nil || settings.brokerUser != nil else {
      throw Failure(
        .settings,
        "publishers cannot be checked: amqp.url names no user; with a client certificate write it there (amqps://USER@…)"
      )
    }
    let checks = DatabaseChecks(settings: settings)
    // First: the others prepare statements.
    try await check("the database's sessions", checks.sessions)
    try await check("the database's schema", checks.schema)
    try await check("the role's privileges") {
      let found = try await checks.inspection()
      guard found.missingPrivileges.isEmpty else {
        throw Failure(
          .settings, "\(found.workingRole) lacks \(found.missingPrivileges.joined(separator: ", "))",
          advice: "grant them, or run: \(Advice.migrate)")
      }
      return ""
    }
    try await check("the host's columns", checks.hostColumns)
    try await check("a commit without work", checks.commits)
    onCheck("the broker's queues and permissions")
    try await settings.withAdmin {
      try TopologyCommand.refuse(try await $0.verify(settings.messagingNames.topology))
      do {
        try await requirePermissions(settings, $0)
      } catch let error as AMQPError where error.code == .blocked {
        // It passes, and events are stored meanwhile.
        logger.warning("the broker takes no messages for now, so its permissions are not checked: \(error.message)")
      }
    }
  }

  /// Runs a check. Tries again, for a while, what the database refuses although the settings may be right.
  private func check(_ what: String, _ body: () async throws -> String) async throws {
    onCheck(what)
    let end = ContinuousClock.now + timeout
    var isLogged = false
    while true {
      do {
        _ = try await body()
        return
      } catch let error as PostgresError
        where error.isOfConnecting && error.kind == .permanent && error.sqlState != nil && .now < end
      {
        if !isLogged {
          logger.warning(
            "the database refuses the login, trying again for \(timeout.components.seconds) s: \(error.message)")
        }
        isLogged = true
        try await Task.sleep(for: .milliseconds(500))
      }
    }
  }
}
