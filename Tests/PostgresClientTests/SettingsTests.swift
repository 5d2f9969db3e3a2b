import Testing

@testable import PostgresClient

@Suite struct SettingsTests {
  private static let uri = "postgresql://anna:s3cr%2Fet%22pw@a.example:5433,b.example/journey?sslmode=require"

  @Test func noDescriptionShowsThePassword() throws {
    let settings = try PostgresSettings(conninfo: Self.uri)
    #expect(settings.description == "postgresql://anna@a.example:5433,b.example/journey?sslmode=require")
    var dumped = ""
    dump(settings, to: &dumped)
    for text in ["\(settings)", String(reflecting: settings), dumped, "\([settings])"] {
      #expect(!text.contains("s3cr"))
    }
  }

  @Test(arguments: [
    "host=a passwordd=s3cr", "postgresql://anna:s3cr%zz@host/db", "postgres://[::1:s3cr/db", "password=s3cr host",
    "password='s3cr", "postgresql://anna:s3cr\"@h/db?nonsense=s3cr\"x",
  ])
  func wrongStringIsNamedWithoutQuotingIt(_ conninfo: String) throws {
    let error = try failure { _ = try PostgresSettings(conninfo: conninfo) }
    #expect(error.kind == .permanent)
    #expect(!error.description.contains("s3cr"))
  }

  @Test(arguments: [
    ("postgresql://u:s3cr@h/d?pgbouncer=true", "pgbouncer is Prisma's; leave it out"),
    ("postgresql://u:s3cr@h/d?sslmode=require&schema=public", "schema is Prisma's; leave it out"),
    ("postgresql://u:s3cr@h/d?connection_limit=s3cr", "connection_limit is Prisma's"),
    ("postgresql://u:s3cr@h/d?sslaccept=strict", "write sslmode=verify-full"),
    ("postgresql://u:s3cr@h/d?search_path=s3cr", "write options=-csearch_path"),
    ("postgresql://u:s3cr@h/d?sslMode=s3cr", "in lower case: sslmode"),
    ("postgresql://u:s3cr@h/d?sslmood=s3cr", "not known: sslmood"),
    ("postgresql://h:5/d?sslmood=s3cr", "not known: sslmood"),
    ("host=h sslmood=s3cr", "not known: sslmood"),
  ])
  func anUnknownParameterIsNamed(_ conninfo: String, _ words: String) throws {
    let error = try failure { _ = try PostgresSettings(conninfo: conninfo) }
    #expect(error.kind == .permanent && error.operation == "read connection string")
    #expect(error.message.contains(words), "\(error.message)")
    #expect(!error.description.contains("s3cr"))
  }

  /// libpq reads these only when it connects.
  @Test(arguments: [
    ("sslmode=s3cr", "sslmode"), ("sslmode=verify-full sslrootcert=/none/s3cr", "sslrootcert"),
    ("sslcert=/none/s3cr", "sslcert"), ("sslkey=/none/s3cr", "sslkey"),
    ("keepalives_idle=s3cr", "keepalives_idle"), ("channel_binding=s3cr", "channel_binding"),
    ("gssencmode=s3cr", "gssencmode"),
    ("target_session_attrs=s3cr", "target_session_attrs"),
    ("ssl_min_protocol_version=s3cr", "ssl_min_protocol_version"),
  ])
  func aSettingThatLibpqDoesNotTakeIsForAPerson(_ setting: String, _ words: String) throws {
    let error = try failure {
      _ = try PostgresConnection.connect(PostgresSettings(conninfo: "host=127.0.0.1 port=1 user=u dbname=d " + setting))
    }
    #expect(error.kind == .permanent, "\(error)")
    #expect(error.message.contains(words) && !error.message.contains("s3cr"), "\(error)")
  }

  /// A password that nobody percent-encoded or quoted ends up anywhere: no error, no description and no part that is
  /// shown shows a piece of it.
  @Test func noPartOfAPasswordIsReported() {
    let marks = [
      "", "?", "@", "#", "/", ":", "%", "&", "=", ",", ";", "[", "]", "\"", "'", " ", "\\", "//", "@/", "/@", "?=",
      "&a=", "%zz", ":1/", "/?", "?dbname=",
    ]
    let shapes = [
      "postgresql://user:<>@127.0.0.1:1/db", "postgres://user:<>@a,b:2/db?sslmode=require",
      "postgresql://:<>@/db?host=/tmp",
      "postgresql://user:<>@h?options=x",
      "postgresq://user:<>@h/db?a=b", "user:<>@h/db", "host=h password=<>", "host=h password='<>", "password=<> host",
      "postgresql:/user:<>@h",
    ]
    for shape in shapes {
      for one in marks {
        for two in marks {
          let text = shape.replacing("<>", with: "kanari\(one)vogel9\(two)amsel3")
          var shown = ""
          do throws(PostgresError) {
            let found = try PostgresSettings(conninfo: text)
            shown =
              "\(found) \(found.options["host"] ?? "") \(found.options["dbname"] ?? "") \(found.options["port"] ?? "")"
            dump(found, to: &shown)
          } catch {
            shown = "\(error) \(error.message)"
          }
          for word in ["kanari", "vogel9", "amsel3"] { #expect(!shown.contains(word), "\(text): \(shown)") }
        }
      }
    }
  }

  @Test func aParameterMayHoldAnAt() throws {
    let settings = try PostgresSettings(conninfo: "postgresql://h/db?user=app@tenant")
    #expect(
      settings.options["user"] == "app@tenant" && settings.options["host"] == "h" && settings.options["dbname"] == "db")
  }

  @Test func defaultsGiveWayToTheString() throws {
    let plain = try PostgresSettings(conninfo: "host=a")
    #expect(plain.options["target_session_attrs"] == "read-write")
    #expect(plain.options["tcp_user_timeout"] == "15000")
    let own = try PostgresSettings(
      conninfo: "host=a target_session_attrs=any tcp_user_timeout=1 connect_timeout=7 application_name=mine")
    #expect(own.options["target_session_attrs"] == "any")
    #expect(own.options["tcp_user_timeout"] == "1")
    #expect(own.connectTimeout == .seconds(7))
    #expect(own.applicationName == "mine")
  }

  @Test func everyHostIsACandidate() throws {
    let several = try PostgresSettings(conninfo: "postgresql://127.0.0.1:1,127.0.0.2:2/db")
    #expect(try HostCandidates.of(several.options).map { $0["hostaddr"] } == ["127.0.0.1", "127.0.0.2"])
    #expect(try HostCandidates.of(several.options).map { $0["port"] } == ["1", "2"])
    let socket = try PostgresSettings(conninfo: "host=/run/postgresql,10.0.0.1 port=5")
    let expected = [
      ["host": "/run/postgresql", "port": "5"], ["host": "10.0.0.1", "hostaddr": "10.0.0.1", "port": "5"],
    ]
    #expect(try HostCandidates.of(socket.options) == expected)
    let named = try PostgresSettings(conninfo: "host=db.example hostaddr=10.0.0.9")
    #expect(try HostCandidates.of(named.options) == [["host": "db.example", "hostaddr": "10.0.0.9"]])
    #expect(throws: PostgresError.self) { try HostCandidates.of(["host": "a,b,c", "port": "1,2"]) }
  }
}
