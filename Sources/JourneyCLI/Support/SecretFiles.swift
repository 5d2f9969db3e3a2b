import AMQPClient
import JourneyConfiguration
import PostgresClient

/// What makes the content of a file of a secret usable: throws if it is not.
typealias SecretCheck = @Sendable (String) throws -> Void

extension JourneyConfiguration.Settings {
  /// The files of secrets that are in use, with what each has to hold.
  var secretFiles: [(file: SecretFile, check: SecretCheck)] {
    let files: [(SecretFile?, SecretCheck)] = [
      (amqpURLFile, checkOfBroker), (databaseURLFile, Self.checkOfDatabase),
      (api.secretFile, { try APIOptions.check(SecretFile.lines(of: $0)) }),
    ]
    return files.compactMap { file, check in file.map { ($0, check) } }
  }

  /// Messages are published under the name of the user, and known as the adapter's own by it.
  var checkOfBroker: SecretCheck {
    { [brokerUser] uri in
      let user: String?
      do throws(AMQPError) { user = try AMQPConnectionSettings(uri: uri, connectionName: "").userID } catch {
        throw SettingsError(error.message)
      }
      guard user == brokerUser else {
        throw SettingsError("it names another user than at the start, which takes a restart")
      }
    }
  }

  static let checkOfDatabase: SecretCheck = {
    do throws(PostgresError) { _ = try PostgresSettings(conninfo: $0) } catch { throw SettingsError(error.message) }
  }
}

extension SecretFile {
  /// Reads the file each time. What is not usable is passed over: `FileReload` says why.
  func current(_ check: @escaping SecretCheck) -> @Sendable () -> String {
    {
      try? self.reload(check)
      return self.text
    }
  }
}
