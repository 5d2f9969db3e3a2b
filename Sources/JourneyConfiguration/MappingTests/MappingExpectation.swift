import Journey

/// What a test expects of one element of a body: the outcome, and those fields that it names.
struct MappingExpectation {
  static let outcomes = ["event", "ignored", "unlisted", "rejected"]
  static let keys =
    outcomes + [
      "stage", "client", "id", "time", "by", "metadata", "link", "merge", "create", "email", "group", "field",
    ]

  var outcome: String
  /// The event type, the rule that ignores, the unlisted type, or the code of the rejection.
  var wanted: String
  var fields: [String: String] = [:]
  /// Members of the metadata as JSON.
  var metadata: [String: String] = [:]

  /// What differs; empty if the outcome is as expected.
  func differences(from found: MappingOutcome) -> [String] {
    let (outcome, text) = Self.describe(found)
    guard outcome == self.outcome, text == wanted else {
      var reason = ""
      if case .rejected(let rejection, _) = found { reason = ": \(rejection)" }
      return ["expected \(self.outcome) \(wanted), found \(outcome) \(text)\(reason)"]
    }
    var found = Self.fields(of: found)
    for (name, value) in metadata {
      found.fields["metadata.\(name)"] = found.metadata[name] ?? (value == "null" ? "null" : nil)
    }
    let wanted = fields.merging(metadata.map { ("metadata.\($0)", $1) }) { $1 }
    return wanted.sorted { $0.key < $1.key }.compactMap { name, value in
      let shown = found.fields[name] ?? ""
      let isSame = shown == value || name.hasPrefix("metadata.") && Self.isSameJSON(shown, value)
      return isSame ? nil : "\(name): expected \(value), found \(shown.isEmpty ? "nothing" : shown)"
    }
  }

  /// Whether two JSON texts mean the same: the order of members does not matter, the digits of numbers do.
  private static func isSameJSON(_ a: String, _ b: String) -> Bool {
    guard let a = try? JSONDocument(parsing: a).root, let b = try? JSONDocument(parsing: b).root else { return false }
    return isSame(a, b)
  }

  private static func isSame(_ a: JSONValue, _ b: JSONValue) -> Bool {
    guard a.kind == b.kind, a.count == b.count else { return false }
    switch a.kind {
    case .object: return a.members.allSatisfy { key, value in b[key].map { isSame(value, $0) } ?? false }
    case .array: return zip(a.elements, b.elements).allSatisfy { isSame($0, $1) }
    case .string, .number, .true, .false, .null: return a.text == b.text
    }
  }

  private static func describe(_ found: MappingOutcome) -> (outcome: String, text: String) {
    switch found {
    case .event(let event): ("event", event.type)
    case .ignored(let rule, _): ("ignored", rule)
    case .unlisted(let type): ("unlisted", type)
    case .rejected(let rejection, _): ("rejected", rejection.code.rawValue)
    }
  }

  private static func fields(of found: MappingOutcome) -> (fields: [String: String], metadata: [String: String]) {
    switch found {
    case .ignored, .unlisted: return ([:], [:])
    case .rejected(let rejection, _): return (["field": rejection.field ?? ""], [:])
    case .event(let event):
      var fields = [
        "stage": event.stage?.rawValue ?? event.minStage.map { "at least \($0.rawValue)" } ?? "keep",
        "client": event.client.externalID ?? event.client.id?.text ?? "", "id": event.sourceEventID,
        "time": event.occurredAt.iso8601, "by": (event.actor ?? EventTypes.actor(of: event.type) ?? .client).rawValue,
        "link": event.client.linked.joined(separator: ", "), "merge": event.client.merged.joined(separator: ", "),
        "email": event.client.email ?? "", "group": event.client.group ?? "",
      ]
      fields["create.name"] = event.client.creation?.name
      fields["create.email"] = event.client.creation?.email
      fields["create.phone"] = event.client.creation?.phone
      var metadata: [String: String] = [:]
      if let document = try? JSONDocument(parsing: event.metadata) {
        for (key, value) in document.root.members { metadata[key] = String(decoding: value.rawBytes, as: UTF8.self) }
      }
      return (fields, metadata)
    }
  }
}
