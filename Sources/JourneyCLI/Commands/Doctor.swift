import DeadLetters
import AMQPClient
import ArgumentParser
import Journey
import JourneyConfiguration
import JourneyAMQP
import JourneyPostgres
import PostgresClient

/// `journey doctor`
struct Doctor: Command {
  static let configuration = CommandConfiguration(
    abstract: "Check settings, rules, broker and database, and advise what to fix. Changes nothing.",
    discussion: "Exit status: 0 if there is no failure (warnings do not count), 78 otherwise.",
    examples: [
      "journey doctor",
      "journey doctor --config /etc/journey --json",
    ])

  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    var report = DiagnosticReport()
    var settings: JourneyConfiguration.Settings?
    await report.check("settings", advice: "fix what the message names") {
      let read = try await common.settings()
      settings = read
      return "log level \(read.logLevel), \(read.workers) workers, at most \(read.batchSize) events in a commit"
    }
    if let settings {
      await report.rules(settings)
      await report.broker(settings)
      await report.database(settings)
      await report.links(settings)
    }
    if output.json { printJSON(report.findings) } else { report.show() }
    if report.hasFailures { throw ExitCode(Failure.Status.settings.rawValue) }
  }
}

/// What the checks have found, in their order.
struct DiagnosticReport {
  enum Verdict: String, Encodable {
    case ok, warning, failure
  }
  struct Finding: Encodable {
    var subject: String
    var verdict: Verdict
    var text: String
    var advice: String?
  }

  private(set) var findings: [Finding] = []

  var hasFailures: Bool { findings.contains { $0.verdict == .failure } }

  /// - Returns: whether the check has passed.
  @discardableResult
  mutating func check(_ subject: String, advice: String, _ body: () async throws -> String) async -> Bool {
    do {
      add(subject, .ok, try await failing(.failed, body))
      return true
    } catch {
      let failure = error as? Failure
      add(subject, .failure, failure?.message ?? "\(error)", failure?.advice ?? advice)
      return false
    }
  }

  mutating func add(_ subject: String, _ verdict: Verdict, _ text: String, _ advice: String? = nil) {
    findings.append(Finding(subject: subject, verdict: verdict, text: text, advice: advice))
  }

  mutating func rules(_ settings: JourneyConfiguration.Settings) async {
    await check("mappings", advice: "fix the lines that the message names") {
      let sources = try await settings.mappings().sources
      guard sources.contains(InboundDecoder.cloudEvents) else {
        throw Failure(
          .settings, "there is no mapping for cloudevents in \(settings.mappingDirectories.joined(separator: ", "))")
      }
      return sources.joined(separator: ", ")
    }
    await check("decisions", advice: "fix the lines that the message names") {
      "version \(try await settings.decisions().version)"
    }
    add("publishers", .ok, settings.publishersInWords)
  }

  mutating func broker(_ settings: JourneyConfiguration.Settings) async {
    let names = settings.messagingNames
    let isReachable = await check("broker", advice: "start it, or fix AMQP_URL") {
      try await settings.withAdmin { try await $0.ping() }
    }
    guard isReachable else { return }
    await check("queues", advice: "run: journey topology apply") {
      try await settings.withAdmin { try TopologyCommand.refuse(try await $0.verify(names.topology)) }
      return "as required"
    }
    var alarm: String?
    let isPermitted = await check(
      "permissions", advice: "run the commands in the message as the broker's administrator"
    ) {
      try await settings.withAdmin {
        do { try await requirePermissions(settings, $0) } catch let error as AMQPError where error.code == .blocked {
          alarm = error.message
        }
      }
      return "all that serve needs"
    }
    // The check has passed without an answer about the permissions.
    if let alarm, isPermitted {
      findings.removeLast()
      add(
        "permissions", .warning, "not checked: the broker takes no messages for now (\(alarm))",
        "clear the broker's alarm (see rabbitmq-diagnostics alarms), then run journey doctor again")
    }
    let depths = try? await settings.withAdmin {
      (
        ingest: try await $0.messageCount(queue: names.ingest),
        dead: try await $0.messageCount(queue: names.deadLetters)
      )
    }
    guard let depths else { return }
    add("backlog", .ok, "\(depths.ingest) events wait in \(names.ingest)")
    if depths.dead > 0 {
      add(
        "dead letters", .warning, "\(depths.dead) wait in \(names.deadLetters)",
        "their header x-journey-reason says why")
    } else {
      add("dead letters", .ok, "none wait in \(names.deadLetters)")
    }
  }

