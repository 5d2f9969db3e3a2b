import Foundation
import TestServers
import Testing

@testable import TestSupport

/// `journey org`, `member` and `contact`, as an operator without a host application uses them.
@Suite struct PeopleCommandTests {
  private static let org = "0193a6f2-0000-7000-8000-0000000000c1"
  private static let user = "0193a6f2-0000-7000-8000-0000000000d1"

  private struct Outcome: Decodable {
    var id: String?
    var outcome: String
  }

  /// The commands of a test, with the owner's login unless another is given.
  private struct Operator {
    let environment: TestEnvironment

    func run(_ arguments: [String], asService: Bool = false, input: String = "") async throws
      -> TestEnvironment.Finished
    {
      try await environment.run(
        arguments, environment: asService ? [:] : ["DATABASE_URL": environment.logins.ownerURL],
        input: Array(input.utf8))
    }

    @discardableResult
    func succeed(_ arguments: [String], asService: Bool = false, input: String = "") async throws -> String {
      let finished = try await run(arguments, asService: asService, input: input)
      try #require(finished.status == 0, "journey \(arguments.joined(separator: " ")): \(finished.errors)")
      return finished.output.trimmingCharacters(in: .newlines)
    }

    func refuse(
      _ arguments: [String], status: Int32 = 65, saying text: String, asService: Bool = false, input: String = "",
      _ location: SourceLocation = #_sourceLocation
    ) async throws {
      let finished = try await run(arguments, asService: asService, input: input)
      #expect(finished.status == status, "\(finished.errors)", sourceLocation: location)
      #expect(finished.errors.contains(text), "\(finished.errors)", sourceLocation: location)
    }
  }

  private static func with(_ body: (Operator) async throws -> Void) async throws {
    try await TestEnvironment.with { try await body(Operator(environment: $0)) }
  }

  @Test func organisationsAreAddedOnce() async throws {
    try await Self.with { it in
      let id = try await it.succeed(["org", "add", "Acme Ltd"])
      #expect(UUID(uuidString: id) != nil, "only the id, for a variable of the shell")
      #expect(try await it.succeed(["org", "add", "Acme Ltd"]) == id)
      #expect(try await it.succeed(["org", "add", "Roth", "--id", Self.org]) == Self.org)
      let again = try await it.succeed(["org", "add", "Roth", "--id", Self.org, "--json"])
      #expect(try JSONDecoder().decode(Outcome.self, from: Data(again.utf8)).outcome == "known")
      try await it.refuse(["org", "add", "Other", "--id", Self.org], saying: "is the organisation Roth")
      try await it.refuse(["org", "add", "Roth", "--id", Self.user], saying: "is the name of \(Self.org)")
      try await it.refuse(["org", "add", " "], saying: "is empty")
      try await it.refuse(["org", "add", "New", "--id", "7"], saying: "--id 7: expected the UUID")
      try await it.refuse(
        ["org", "add", "New"], status: 78, saying: "run it with the login that owns the tables", asService: true)
      #expect(try await it.environment.number("SELECT count(*) FROM organizations") == 2)
      #expect(try await it.succeed(["org", "list"], asService: true).contains(id))
    }
  }

