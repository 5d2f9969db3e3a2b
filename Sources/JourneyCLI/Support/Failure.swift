import AMQPClient
import ArgumentParser
import FoundationEssentials
import JourneyConfiguration
import JourneyPostgres
import PostgresClient

/// An end of a command that is not a success: one line for a person, and the exit status.
struct Failure: Error {
  enum Status: Int32 {
    case failed = 1
    case usage = 64
    case refusedInput = 65
    case unavailable = 69
    case settings = 78
  }

  var status: Status
  var message: String
  /// What to do about it.
  var advice: String?

  init(_ status: Status, _ message: String, advice: String? = nil) {
    self.status = status
    self.message = message
    self.advice = advice
  }
}

/// Runs a part of a command, and turns what it throws into a failure that a person understands.
func failing<Value>(_ status: Failure.Status, _ body: () async throws -> Value) async throws -> Value {
  do {
    return try await body()
  } catch let failure as Failure {
    throw failure
  } catch let status as ExitCode {
    throw status
  } catch let error as AMQPError {
    throw Failure(error)
  } catch let error as PostgresError {
    throw Failure(error)
  } catch {
    throw Failure(status, "\(error)")
  }
}

extension Failure {
  init(_ error: AMQPError) {
    switch error.code {
    case .invalidURI: self.init(.settings, "AMQP_URL: \(error.message)")
    case .blocked:
      self.init(.unavailable, "the broker takes no messages now: \(error.message)")
    case .limitReached:
      self.init(
        .unavailable,
        "the broker allows no further connection: \(error.message). Try again later, or raise its limit.")
    case .internalError where error.operation.hasPrefix("log in"):
      self.init(.unavailable, "the broker cannot let anybody in: \(error.message)")
    case .accessRefused where error.nativeCode == 403:
      self.init(
        .settings,
        "the broker's user lacks a permission: \(error.operation): \(error.message)",
        advice:
          "journey topology needs the owner's credentials: \(Advice.topology); journey doctor names what else is missing"
      )
    case .connectFailed, .timeout, .connectionLost:
      self.init(
        .unavailable, "the broker is not reachable: \(error.message)",
        advice: "start the broker, or correct amqp.url (AMQP_URL)")
    case .authentication, .accessRefused:
      self.init(
        .settings, "the broker refuses access: \(error.message)",
        advice: "correct user, password or virtual host in amqp.url (AMQP_URL)")
    case .tls: self.init(.settings, "no trusted connection to the broker: \(error.message)")
    default: self.init(.failed, "\(error)")
    }
  }

  init(_ error: PostgresError) {
    switch (error.kind, error.operation) {
    case (.permanent, "read connection string"): self.init(.settings, "DATABASE_URL: \(error.message)")
    case (.permanent, "connect") where error.sqlState == nil:
      self.init(
        .settings,
        "no connection to the database can be made as the settings are: \(error.message)",
        advice: "correct database.url (DATABASE_URL) or the PG variables")
    case (.permanent, "connect"):
      self.init(
        .settings, "the database refuses access: \(error.message)",
        advice: "correct user, password or database in database.url (DATABASE_URL)")
    case (.permanent, "set up session"):
      self.init(
        .settings,
        "the database refuses the session: \(error.message)",
        advice:
          "set database.role (DATABASE_ROLE) to a role that the login is a member of; journey migrate makes journey_adapter"
      )
    case _ where error.isOfConnecting && error.sqlState != nil:
      self.init(.unavailable, "the database takes no new session now: \(error.message)")
    case _ where error.isOfConnecting:
      self.init(
        .unavailable, "the database is not reachable: \(error.message)",
        advice: "start the database, or correct database.url (DATABASE_URL)")
    case _ where error.sqlState == "42P05" || error.sqlState == "26000":
      // Another client has prepared it, or has what was prepared here.
      self.init(
        .settings,
        "the database does not keep sessions: a pooler in transaction mode lends them out; \(SessionCheck.advice)")
    default: self.init(.failed, "\(error)")
    }
  }
}

/// A command whose failure becomes a message on standard error and the exit status.
protocol Command: AsyncParsableCommand {
  func execute() async throws
}

extension Command {
  func run() async throws {
    do {
      try await failing(.failed, execute)
    } catch let failure as Failure {
      Output.failure(failure.status.rawValue, failure.message, advice: failure.advice)
      throw ExitCode(failure.status.rawValue)
    }
  }
}