  mutating func database(_ settings: JourneyConfiguration.Settings) async {
    let takesWrites = await check(
      "writes", advice: "start the database, fix DATABASE_URL, or wait until it accepts writes again"
    ) {
      if let problem = try await settings.withDatabase(asLogin: true, WriteCheck.problem) {
        throw Failure(.unavailable, problem)
      }
      return "the database accepts writes"
    }
    guard takesWrites else { return }
    let checks = DatabaseChecks(settings: settings)
    await check("sessions", advice: SessionCheck.advice, checks.sessions)
    guard await check("schema", advice: "run: journey migrate", checks.schema) else { return }
    var inspection: StoreInspection?
    await check(
      "database",
      advice: "allow the login role to work as \(settings.databaseRole): GRANT \(settings.databaseRole) TO …"
    ) {
      let found = try await checks.inspection()
      inspection = found
      return
        "PostgreSQL \(found.serverVersion / 10000).\(found.serverVersion % 10000), logged in as \(found.loginRole), working as \(found.workingRole)"
    }
    if let inspection { report(inspection) }
    await access(settings)
    await check("commits", advice: "fix what the message names, or run: journey migrate", checks.commits)
    await deadLetters(settings)
  }

  private mutating func deadLetters(_ settings: JourneyConfiguration.Settings) async {
    do {
      let (open, replays) = try await settings.withDatabase { worker in
        var new = DeadLetterFilter()
        new.states = [.new]
        return (
          try await DeadLetterRepository(worker: worker, actor: "").count(new),
          try await ReplayRepository(worker: worker, actor: "", clock: SystemClock()).open()
        )
      }
      if open > 0 {
        add("archive", .warning, "\(open.of("dead letter")) open in the archive", "journey dlq stats")
      } else {
        add("archive", .ok, "no dead letters open")
      }
      let cut = replays.filter { !$0.isUnderWay }
      guard !cut.isEmpty else { return }
      let left = cut.map(\.remaining).reduce(0, +)
      add(
        "replays", .warning, "\(left.of("dead letter")) of replays that were interrupted", "journey dlq replay --resume"
      )
    } catch {
      add(
        "archive", .failure, "\(error)",
        "allow \(settings.databaseRole) to read journey_dead_letters, or run: journey migrate")
    }
  }

  private mutating func report(_ found: StoreInspection) {
    if found.isPrivileged {
      add(
        "tenancy", .failure, "\(found.workingRole) is an owner, a superuser or bypasses row level security",
        "set database.role: journey_adapter")
    } else if !found.unprotectedTables.isEmpty {
      add(
        "tenancy", .failure, "row level security is off on \(found.unprotectedTables.joined(separator: ", "))",
        "ALTER TABLE … ENABLE ROW LEVEL SECURITY")
    } else {
      add("tenancy", .ok, "row level security applies to \(found.workingRole)")
    }
    if found.loginIsSuperuser {
      add(
        "login", .warning, "\(found.loginRole) is a superuser",
        "log in as a role that is only a member of journey_adapter")
    }
    if !found.loginMayReadAsMember {
      add(
        "API", .warning, "\(found.loginRole) may not read as authenticated: every read of the API fails",
        "GRANT authenticated TO \(found.loginRole)")
    }
    if !found.missingPrivileges.isEmpty {
      add(
        "privileges", .failure, "\(found.workingRole) lacks \(found.missingPrivileges.joined(separator: ", "))",
        "grant them, or run: journey migrate")
    }
    for setting in found.unsafeSettings {
      add("durability", .warning, "\(setting): a crash of the server can lose acknowledged events", "turn it on")
    }
    let waiting = "\(found.unpublishedActions.of("action")) not yet published"
    if found.stuckActions.isEmpty {
      add("outbox", .ok, waiting)
    } else {
      let stuck = found.stuckActions.map { "\($0.count) because \($0.reason)" }.joined(separator: "; ")
      add(
        "outbox", .warning, "\(waiting), of which failed: \(stuck)",
        "fix the causes; each action is retried within the hour, unless it has expired")
    }
  }

  func show() {
    let width = findings.map(\.subject.count).max() ?? 0
    for finding in findings {
      let (mark, color): (String, Output.Color) =
        switch finding.verdict {
        case .ok: ("ok     ", .green)
        case .warning: ("WARNING", .yellow)
        case .failure: ("FAILED ", .red)
        }
      let subject = finding.subject + String(repeating: " ", count: width - finding.subject.count)
      let indent = mark.count + 2 + width + 2
      Output.line(mark, color, "  \(subject)  \(Output.wrapped(finding.text, indent: indent))")
      if let advice = finding.advice {
        Output.line(String(repeating: " ", count: indent) + "-> ", advice)
      }
    }
  }
}

/// What `journey doctor` checks in the host's database: privileges on the adapter's objects, and the types of the host's
/// columns.
extension DiagnosticReport {
  mutating func access(_ settings: JourneyConfiguration.Settings) async {
    var warnings: [String] = []
    await check(
      "access",
      advice: "run journey migrate as the owner of the tables; an administrator revokes what the owner may not"
    ) {
      let found = try await settings.withDatabase {
        try await AccessCheck.run(on: $0)
      }
      warnings = found.warnings
      guard found.problems.isEmpty else { throw Failure(.settings, found.problems.joined(separator: "\n")) }
      return "anon, authenticated and journey_adapter have exactly the privileges that they need"
    }
    if !warnings.isEmpty {
      add("host", .warning, warnings.joined(separator: "\n"), "revoke the privileges, unless the host needs them")
    }
    await check(
      "host columns", advice: "change the columns' types, or add the columns that are missing",
      DatabaseChecks(settings: settings).hostColumns)
  }
}
