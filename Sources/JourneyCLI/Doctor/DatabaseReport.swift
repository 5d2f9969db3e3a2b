import Journey
import JourneyConfiguration
import JourneyPostgres
import PostgresClient

/// The database: its version, its clock, its roles, its schema.
extension DiagnosticReport {
  /// - Returns: nil if the adapter's tables cannot be seen.
  mutating func database(_ settings: JourneyConfiguration.Settings) async -> StoreInspection? {
    var server: ServerInspection?
    let codes = (FindingCode.databaseUnreachable, FindingCode.databaseRefuses)
    var problem: String?
    let isReachable = await reach("database", codes, setting: "database.url (DATABASE_URL)") {
      do {
        let found = try await settings.withDatabase(asLogin: true, ServerInspection.run)
        server = found
        problem = found.writeProblem
        return "PostgreSQL \(found.version / 10000).\(found.version % 10000)"
      } catch let error as PostgresError where error.isOfReadOnlyServer {
        problem = error.reason
        return "reached"
      }
    }
    if let problem {
      add(
        "writes", .failure, .databaseReadOnly, problem,
        "wait until it accepts writes again, or correct database.url (DATABASE_URL)")
    }
    guard isReachable, let server else { return nil }
    add(KnownFaults.ofDatabase(server.version), "database version")
    add(ClockFinding(server.clock))
    if problem != nil { return nil }
    add("writes", .ok, .ok, "the database accepts writes")
    let checks = DatabaseChecks(settings: settings)
    await check("sessions", .sessionsLent, advice: SessionCheck.advice, checks.sessions)
    guard await schema(settings, checks, login: server.login) else { return nil }
    let inspection = await roles(settings, checks, login: server.login)
    await access(settings)
    await check("commits", .commitsFail, advice: "fix what is named, or run: \(Advice.migrate)", checks.commits)
    return inspection
  }

  private mutating func schema(
    _ settings: JourneyConfiguration.Settings, _ checks: DatabaseChecks, login: String
  ) async -> Bool {
    do {
      _ = try Migration.load(directory: settings.migrationsDirectory)
    } catch {
      add(
        "schema", .failure, .migrationsUnreadable, "\(error) (\(Self.absolute(settings.migrationsDirectory)))",
        "set migrations.directory (MIGRATIONS_DIRECTORY) to the directory of the .sql files; a relative path starts \(Self.origin)"
      )
      return false
    }
    do {
      add("schema", .ok, .ok, try await checks.schema())
      return true
    } catch let error as PostgresError where error.sqlState == "42501" {
      add(
        "role", .failure, .roleRefused,
        "\(login) may not read the adapter's tables: it is no member of journey_adapter",
        Self.membership(login))
    } catch {
      let failure = error as? Failure
      add(
        "schema", .failure, .schemaOutdated, failure?.message ?? "\(error)", failure?.advice ?? "run: \(Advice.migrate)"
      )
    }
    return false
  }

  private static func membership(_ login: String) -> String {
    "set database.role: journey_adapter (DATABASE_ROLE), and as the database's administrator: GRANT journey_adapter TO \"\(login)\""
  }

  private mutating func roles(
    _ settings: JourneyConfiguration.Settings, _ checks: DatabaseChecks, login: String
  ) async -> StoreInspection? {
    var inspection: StoreInspection?
    let role = settings.databaseRole
    await check("role", .roleRefused, advice: Self.membership(login)) {
      let found: StoreInspection
      do {
        found = try await checks.inspection()
      } catch let error as PostgresError where error.operation == "set up session" {
        throw Failure(.settings, "\(login) may not work as \(role), or there is no such role: \(error.message)")
      }
      inspection = found
      return "logged in as \(found.loginRole), working as \(found.workingRole)"
    }
    guard let found = inspection else { return nil }
    tenancy(found)
    self.login(found, role)
    if !found.missingPrivileges.isEmpty {
      add(
        "privileges", .failure, .privilegesMissing,
        "\(found.workingRole) lacks \(found.missingPrivileges.joined(separator: ", "))",
        "grant them as the owner of the tables, or run: \(Advice.migrate)")
    }
    for setting in found.unsafeSettings {
      let name = setting.prefix { $0 != " " }
      add(
        "durability", .warning, .durabilityOff, "\(setting): a crash of the server can lose acknowledged events",
        "as the database's administrator: ALTER SYSTEM SET \(name) = on; SELECT pg_reload_conf()")
    }
    return found
  }

  private mutating func tenancy(_ found: StoreInspection) {
    if found.isPrivileged {
      add(
        "tenancy", .failure, .rolePrivileged,
        "\(found.workingRole) is an owner, a superuser or bypasses row level security",
        "set database.role: journey_adapter (DATABASE_ROLE)")
    } else if !found.unprotectedTables.isEmpty {
      add(
        "tenancy", .failure, .rowSecurityOff,
        "row level security is off on \(found.unprotectedTables.joined(separator: ", "))",
        "as the owner of the tables: "
          + found.unprotectedTables.map { "ALTER TABLE \($0) ENABLE ROW LEVEL SECURITY" }.joined(separator: "; "))
    } else {
      add("tenancy", .ok, .ok, "row level security applies to \(found.workingRole)")
    }
  }

  private mutating func login(_ found: StoreInspection, _ role: String) {
    if found.loginIsSuperuser || found.loginOwnsTables {
      add(
        "login", .warning, found.loginIsSuperuser ? .loginSuperuser : .loginOwnsTables,
        found.loginIsSuperuser
          ? "\(found.loginRole) is a superuser"
          : "\(found.loginRole) owns tables of the adapter, or is a member of their owner: it can switch every protection off",
        "as the database's administrator: CREATE ROLE journey_login LOGIN PASSWORD '…' IN ROLE \(role.isEmpty ? "journey_adapter" : role), authenticated; then log in as journey_login (DATABASE_URL)"
      )
    }
    if !found.loginMayReadAsMember {
      add(
        "API", .warning, .loginNotMember,
        "\(found.loginRole) may not read as authenticated: every read of the API fails",
        "as the database's administrator: GRANT authenticated TO \"\(found.loginRole)\"")
    }
  }

  /// Privileges on the adapter's objects, and the types of the host's columns.
  private mutating func access(_ settings: JourneyConfiguration.Settings) async {
    var warnings: [String] = []
    await check(
      "access", .privilegesExcess,
      advice: "as the owner of the tables run: \(Advice.migrate); an administrator revokes what the owner may not"
    ) {
      let found = try await settings.withDatabase {
        try await AccessCheck.run(on: $0)
      }
      warnings = found.warnings
      guard found.problems.isEmpty else { throw Failure(.settings, found.problems.joined(separator: "\n")) }
      return "anon, authenticated and journey_adapter have exactly the privileges that they need"
    }
    if !warnings.isEmpty {
      add(
        "host", .warning, .hostPrivileges, warnings.joined(separator: "\n"),
        "revoke the privileges, unless the host needs them")
    }
    await check(
      "host columns", .hostColumns, advice: "change the columns' types, or add the columns that are missing",
      DatabaseChecks(settings: settings).hostColumns)
  }
}