  @Test func membersAreAddedChangedAndRemoved() async throws {
    try await Self.with { it in
      try await it.succeed(["org", "add", "Roth", "--id", Self.org])
      let member = ["--org", "Roth", "--user", Self.user]
      #expect(try await it.succeed(["member", "add"] + member).contains("is a member now"))
      #expect(try await it.succeed(["member", "add"] + member).contains("is a member already"))
      #expect(try await it.succeed(["member", "add", "--role", "admin"] + member).contains("the role admin now"))
      #expect(try await it.succeed(["member", "add"] + member).contains("is a member already"))
      let list = try await it.succeed(["member", "list", "--org", Self.org, "--json"])
      #expect(list.contains(Self.user) && list.contains("admin"))

      try await it.refuse(["member", "add", "--org", "Rot", "--user", Self.user], saying: "there are: Roth")
      try await it.refuse(["member", "add", "--org", "Roth", "--user", "ada"], saying: "expected the UUID of a user")
      try await it.refuse(
        ["member", "add", "--org", "Roth", "--user", "ada@roth.example"], saying: "no table auth.users")
      try await it.environment.execute(
        """
        CREATE TABLE auth.users (id uuid, email text); INSERT INTO auth.users VALUES ('\(Self.org)', 'ada@roth.example');
        GRANT USAGE ON SCHEMA auth TO PUBLIC; GRANT SELECT ON auth.users TO PUBLIC
        """)
      #expect(
        try await it.succeed(["member", "add", "--org", "Roth", "--user", "Ada@roth.example"])
          == "\(Self.org) is a member now")
      try await it.refuse(
        ["member", "add", "--org", "Roth", "--user", "bo@roth.example"], saying: "no user has this address")
      for command in ["add", "remove"] {
        try await it.refuse(["member", command] + member, status: 78, saying: "owns the tables", asService: true)
      }

      #expect(try await it.succeed(["member", "remove"] + member).contains("is no member any more"))
      try await it.refuse(["member", "remove"] + member, saying: "is not a member")
      // Two organisations of a host may share a name.
      try await it.environment.execute("INSERT INTO organizations (name) VALUES ('Roth')")
      try await it.refuse(["member", "list", "--org", "Roth"], saying: "2 organisations have this name; give the id")
    }
  }

  @Test func contactsAreAddedOnceAndCompleted() async throws {
    try await Self.with { it in
      try await it.succeed(["org", "add", "Roth", "--id", Self.org])
      try await it.succeed(["org", "add", "Other"])
      let ada = ["contact", "add", "--org", "Roth", "--email", "ada@roth.example"]
      // The service may do it, too.
      let id = try await it.succeed(ada + ["--name", "Ada"], asService: true)
      #expect(UUID(uuidString: id) != nil)
      #expect(try await it.succeed(ada + ["--name", "Ada"]) == id)
      #expect(try await it.succeed(ada + ["--phone", "+1", "--source-id", "stripe=cus_1"]) == id)
      #expect(try await it.environment.rows("SELECT name, phone FROM contacts") == [["Ada", "+1"]])
      #expect(
        try await it.succeed(["contact", "add", "--org", "Roth", "--source-id", "stripe=cus_1", "--name", "A. B."])
          == id,
        "the source's id alone")
      #expect(try await it.environment.rows("SELECT name FROM contacts") == [["Ada"]], "only --update replaces")
      try await it.succeed(ada + ["--name", "A. B.", "--update"])
      #expect(try await it.environment.rows("SELECT name FROM contacts") == [["A. B."]])

      let bo = try await it.succeed(["contact", "add", "--org", "Roth", "--email", "bo@roth.example"])
      try await it.refuse(
        ["contact", "add", "--org", "Roth", "--email", "bo@roth.example", "--source-id", "stripe=cus_1"],
        saying: "--email bo@roth.example is the client \(bo), but stripe:id cus_1 is the client \(id)")
      try await it.refuse(["contact", "add", "--org", "Other", "--id", id], saying: "of another organisation")
      try await it.refuse(
        ["contact", "add", "--org", "Roth", "--email", "bo.example"], saying: "is not an e-mail address")
      try await it.refuse(
        ["contact", "add", "--org", "Roth", "--name", "Cy"], saying: "needs an email, an id or a source's id")
      try await it.refuse(["contact", "add", "--org", "Roth", "--source-id", "cus_1"], saying: "expected SOURCE=ID")
      // The same address in another organisation is another contact.
      #expect(try await it.succeed(["contact", "add", "--org", "Other", "--email", "ada@roth.example"]) != id)
      let list = try await it.succeed(["contact", "list", "cus_1", "--org", "Roth", "--json"])
      #expect(list.contains(id) && list.contains("stripe cus_1") && !list.contains(bo))
      #expect(try await it.environment.number("SELECT count(*) FROM journey_identity_log WHERE action = 'linked'") == 1)
    }
  }

  @Test func anImportCanBeRepeated() async throws {
    try await Self.with { it in
      try await it.succeed(["org", "add", "Roth", "--id", Self.org])
      var csv = "\u{FEFF}Name,E-mail,Phone,stripe:id,hubspot:id\r\n".replacing("E-mail", with: "email")
      for number in 1...1200 { csv += "\"Client, \"\"\(number)\"\"\",c\(number)@roth.example,,cus_\(number),\r\n" }
      // Found by their address and their id within the file.
      csv += "Again,C7@roth.example,+7,,h7\r\n,,,cus_8,h8\r\n"
      let file = ["contact", "import", "-", "--org", "Roth"]
      let rehearsal = try await it.succeed(file + ["--dry-run"], input: csv)
      #expect(rehearsal == "1200 added, 1 updated, 1 unchanged, 1202 ids linked, 0 not stored; nothing was changed")
      #expect(try await it.environment.number("SELECT count(*) FROM contacts") == 0)
      #expect(
        try await it.succeed(file, input: csv) == "1200 added, 1 updated, 1 unchanged, 1202 ids linked, 0 not stored")
      let all = """
        SELECT c.*, (SELECT string_agg(d::text, ',' ORDER BY d::text) FROM journey_identities d WHERE d.client_id = c.id)
        FROM contacts c ORDER BY c.id
        """
      let before = try await it.environment.rows(all)
      #expect(
        try await it.succeed(file, input: csv) == "0 added, 0 updated, 1202 unchanged, 0 ids linked, 0 not stored")
      #expect(try await it.environment.rows(all) == before)
      #expect(
        try await it.environment.rows("SELECT name, phone FROM contacts WHERE email = 'c7@roth.example'")
          == [["Client, \"7\"", "+7"]])
    }
  }

  @Test func rowsThatCannotBeStoredAreNamed() async throws {
    try await Self.with { it in
      try await it.succeed(["org", "add", "Roth", "--id", Self.org])
      let foreign = try await it.succeed(["org", "add", "Other"])
      try await it.environment.execute(
        """
        INSERT INTO contacts (id, org_id, name) VALUES ('\(Self.user)', '\(foreign)', 'Foreign');
        INSERT INTO contacts (org_id, email) VALUES ('\(Self.org)', 'shared@roth.example'), ('\(Self.org)', 'shared@roth.example');
        ALTER TABLE contacts ADD CONSTRAINT host_check CHECK (phone <> 'none')
        """)
      var csv = "id;name;email;phone;stripe:id\n"
      for number in 2...300 { csv += ";n;n\(number)@roth.example;;\n" }
      csv += """
        \(Self.user);foreign;;;
        ;shared;shared@roth.example;;
        ;host;host@roth.example;none;
        7;number;;;
        ;short
        ;at;roth.example;;
        ;nobody;;;
        ;good;good@roth.example;;cus_1

        """
      let finished = try await it.run(["contact", "import", "-", "--org", "Roth"], input: csv)
      #expect(finished.status == 65)
      for text in [
        "-:301: id \(Self.user): belongs to a contact of another organisation",
        "-:302: email shared@roth.example: 2 clients of the organisation share it",
        "-:303: contact: the database refuses it:", "host_check", "-:304: id 7: is no UUID",
        "-:305: line: has 2 fields, not 5", "-:306: email roth.example: is not an e-mail address",
        "-:307: email: a contact needs an email",
      ] { #expect(finished.errors.contains(text), "\(text) in \(finished.errors)") }
      #expect(finished.output == "300 added, 0 updated, 0 unchanged, 1 ids linked, 7 not stored\n")
      #expect(try await it.environment.number("SELECT count(*) FROM contacts WHERE name = 'Foreign'") == 1)

      try await it.refuse(
        ["contact", "import", "-", "--org", "Roth"], saying: "-:1: column mail: unknown; expected id, name, email",
        input: "name,mail\n")
      try await it.refuse(
        ["contact", "import", "-", "--org", "Roth"], saying: "-:2: a quoted field has no end",
        input: "name,email\n\"a,b\n")
      try await it.refuse(
        ["contact", "import", "/nowhere.csv", "--org", "Roth"], saying: "/nowhere.csv cannot be read")
      try await it.refuse(
        ["contact", "import", "-", "--org", "Nobody"], saying: "there are: Other, Roth", input: "email\n")
      try await withTemporaryDirectory { directory in
        let path = directory + "/contacts.jsonl"
        try """
        {"name": "Ünal", "email": "u@roth.example", "hubspot:id": 4711}
        {"name": ["no text"]}
        {"nam": "x"}
        nothing
        """.write(toFile: path, atomically: true, encoding: .utf8)
        let finished = try await it.run(["contact", "import", path, "--org", "Roth", "--json"])
        #expect(finished.status == 65)
        for text in [":2: name: is no text", ":3: nam: unknown", ":4: line: is not valid JSON"] {
          #expect(finished.errors.contains(path + text), "\(finished.errors)")
        }
        #expect(finished.output.contains(#""added":1"#), "\(finished.output)")
        #expect(
          try await it.environment.rows("SELECT external_id FROM journey_identities WHERE source = 'hubspot'") == [
            ["4711"]
          ])
        try Data([0x61, 0x0A, 0xFF]).write(to: URL(fileURLWithPath: path))
        try await it.refuse(["contact", "import", path, "--org", "Roth"], saying: "contacts.jsonl:2: is not UTF-8")
      }
    }
  }
}
