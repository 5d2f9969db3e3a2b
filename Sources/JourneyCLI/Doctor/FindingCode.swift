/// What a finding of `journey doctor` is about, for programs. The texts may change, the codes do not.
///
/// docs/operations.md lists them with their meanings and cures.
enum FindingCode: String, Encodable, CaseIterable {
  case ok

  case settingsInvalid = "settings-invalid"
  case settingsDoubtful = "settings-doubtful"
  case mappingsMissing = "mappings-missing"
  case mappingsInvalid = "mappings-invalid"
  case decisionsInvalid = "decisions-invalid"

  case brokerUnreachable = "broker-unreachable"
  case brokerRefuses = "broker-refuses"
  case brokerVersion = "broker-version"
  case brokerAlarm = "broker-alarm"
  case queuesMissing = "queues-missing"
  case queuesDiffer = "queues-differ"
  case queuesUnlimited = "queues-unlimited"
  case managementUnreadable = "management-unreadable"
  case brokerPermissions = "broker-permissions"

  case databaseUnreachable = "database-unreachable"
  case databaseRefuses = "database-refuses"
  case databaseVersion = "database-version"
  case databaseReadOnly = "database-read-only"
  case clockSkew = "clock-skew"
  case sessionsLent = "sessions-lent"
  case migrationsUnreadable = "migrations-unreadable"
  case schemaOutdated = "schema-outdated"
  case roleRefused = "role-refused"
  case rolePrivileged = "role-privileged"
  case rowSecurityOff = "row-security-off"
  case loginSuperuser = "login-superuser"
  case loginOwnsTables = "login-owns-tables"
  case loginNotMember = "login-not-member"
  case privilegesMissing = "privileges-missing"
  case privilegesExcess = "privileges-excess"
  case hostPrivileges = "host-privileges"
  case hostColumns = "host-columns"
  case durabilityOff = "durability-off"
  case commitsFail = "commits-fail"

  case linkUnsafe = "link-unsafe"
  case certificateEnds = "certificate-ends"

  case paused
  case held
  case feedsSilent = "feeds-silent"
  case timeZonesUnknown = "time-zones-unknown"
  case eventsUnread = "events-unread"
  case eventsGrow = "events-grow"
  case eventsStill = "events-still"
  case retriesWait = "retries-wait"
  case actionsUnread = "actions-unread"
  case actionsGrow = "actions-grow"
  case actionsStill = "actions-still"
  case outboxFails = "outbox-fails"
  case outboxAbandoned = "outbox-abandoned"
  case outboxLate = "outbox-late"
  case deadLettersUnread = "dead-letters-unread"
  case deadLettersOpen = "dead-letters-open"
  case archiveUnreadable = "archive-unreadable"
  case replaysInterrupted = "replays-interrupted"

  var isUnreachable: Bool { self == .brokerUnreachable || self == .databaseUnreachable }
}
