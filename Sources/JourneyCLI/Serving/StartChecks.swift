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
  let rules: DecisionRules
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
    // First: the others prepare statements.
    try await checkSessions()
    try await checkSchema()
    try await checkPrivileges()
    try await checkHostColumns()
    try await checkCommit()
    try await withAdmin(settings) {
      try TopologyCommand.refuse(try await $0.verify(settings.messagingNames.topology))
      do {
        try await requirePermissions(settings, $0)
      } catch let error as AMQPError where error.code == .blocked {
        // It passes, and events are stored meanwhile.
        logger.warning("the broker takes no messages for now, so its permissions are not checked: \(error.message)")
      }
    }
  }

  private func checkSchema() async throws {
    let files = try await failing(.settings) { try Migration.load(directory: settings.migrationsDirectory) }
    let pending = try await failing(.settings) {
      try await patiently {
        try await withDatabase(settings, role: nil, "check") { try await Migrator($0, files: files).pending() }
      }
    }
    guard pending.isEmpty else {
      throw Failure(
        .settings, "the schema lacks \(pending.map(\.fileName).joined(separator: ", ")); run: journey migrate")
    }
  }

  private func checkPrivileges() async throws {
    let found = try await failing(.settings) {
      try await patiently {
        try await withDatabase(settings, role: settings.workingRole, "check") { try await StoreInspection.run(on: $0) }
      }
    }
    guard found.missingPrivileges.isEmpty else {
      throw Failure(
        .settings,
        "\(found.workingRole) lacks \(found.missingPrivileges.joined(separator: ", ")); grant them, or run: journey migrate"
      )
    }
  }

  private func checkHostColumns() async throws {
    let problems = try await failing(.settings) {
      try await patiently {
        try await withDatabase(settings, role: settings.workingRole, "check") { try await HostColumns.problems($0) }
      }
    }
    guard problems.isEmpty else {
      let list = problems.joined(separator: "; ")
      throw Failure(.settings, "the host's tables have columns that the adapter cannot work with: \(list)")
    }
  }

  private func checkCommit() async throws {
    let problem = try await failing(.settings) {
      try await patiently {
        try await withDatabase(settings, role: settings.workingRole, "check") {
          try await CommitCheck.problem($0, signals: rules.signals)
        }
      }
    }
    if let problem {
      throw Failure(
        .settings,
        "the database would refuse every event: \(problem); nothing is taken from the queue. Fix what it names, or run: journey migrate"
      )
    }
  }

  private func checkSessions() async throws {
    let problem = try await failing(.settings) {
      try await patiently { try await SessionCheck.run(settings.database(role: nil)) }
    }
    if let problem { throw Failure(.settings, "\(problem); \(SessionCheck.advice)") }
  }

  /// Tries again, for a while, what the database refuses although the settings may be right.
  private func patiently<Value>(_ body: () async throws -> Value) async throws -> Value {
    let end = ContinuousClock.now + timeout
    var isLogged = false
    while true {
      do {
        return try await body()
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
