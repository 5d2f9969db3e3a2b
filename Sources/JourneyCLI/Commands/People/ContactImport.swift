import ArgumentParser
import FoundationEssentials
import Journey
import JourneyConfiguration
import JourneyPostgres

extension ContactCommand {
  /// `journey contact import FILE`
  struct Import: Command {
    static let configuration = CommandConfiguration(
      commandName: "import", abstract: "Add and complete contacts from a CSV or JSON Lines file.",
      discussion: """
        The columns, or members of each line's object: id, name, email, phone, time_zone (its IANA name), and SOURCE:id for the id by which a source knows the contact \
        (stripe:id, hubspot:id). A CSV file begins with a line of headings; fields may be in double quotes. A row means the contact that has its \
        id, one of its sources' ids, or its e-mail address; otherwise it is added. A second import of the same file changes nothing. Rows that \
        cannot be stored are reported with line, field and value, and do not stop the others. \
        Exit status: 0 if all are stored, 65 otherwise.
        """,
      examples: [
        "journey contact import clients.csv --org \"Acme Ltd\" --dry-run",
        "journey contact import clients.csv --org \"Acme Ltd\"",
      ])

    @Argument(help: ArgumentHelp("The file; - for CSV on standard input.", valueName: "file"), completion: .file())
    var file: String
    @Flag(help: "Show what would happen; change nothing.")
    var dryRun = false
    @Flag(help: "Replace other values that are stored; otherwise only fill empty ones.")
    var update = false
    @OptionGroup var organization: OrganizationOption
    @OptionGroup var actor: ActorOptions
    @OptionGroup var output: OutputOptions

    func execute() async throws {
      let content = try ContactFile.read(file)
      let (rows, isUpdate, isRehearsal, name, why) = (content.rows, update, dryRun, actor.name, "imported from \(file)")
      var report = try await organization.perform { worker, org in
        try await ContactRepository(worker: worker, orgID: org, actor: name).store(
          rows, replacesValues: isUpdate, isRehearsal: isRehearsal, why: why
        ) { Output.progress("\($0) of \(rows.count) contacts") }
      }
      Output.endProgress()
      report.faults = (content.faults + report.faults).sorted { $0.line < $1.line }
      for fault in report.faults {
        let value = fault.value.map { " \($0.plain(80))" } ?? ""
        Output.error("\(file):\(fault.line): \(fault.field)\(value): \(fault.message)")
      }
      if output.json {
        printJSON(
          [
            "dryRun": dryRun, "read": rows.count + content.faults.count, "added": report.added,
            "updated": report.updated, "unchanged": report.unchanged, "different": report.different,
            "linked": report.linked, "failed": report.faults,
          ] as JSONObject)
      } else {
        let counts =
          "\(report.added) added, \(report.updated) updated, \(report.unchanged) unchanged, \(report.linked) ids linked, "
          + "\(report.faults.count) not stored"
        Output.line(dryRun ? "\(counts); nothing was changed" : counts)
        if report.different > 0 {
          Output.error("\(report.different) have other values, which were left; --update replaces them")
        }
      }
      if !report.faults.isEmpty { throw ExitCode(Failure.Status.refusedInput.rawValue) }
    }
  }
}

/// The rows of a file, and what is wrong with the others.
struct ContactFile {
  private(set) var rows: [ContactRow] = []
  private(set) var faults: [ContactFault] = []

  static func read(_ path: String) throws -> ContactFile {
    let bytes = try Input.read(path)
    guard let text = String(validating: bytes, as: UTF8.self) else {
      let line = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        .firstIndex { String(validating: $0, as: UTF8.self) == nil }
      let number = line.map { "\($0 + 1)" } ?? "1"
      throw Failure(
        .refusedInput, "\(path):\(number): is not UTF-8; convert the file first: iconv -f WINDOWS-1252 -t UTF-8")
    }
    var file = ContactFile()
    let isJSON = path.hasSuffix(".jsonl") || path.hasSuffix(".ndjson")
    try isJSON ? file.readJSON(bytes) : file.readCSV(text, path)
    return file
  }

  private mutating func readCSV(_ text: String, _ path: String) throws {
    let lines: [(line: Int, fields: [String])]
    do {
      lines = try CSV.rows(text)
    } catch {
      throw Failure(.refusedInput, "\(path):\(error.line): a quoted field has no end")
    }
    guard let headings = lines.first?.fields else {
      throw Failure(.refusedInput, "\(path): is empty; expected headings such as name,email,phone,stripe:id")
    }
    var names: [String] = []
    for heading in headings {
      guard let name = Self.field(heading), !names.contains(name) else {
        let problem = names.contains(Self.field(heading) ?? "") ? "occurs twice" : "unknown; \(Self.expected)"
        throw Failure(.refusedInput, "\(path):1: column \(heading.plain(80)): \(problem)")
      }
      names.append(name)
    }
    for (line, fields) in lines.dropFirst() {
      guard fields.count == headings.count else {
        faults.append(ContactFault(line, "line", nil, "has \(fields.count.of("field")), not \(headings.count)"))
        continue
      }
      append(line, Array(zip(names, fields)))
    }
  }

  private mutating func readJSON(_ bytes: [UInt8]) {
    for (index, text) in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
      let line = index + 1
      if text.allSatisfy({ $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\r") || $0 == UInt8(ascii: "\t") }) {
        continue
      }
      do throws(JSONError) {
        let document = try JSONDocument(parsing: Array(text))
        guard document.root.kind == .object else {
          faults.append(ContactFault(line, "line", nil, "is no JSON object"))
          continue
        }
        var fields: [(String, String)] = []
        var fault: ContactFault?
        for (key, value) in document.root.members where !value.isNull {
          if let name = Self.field(key), let text = value.string ?? value.numberText {
            fields.append((name, text))
          } else {
            let problem = Self.field(key) == nil ? "unknown; \(Self.expected)" : "is no text"
            fault = ContactFault(line, key, nil, problem)
          }
        }
        if let fault { faults.append(fault) } else { append(line, fields) }
      } catch {
        faults.append(ContactFault(line, "line", nil, "is not valid JSON: \(error)"))
      }
    }
  }

  private static let expected = "expected id, name, email, phone, time_zone or SOURCE:id, such as stripe:id"

  /// The field that a heading or a member means, whose case does not matter; that of a source's name does.
  private static func field(_ name: String) -> String? {
    let lower = name.lowercased()
    if ["id", "name", "email", "phone", "time_zone"].contains(lower) { return lower }
    return lower.hasSuffix(":id") && name.count > 3 ? "\(name.dropLast(3)):id" : nil
  }

  private mutating func append(_ line: Int, _ fields: [(String, String)]) {
    var row = ContactRow(line: line)
    for (name, value) in fields where !value.isEmpty {
      switch name {
      case "id":
        guard let id = UUID(uuidString: value) else {
          faults.append(
            ContactFault(line, "id", value, "is no UUID; the id of a source belongs into a column such as stripe:id"))
          return
        }
        row.id = id
      case "name": row.name = value
      case "email": row.email = value
      case "phone": row.phone = value
      case "time_zone":
        guard TimeZones.system.isKnown(value) else {
          return faults.append(ContactFault(line, name, value, "is no IANA name of a time zone, such as Europe/Berlin"))
        }
        row.timeZone = value
      default: row.sourceIDs.append(SourceID(source: String(name.dropLast(3)), id: value))
      }
    }
    rows.append(row)
  }
}
