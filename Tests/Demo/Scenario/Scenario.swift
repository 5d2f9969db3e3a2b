import Foundation

/// Who there is and what happens: the files of `Tests/Demo/Data`, which a person may change.
struct Scenario {
  let organisations: [Organisation]
  let clients: [Client]
  /// What the calculations of docs/demo.md say: client, stage, score, risk, action, channel, priority.
  let expectations: [[String]]
  /// What cannot be mapped or belongs to nobody.
  let unusable: [EventFile]
  /// The days of the stories are counted back from here.
  let now: Date

  /// - Throws: `DemoFailure`, which names the file and what is wrong with it.
  init(now: Date = Date()) throws {
    self.now = now
    let organisations = try DataFile("organisations.tsv").rows(columns: 3).map {
      Organisation(key: $0[0], id: $0[1], name: $0[2])
    }
    let stories = try Story.load()
    let byKey = Dictionary(organisations.map { ($0.key, $0) }) { first, _ in first }
    clients = try DataFile("clients.tsv").rows(columns: 6).map { try Client($0, byKey, stories) }
    expectations = try DataFile("expected.tsv").rows(columns: 7)
    unusable = try EventFile.unusable(byKey, now: now)
    self.organisations = organisations
  }

  func client(_ name: String) throws -> Client {
    guard let client = clients.first(where: { $0.name == name }) else {
      throw DemoFailure("clients.tsv: there is no \(name)")
    }
    return client
  }
}

struct Organisation: Hashable {
  let key: String
  let id: String
  let name: String
}

/// A client, with the ids under which the sources know it. Its number makes all of them.
struct Client {
  let number: Int
  let organisation: Organisation
  let name: String
  /// As SQL; nil for NULL.
  let aiScore: String?
  /// Whether it is a contact from the start. If not, its event `lead_created` makes it one.
  let isKnown: Bool
  let story: Story

  init(_ row: [String], _ organisations: [String: Organisation], _ stories: [String: Story]) throws {
    guard let number = Int(row[0]), let organisation = organisations[row[1]], let story = stories[row[5]] else {
      throw DemoFailure("clients.tsv: \(row[2]) has no number, or an organisation or a story that does not exist")
    }
    self.number = number
    self.organisation = organisation
    self.story = story
    name = row[2]
    aiScore = row[3] == "-" ? nil : row[3]
    isKnown = row[4] == "yes"
  }

  var id: String { String(format: "c1000000-0000-4000-8000-%012d", number) }
  var stripeCustomer: String { "cus_demo\(number)" }
  var zendeskRequester: String { String(36_000_000 + number) }
  var hubspotObject: Int { 50_100 + number }
  var email: String {
    let plain = name.folding(options: .diacriticInsensitive, locale: nil).lowercased()
    return plain.replacing(" ", with: ".") + "@\(organisation.key).example"
  }
}
