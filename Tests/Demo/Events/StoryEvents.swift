import Foundation

/// The events of all stories, as their sources send them.
struct StoryEvents {
  private(set) var files: [EventFile] = []
  private(set) var count = 0
  /// Of CloudEvents the first part of `source`, of vendors their names.
  private(set) var sources: Set<String> = []

  init(_ scenario: Scenario) throws {
    for client in scenario.clients { try add(client.story.lines[...], of: client, now: scenario.now) }
    files.sort { $0.name < $1.name }
  }

  /// What happens to a client after its story.
  init(_ scenario: Scenario, of name: String, later: Story) throws {
    let client = try scenario.client(name)
    try add((client.story.lines + later.lines)[client.story.lines.count...], of: client, now: scenario.now)
  }

  private mutating func add(_ lines: ArraySlice<Story.Line>, of client: Client, now: Date) throws {
    var hubspot: [HubSpotEvent] = []
    for (index, line) in zip(lines.indices, lines) {
      let event = Occurrence(client, index + 1, line, now: now)
      count += 1
      switch line.source {
      case "stripe": try add(StripeEvent(event), of: "stripe", client)
      case "zendesk": try add(ZendeskEvent(event), of: "zendesk", client)
      case "own": try add(OwnEvent(event), of: "journey", client)
      // It sends what happened in lists: all of a client's in one body.
      case "hubspot": hubspot.append(HubSpotEvent(event))
      default: try add(CloudEvent(event), of: line.source, client)
      }
    }
    if !hubspot.isEmpty { try add(hubspot, of: "hubspot", client) }
  }

  /// Some of the messages, as after a lost acknowledgement.
  var repeated: [EventFile] {
    files.compactMap { file in
      switch file.name {
      case "cloudevents": file.first(20)
      case "stripe.alder": file.first(5)
      default: nil
      }
    }
  }

  private mutating func add(_ body: some Encodable, of source: String, _ client: Client) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    if ["stripe", "zendesk"].contains(source) { encoder.keyEncodingStrategy = .convertToSnakeCase }
    let line = String(decoding: try encoder.encode(body), as: UTF8.self)
    let isVendor = ["stripe", "zendesk", "hubspot", "journey"].contains(source)
    let file = EventFile(vendor: isVendor ? (source, client.organisation) : nil, lines: [])
    sources.insert(source)
    if let index = files.firstIndex(where: { $0.name == file.name }) {
      files[index].lines.append(line)
    } else {
      files.append(EventFile(vendor: file.vendor, lines: [line]))
    }
  }
}
