import AMQPClient
import ArgumentParser
import FoundationEssentials
import Glibc
import Journey
import JourneyAMQP
import JourneyConfiguration
import JourneyPostgres
import PostgresClient

/// `journey roles credentials|sql|broker`
struct RolesCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "roles", abstract: "Create the logins of a least-privilege installation.",
    discussion: """
      An owner migrates and applies the topology; the service owns nothing, and only does what journey serve and operators need. Nothing here \
      connects to a server: an administrator reads what is printed, and runs it.

      journey roles credentials
      journey roles sql | sudo -u postgres psql
      journey roles broker | sudo rabbitmqctl import_definitions
      """,
    subcommands: [Credentials.self, SQL.self, Broker.self])

  /// The files with the logins' URLs.
  struct Directory: ParsableArguments {
    @Option(help: ArgumentHelp("The directory of credentials/ and owner/.", valueName: "path"))
    var directory = "/etc/journey"

    func path(_ file: String) -> String { "\(directory)/\(file)" }

    func text(_ file: String) throws -> String {
      guard let data = FileManager.default.contents(atPath: path(file)) else {
        throw Failure(.settings, "\(path(file)) cannot be read", advice: "run as root: journey roles credentials")
      }
      return String(String(decoding: data, as: UTF8.self).prefix { !$0.isNewline })
    }
  }

  struct Credentials: Command {
    static let configuration = CommandConfiguration(
      abstract: "Write files with the logins' URLs and random passwords. Changes no file that exists.",
      discussion: """
        credentials/amqp-url, database-url and jwt-secret are for journey serve; owner/amqp-url and database-url are for journey migrate and \
        journey topology apply; workers/CHANNEL/amqp-url is for the worker of a channel, see docs/workers.md. Only root can read them. To change a password, delete its file, and run all commands of journey roles again.
        """,
      examples: [
        "journey roles credentials",
        "journey roles credentials --worker email --worker voice",
        "journey roles credentials --database-host db.example.com:5432 --broker-host mq.example.com:5672",
      ])

    @OptionGroup var directory: Directory
    @Option(help: "Host and port of the database.")
    var databaseHost = "localhost:5432"
    @Option(help: "The database's name.")
    var database = "journey"
    @Option(help: "Host and port of the broker.")
    var brokerHost = "localhost:5672"
    @Option(help: "The broker's virtual host.")
    var vhost = "/"
    @Option(help: "The name of the owner.")
    var owner = "journey_owner"
    @Option(help: "The name of the service's login.")
    var service = "journey_service"
    @Option(
      help: ArgumentHelp("A channel whose worker gets a user of the broker, SERVICE_CHANNEL.", valueName: "channel"))
    var worker: [String] = []
    @OptionGroup var output: OutputOptions

    func execute() async throws {
      let channels = MessagingNames().channels
      if let unknown = worker.first(where: { !channels.contains($0) }) {
        throw Failure(.refusedInput, "--worker \(unknown): is none of \(channels.joined(separator: ", "))")
      }
      for (option, name) in [("--owner", owner), ("--service", service), ("--database", database)] {
        guard name.wholeMatch(of: /[A-Za-z_][A-Za-z0-9_]{0,62}/) != nil else {
          throw Failure(.refusedInput, "\(option) \(name): expected only a-z, A-Z, 0-9 and _")
        }
      }
      let host = vhost == "/" ? "" : AMQPConnectionSettings.percentEncoded(vhost)
      var files: [JSONObject] = []
      for (folder, login) in [("credentials", service), ("owner", owner)] {
        try makeFolder(folder)
        files.append(try write("\(folder)/amqp-url", "amqp://\(login):\(Self.secret())@\(brokerHost)/\(host)"))
        files.append(
          try write("\(folder)/database-url", "postgresql://\(login):\(Self.secret())@\(databaseHost)/\(database)"))
      }
      files.append(try write("credentials/jwt-secret", Self.secret()))
      for channel in worker {
        try makeFolder("workers/\(channel)")
        files.append(
          try write(
            "workers/\(channel)/amqp-url", "amqp://\(service)_\(channel):\(Self.secret())@\(brokerHost)/\(host)"))
      }
      if output.json { printJSON(files) }
    }

    private func makeFolder(_ name: String) throws {
      do {
        try FileManager.default.createDirectory(
          atPath: directory.path(name), withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
      } catch {
        throw Failure(.failed, "\(directory.path(name)) cannot be created: \(error)")
      }
    }

    /// - Returns: which file, and whether it is new.
    private func write(_ file: String, _ text: String) throws -> JSONObject {
      let path = directory.path(file)
      let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
      if descriptor < 0, errno == EEXIST {
        if !output.json { Output.line("exists   \(path)") }
        return ["file": path, "outcome": "exists"]
      }
      guard descriptor >= 0 else {
        throw Failure(.failed, "\(path) cannot be written: \(String(cString: strerror(errno)))")
      }
      Output.write(text + "\n", to: descriptor)
      close(descriptor)
      if !output.json { Output.line("written  \(path)") }
      return ["file": path, "outcome": "written"]
    }

    /// 24 random bytes, as hexadecimal digits.
    private static func secret() -> String {
      (0..<24).map { _ in
        let byte = UInt8.random(in: .min ... .max)
        return (byte < 16 ? "0" : "") + String(byte, radix: 16)
      }.joined()
    }
  }

  struct SQL: Command {
    static let configuration = CommandConfiguration(
      commandName: "sql",
      abstract: "Print the SQL that creates the database's roles, and the database if it is missing.",
      discussion: """
        For psql, as a superuser. It contains no password, only what the server stores of it. Existing roles keep their attributes and get the \
        passwords of the files; superusers keep theirs. It can be run again.
        """,
      examples: ["journey roles sql | sudo -u postgres psql"])
    @OptionGroup var directory: Directory

    func execute() async throws {
      let owner = try login("owner/database-url"), service = try login("credentials/database-url")
      guard owner.database == service.database else {
        throw Failure(
          .settings, "\(directory.path("owner/database-url")): names another database than credentials/database-url")
      }
      guard owner.user != service.user else {
        throw Failure(
          .settings, "\(directory.path("owner/database-url")): the owner and the service are the same login")
      }
      Output.line(
        RoleScript(
          database: owner.database, owner: (owner.user, owner.password),
          service: (service.user, service.password)
        ).text)
    }

    private func login(_ file: String) throws -> (user: String, password: String, database: String) {
      do {
        if let login = try PostgresSettings(conninfo: try directory.text(file)).login { return login }
      } catch let error as PostgresError {
        throw Failure(.settings, "\(directory.path(file)): \(error.message)")
      }
      throw Failure(.settings, "\(directory.path(file)): expected postgresql://user:password@host/database")
    }
  }

  struct Broker: Command {
    static let configuration = CommandConfiguration(
      abstract: "Print the definitions of the broker's users and their permissions.",
      discussion: """
        The owner, the service, and the worker of each channel that has a file workers/CHANNEL/amqp-url.

        For rabbitmqctl import_definitions, which changes nothing else. They contain no password, only a salted hash. The permissions follow \
        the names of the settings (names.…).
        """,
      examples: ["journey roles broker | sudo rabbitmqctl import_definitions"])
    @OptionGroup var directory: Directory
    @OptionGroup var common: CommonOptions

    func execute() async throws {
      let names = try await common.settings().messagingNames
      let owner = try user("owner/amqp-url"), service = try user("credentials/amqp-url")
      guard owner.virtualHost == service.virtualHost else {
        throw Failure(
          .settings, "\(directory.path("owner/amqp-url")): names another virtual host than credentials/amqp-url")
      }
      guard owner.user != service.user else {
        throw Failure(.settings, "\(directory.path("owner/amqp-url")): the owner and the service are the same user")
      }
      printJSON(
        BrokerRoles(names, virtualHost: owner.virtualHost).definitions(
          owner: (owner.user, owner.revealedPassword),
          service: (service.user, service.revealedPassword),
          workers: try names.channels.compactMap { channel in
            let file = "workers/\(channel)/amqp-url"
            guard FileManager.default.fileExists(atPath: directory.path(file)) else { return nil }
            let user = try user(file)
            return (channel, (user.user, user.revealedPassword))
          }))
    }

    private func user(_ file: String) throws -> AMQPConnectionSettings {
      do {
        return try AMQPConnectionSettings(uri: try directory.text(file), connectionName: "")
      } catch let error as AMQPError {
        throw Failure(.settings, "\(directory.path(file)): \(error.message)")
      }
    }
  }
}
