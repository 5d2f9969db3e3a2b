import ArgumentParser
import FoundationEssentials
import Journey
import JourneyConfiguration
import JourneyPostgres
import PostgresClient

/// The options of commands on the people of an organisation.
struct OrganizationOption: ParsableArguments {
  @Option(help: "The organisation: its id, or its name if no other has it.")
  var org: String

  @OptionGroup var common: CommonOptions

  /// Runs a body as the login itself, since the adapter's role may not write the host's tables.
  func perform<Value: Sendable>(_ body: (PostgresWorker, UUID) async throws -> Value) async throws -> Value {
    try await common.settings().withHostTables { worker in
      let repository = OrganizationRepository(worker: worker)
      let found = try await repository.list(org)
      // An id counts as one, whatever organisations are called.
      if let organization = found.first(where: { $0.id == UUID(uuidString: org) })
        ?? (found.count == 1 ? found[0] : nil)
      {
        return try await body(worker, organization.id)
      }
      guard found.isEmpty else {
        let ids = found.map(\.id.text).joined(separator: ", ")
        throw Failure(.refusedInput, "--org \(org): \(found.count) organisations have this name; give the id: \(ids)")
      }
      let known = try await repository.list().prefix(10).map { $0.name.plain(40) }.joined(separator: ", ")
      throw Failure(
        .refusedInput, "--org \(org): there is no such organisation",
        advice: known.isEmpty ? "add it: journey org add" : "there are: \(known)")
    }
  }
}

extension Settings {
  /// Runs a body as the login, and says what to do where the login may not write, or the host's tables want more.
  func withHostTables<Value>(_ body: (PostgresWorker) async throws -> Value) async throws -> Value {
    do {
      return try await withDatabase(asLogin: true, body)
    } catch let error as PostgresError {
      switch error.sqlState {
      case "42501":
        throw Failure(
          .settings, "the database's login may not do this: \(error.message)",
          advice: "run it with the login that owns the tables, as for: \(Advice.migrate)")
      case "42P01":
        throw Failure(.settings, "the tables are missing: \(error.message)", advice: "run: \(Advice.migrate)")
      case "23502":
        throw Failure(
          .refusedInput,
          "the host's table \(error.table ?? "") wants a value for \(error.column ?? "a column") that this command does not know",
          advice: "add it with the host application")
      case .some where error.kind == .poison:
        throw Failure(.refusedInput, "the database refuses it: \(error.message)")
      default: throw error
      }
    }
  }
}
