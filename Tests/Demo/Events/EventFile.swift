import Foundation

/// Bodies of one source, one a line, as `journey publish` reads them.
struct EventFile {
  /// The vendor and whose bodies they are; nil for CloudEvents, which say so themselves.
  let vendor: (name: String, organisation: Organisation)?
  var lines: [String]

  var name: String { vendor.map { "\($0.name).\($0.organisation.key)" } ?? "cloudevents" }
  var options: [String] { vendor.map { ["--source", $0.name, "--org", $0.organisation.id] } ?? [] }

  /// Writes the file.
  /// - Returns: its path.
  func write(in directory: String) throws -> String {
    let path = "\(directory)/\(name).jsonl"
    try Data(lines.map { $0 + "\n" }.joined().utf8).write(to: URL(fileURLWithPath: path))
    return path
  }

  /// The first bodies, to be sent a second time.
  func first(_ count: Int) -> EventFile { EventFile(vendor: vendor, lines: Array(lines.prefix(count))) }

  /// The files of `Data/unusable`: VENDOR.ORGANISATION.jsonl or cloudevents.jsonl, with placeholders for the time.
  static func unusable(_ organisations: [String: Organisation], now: Date) throws -> [EventFile] {
    let seconds = Int(now.timeIntervalSince1970)
    return try FileManager.default.contentsOfDirectory(atPath: DataFile.directory + "/unusable").sorted().map { file in
      let parts = file.split(separator: ".").map(String.init)
      let organisation = organisations[parts.count == 3 ? parts[1] : ""]
      let text = try DataFile("unusable/\(file)").text
        .replacing("@SECONDS@", with: String(seconds)).replacing("@RFC3339@", with: Occurrence.rfc3339(seconds))
      return EventFile(
        vendor: organisation.map { (parts[0], $0) }, lines: text.split(separator: "\n").map(String.init))
    }
  }
}
