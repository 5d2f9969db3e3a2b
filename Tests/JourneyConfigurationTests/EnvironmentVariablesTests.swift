import Testing

@testable import JourneyConfiguration

/// Which variables are taken for misspelt settings, and which for those of other programs.
@Suite struct EnvironmentVariablesTests {
  @Test(arguments: [
    ("PIPELINE_BATCHSIZE", "PIPELINE_BATCH_SIZE"), ("PIPELINE_LANE", "PIPELINE_WORKERS"),
    ("PIPELINE_WORKER", "PIPELINE_WORKERS"), ("INGEST_MAX_BODY_BYTES", "INGEST_MAXIMUM_BODY_BYTES"),
    ("API_MAX_CONNECTIONS", "API_MAXIMUM_CONNECTIONS"), ("AMQP_URI", "AMQP_URL"), ("AMPQ_URL", "AMQP_URL"),
    ("DATABSE_URL", "DATABASE_URL"),
    ("DATABASE_ULR", "DATABASE_URL"), ("database_url", "DATABASE_URL"), ("DATABASE_ROLES", "DATABASE_ROLE"),
    ("API_JWTSECRET", "API_JWT_SECRET"), ("API_JWT_SECERT_FILE", "API_JWT_SECRET_FILE"),
    ("DEADLETTERS_ARCHIVE", "DEAD_LETTERS_ARCHIVE"), ("RAW_BODIES_RETENTION_DAY", "RAW_BODIES_RETENTION_DAYS"),
    ("RETRY_TIER", "RETRY_TIERS"), ("LOG_LEVLE", "LOG_LEVEL"), ("JOURNEY_CONFG", "JOURNEY_CONFIG"),
  ])
  func aMisspeltNameIsAnErrorThatNamesTheRightOne(_ variable: String, _ meant: String) {
    let found = EnvironmentVariables([variable: "1"])
    #expect(found.problems == ["\(variable) in the environment is no setting; did you mean \(meant)?"])
    #expect(found.warnings.isEmpty)
    // Beside the right one it has no effect that anybody misses.
    let both = EnvironmentVariables([variable: "1", meant: "2"])
    #expect(both.problems.isEmpty && both.warnings.count == 1)
  }

  /// What others set on the same machine, or for the same process.
  @Test(arguments: [
    "DATABASE_HOST", "DATABASE_PORT", "DATABASE_USER", "DATABASE_NAME", "DATABASE_PASSWORD", "DATABASE_URL_TEST",
    "DATABASE_POOL_SIZE", "DATABASE_SSLMODE", "AMQP_HOST", "AMQP_PORT", "AMQP_USER", "AMQP_VHOST", "API_KEY",
    "API_TOKEN", "API_URL", "API_SECRET", "API_VERSION", "APP_PORT", "APP_HOST", "LOGLEVEL", "LOG_FILE", "LOG_DIR",
    "LOG_FORMAT", "BLOG_LEVEL", "GROUPS_FILE", "NAMES_FILE", "PUBLISH_DATE", "RETRY_COUNT", "MIGRATIONS_DIR",
    "JOURNEY_SERVICE_HOST", "JOURNEY_SERVICE_PORT", "JOURNEY_SERVICE_PORT_HTTP", "JOURNEY_PORT_8080_TCP_ADDR",
    "JOURNEY_PORT", "JOURNEY_VERSION", "JOURNAL_STREAM", "INVOCATION_ID", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET",
    "LISTEN_FDS", "WATCHDOG_USEC", "PGHOST", "PGPASSWORD", "PATH", "HOME", "LANG", "HOSTNAME", "PORT",
    "JOURNEY_BINARY", "JOURNEY_TEST_SEED",
  ])
  func whatIsNotNearlyASettingIsAnotherPrograms(_ variable: String) {
    let found = EnvironmentVariables([variable: "1"])
    #expect(found.problems.isEmpty && found.warnings.isEmpty, "\(found.problems) \(found.warnings)")
  }

  @Test func theVariablesOfAServiceCalledAPIAreNotOurs() {
    let found = EnvironmentVariables([
      "API_PORT": "tcp://10.96.0.12:80", "API_PORT_80_TCP": "tcp://10.96.0.12:80", "API_PORT_80_TCP_PROTO": "tcp",
      "API_SERVICE_HOST": "10.96.0.12", "API_SERVICE_PORT": "80", "API_HOST": "0.0.0.0",
    ])
    #expect(found.values == ["API_HOST": "0.0.0.0"] && found.problems.isEmpty && found.warnings.isEmpty)
  }

  @Test func anUnknownNameOfASectionThatOnlyWeHaveIsAWarning() {
    let found = EnvironmentVariables(["PIPELINE_THREADS": "8", "RAW_BODIES_ENCRYPTION_KEY": "x"])
    #expect(found.problems.isEmpty)
    #expect(found.warnings.count == 2 && found.warnings.allSatisfy { $0.hasSuffix("see journey settings describe") })
  }

  @Test func noSettingIsTakenForAnother() {
    for setting in Settings.all {
      guard let name = setting.environment else { continue }
      #expect(EnvironmentVariables([name: "1"]).problems.isEmpty)
    }
  }

  /// Another program's DATABASE_URI does not keep this one from starting.
  @Test func aNameThatIsNearlyOneOfASettingThatIsSetIsAWarning() {
    let found = EnvironmentVariables(["DATABASE_URI": "1"]) { $0.key == "database.url" }
    #expect(found.problems.isEmpty && found.warnings.count == 1)
    #expect(EnvironmentVariables(["DATABASE_URI": "1"]).problems.count == 1)
  }
}
