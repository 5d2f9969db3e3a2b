/// A first draft of a mapping, made from one body: it guesses the fields for id, type, time and client.
public struct MappingDraft {
  /// The draft as a mapping file.
  public let text: String

  public init(_ document: JSONDocument, source: String) {
    let (elements, split) = Self.elements(of: document.root)
    // The fields of all elements: one may have what another has not.
    var fields: [(path: String, key: String, value: JSONValue)] = []
    var known: Set<String> = []
    for element in elements {
      var found: [(path: String, key: String, value: JSONValue)] = []
      Self.collect(element, "$", depth: 0, into: &found)
      fields += found.filter { known.insert($0.path).inserted }
    }
    func best(_ words: [[String]], _ fits: (JSONValue) -> Bool) -> [String] {
      words.flatMap { group in fields.filter { group.contains($0.key) && fits($0.value) }.map(\.path) }
    }
    let isText: (JSONValue) -> Bool = { $0.kind == .string || $0.kind == .number }
    // Only what can be the id of the event: an `id` deeper in the body is that of a thing, and as a fallback it would make
    // all events of that thing one.
    let ids = Array(
      (best([["eventid", "event_id", "messageid", "message_id", "webhookid", "webhook_id"]], isText)
        + fields.filter { $0.path == "$.id" || $0.path == "$.uuid" }.map(\.path)).prefix(1))
    let types = best([
      ["type", "event", "eventtype", "event_type", "event_name", "topic", "kind", "action", "triggered_event"]
    ]) { $0.kind == .string }
    let times =
      best(
        [
          [
            "occurred_at", "occurredat", "event_time", "time", "timestamp", "created_at", "createdat", "created",
            "updated_at", "date",
          ]
        ], isText)
      + fields.filter { $0.key.hasSuffix("_at") && isText($0.value) }.map(\.path)
    let clients = best(
      [
        [
          "customer_id", "customerid", "customer", "client_id", "clientid", "contact_id", "contactid", "user_id",
          "userid", "account_id",
        ], ["email"],
      ], isText)
    let type = types.first.flatMap { path in fields.first { $0.path == path }?.value.text }
    self.text = Self.write(
      source: source, split: split, id: ids, type: types, time: times, client: clients, sample: type,
      others: fields.filter { isText($0.value) || $0.value.bool != nil }.map(\.path))
  }

  /// The events of a body, and how to split the body if it has several.
  private static func elements(of root: JSONValue) -> ([JSONValue], split: String?) {
    if root.kind == .array { return (Array(root.elements), "$[*]") }
    for (key, value) in root.members where value.kind == .array && root.count <= 3 && value[0]?.kind == .object {
      return (Array(value.elements), "$\(JSONPath.segment(key))[*]")
    }
    return ([root], nil)
  }

  private static func collect(
    _ value: JSONValue, _ path: String, depth: Int, into fields: inout [(path: String, key: String, value: JSONValue)]
  ) {
    guard value.kind == .object, depth < 4 else { return }
    for (key, member) in value.members {
      let path = path + JSONPath.segment(key)
      if member.kind != .object, member.kind != .array { fields.append((path, key.lowercased(), member)) }
    }
    for (key, member) in value.members {
      collect(member, path + JSONPath.segment(key), depth: depth + 1, into: &fields)
    }
  }

  private static func write(
    source: String, split: String?, id: [String], type: [String], time: [String], client: [String], sample: String?,
    others: [String]
  ) -> String {
    func quoted(_ text: String) -> String { text.contains("[") || text.contains("'") ? "\"\(text)\"" : text }
    func list(_ paths: [String], _ missing: String) -> String {
      paths.isEmpty
        ? missing : paths.count == 1 ? quoted(paths[0]) : "[\(paths.prefix(3).map(quoted).joined(separator: ", "))]"
    }
    var lines = [
      "# A draft, made from one body. Look at each line that says CHECK, write a rule for each type of event, then:",
      "#   journey map FILE --source \(source) --verbose", "source: \(source)", "description: CHECK what it is",
      "version: 1", "", "envelope:",
    ]
    if let split { lines.append("  split: \"\(split)\"") }
    lines += [
      "  # CHECK: the id of the event, not of the thing that it is about. Where there is none: {join: [$.object_id, $.type, $.time]}",
      "  id: \(list(id, "\"property:message_id\""))",
      "  # CHECK: two fields that make up the type together: {join: [$.object, $.action], with: \".\"}",
      "  type: \(type.first.map(quoted) ?? "\"property:type\"")",
      "  # CHECK: when it happened. Units: s, ms, us, ns, rfc3339, iso, auto. Last resort: property:received, the time of arrival.",
      "  time: {path: \(list(time, "\"property:timestamp\"")), unit: auto}",
      "  # CHECK: the client, never the thing that changed and never the account of your own organisation.",
      "  client:", "    from: \(list(client, "\"header:x-client-id\""))", "    reason: the event names no client",
      "  org: \"header:x-org-id\"",
      "  metadata:", "    vendorType: \(type.first.map(quoted) ?? "\"property:type\"")",
      "    # CHECK: what to keep. Everything that the body holds:",
    ]
    lines += others.prefix(60).map { "    #   \($0)" }
    lines += [
      "", "rules:", "  - name: first rule", "    when: {type: \(sample.map { "\"\($0)\"" } ?? "\"*\"")}",
      "    # CHECK: a canonical type (docs/mapping.md lists them) and one of the nine stages, or keep",
      "    event: {type: contact_created, stage: keep}",
    ]
    if sample != nil {
      lines += [
        "  # - name: what means nothing for a journey", "  #   when: {type: [\"…\"]}", "  #   ignore: say why",
        "# What no rule names is passed by and counted; journey mappings unlisted lists it.",
      ]
    }
    return lines.joined(separator: "\n")
  }
}
