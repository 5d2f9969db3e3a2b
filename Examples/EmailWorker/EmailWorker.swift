import AMQPClient
import Foundation
import Logging
import ServiceLifecycle
import UnixSignals

/// A worker of the channel email: takes actions from `journey.actions.email`, sends the mails, and reports their
/// outcomes. docs/workers.md says why each step is there.
///
/// The environment says what it needs:
///
///     AMQP_URL            its user of the broker: read on journey.actions.email, write on journey.outcomes
///     EMAIL_FROM          the sender's address
///     EMAIL_TEMPLATES     a directory with a text for each action, email_outreach.txt and so on
///     SENDMAIL            the program that takes mails; /usr/sbin/sendmail by default
///     JOURNEY_API_URL     the adapter's API, which is asked before each mail whether it may be sent; without it nobody is asked
///     JOURNEY_TOKEN_FILE  the file of a token for it
@main struct EmailWorker {
  static func main() async throws {
    let environment = ProcessInfo.processInfo.environment
    func required(_ name: String) -> String {
      guard let value = environment[name] else {
        FileHandle.standardError.write(Data("\(name) is not set\n".utf8))
        exit(78)
      }
      return value
    }
    let logger = Logger(label: "email-worker") { StreamLogHandler.standardError(label: $0) }
    let worker = Worker(
      broker: try AMQPConnectionSettings(uri: required("AMQP_URL"), connectionName: "email-worker"),
      mailer: Mailer(
        program: environment["SENDMAIL"] ?? "/usr/sbin/sendmail", from: required("EMAIL_FROM"),
        templates: required("EMAIL_TEMPLATES")),
      permission: environment["JOURNEY_API_URL"].map { Permission(api: $0, tokenFile: required("JOURNEY_TOKEN_FILE")) },
      logger: logger)
    try await ServiceGroup(services: [worker], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger).run()
  }
}
