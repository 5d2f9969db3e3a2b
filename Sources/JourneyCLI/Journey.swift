import ArgumentParser
import Glibc

/// The program. Its first line is about signals: one that comes while the rest is still being set up must not be lost,
/// nor end `serve` as an accident would.
@main
enum Program {
  /// For `serve` alone: other commands end by a signal.
  @TaskLocal static var signals: ProcessSignals?

  static func main() async {
    let signals = CommandLine.arguments.dropFirst().first == "serve" ? ProcessSignals.install() : nil
    await $signals.withValue(signals) {
      do {
        if let unknown = UnknownCommand.failure(in: CommandLine.arguments.dropFirst()) { throw unknown }
        var command = try await JourneyCommand.asyncParseAsRoot()
        if var command = command as? any AsyncParsableCommand { try await command.run() } else { try command.run() }
        end(EXIT_SUCCESS)
      } catch let failure as Failure {
        Output.failure(failure.status.rawValue, failure.message, advice: failure.advice)
        end(failure.status.rawValue)
      } catch {
        let status = JourneyCommand.exitCode(for: error).rawValue
        let message = JourneyCommand.fullMessage(for: error)
        if !message.isEmpty {
          if status == EXIT_SUCCESS {
            Output.line(message)
          } else if Output.isJSON {
            Output.failure(status, JourneyCommand.message(for: error), advice: "see the command with --help")
          } else {
            Output.error(message)
          }
        }
        end(status)
      }
    }
  }

  /// Ends the process without the exit handlers of libraries: connection threads may still run, and would use what
  /// OpenSSL's handler frees.
  static func end(_ status: Int32) -> Never {
    LineLogHandler.flush(all: true)
    fflush(nil)
    _exit(status)
  }
}

/// The command `journey`: parses the command line and calls the modules. It has no behaviour of its
/// own.
struct JourneyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "journey",
    abstract: "Takes client events from RabbitMQ, keeps journeys in PostgreSQL, publishes the next best actions.",
    discussion: """
      Settings: flags win over the environment (AMQP_URL, DATABASE_URL, …), the environment over the file (--config, JOURNEY_CONFIG, config/journey.yaml, /etc/journey/journey.yaml).
      Exit status: 0 done; 1 failed, or not all of it done; 64 wrong usage; 65 input refused; 69 a server is not reachable; 78 settings, schema \
      or queues are not as they have to be.
      """,
    version: Build.version,
    subcommands: [
      Serve.self, Migrate.self, TopologyCommand.self, Publish.self, Map.self, Mappings.self, Explain.self, Actions.self,
      Trace.self,
      RecomputeCommand.self, Simulate.self, OrgCommand.self, MemberCommand.self, ContactCommand.self, RolesCommand.self,
      IdentityCommand.self, Events.self, Feeds.self, DLQ.self, Queues.self, Pause.self, Resume.self, HoldCommand.self,
      Consent.self, Decisions.self,
      Instances.self, Doctor.self,
      SettingsCommand.self, Token.self, VersionCommand.self,
    ])
}
