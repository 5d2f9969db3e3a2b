import FoundationEssentials
import Testing

@testable import JourneyPostgres
@testable import TestSupport

/// What an import means by its rows.
@Suite struct ContactPlanTests {
  private static func row(
    line: Int = 1, id: UUID? = nil, name: String? = nil, email: String? = nil, phone: String? = nil,
    _ sourceIDs: String...
  ) -> ContactRow {
    var row = ContactRow(line: line)
    (row.id, row.name, row.email, row.phone) = (id, name, email, phone)
    row.sourceIDs = sourceIDs.map { SourceID(source: "crm", id: $0) }
    return row
  }

  private static func plan(_ rows: [ContactRow], _ stored: ContactPlan.Stored, replaces: Bool = false) -> ContactPlan {
    ContactPlan(rows, stored, replacesValues: replaces) { UUID() }
  }

  /// What is stored after a plan was carried out.
  private static func stored(_ before: ContactPlan.Stored, _ plan: ContactPlan) -> ContactPlan.Stored {
    var stored = before
    for contact in plan.inserts + plan.updates.values {
      stored.byID[contact.id] = contact.id
      stored.contacts[contact.id] = contact
    }
    stored.byEmail = [:]
    for contact in stored.contacts.values {
      if let email = contact.email { stored.byEmail[email.lowercased(), default: []].insert(contact.id) }
    }
    for (sourceID, client) in plan.links { stored.bySourceID[sourceID] = client }
    return stored
  }

  @Test func rowsFindThoseBeforeThem() {
    let plan = Self.plan(
      [
        Self.row(line: 1, email: "Ada@x.example", "1"), Self.row(line: 2, name: "Ada", email: "ada@X.example"),
        Self.row(line: 3, phone: "+1", "1", "2"),
      ], .init())
    #expect(plan.inserts.count == 1 && plan.updates.isEmpty && plan.links.count == 2)
    #expect(plan.inserts[0].name == "Ada" && plan.inserts[0].phone == "+1" && plan.inserts[0].email == "Ada@x.example")
    #expect(plan.report.added == 1 && plan.report.updated == 2 && plan.report.faults == [])
  }

  @Test func aRowThatMeansTwoClientsIsRefused() throws {
    let first = Self.plan([Self.row(email: "a@x.example", "1"), Self.row(email: "b@x.example", "2")], .init())
    let stored = Self.stored(.init(), first)
    let ids = first.inserts.map(\.id)
    for row in [
      Self.row(email: "a@x.example", "2"), Self.row("1", "2"), Self.row(id: ids[0], "2"),
      Self.row(id: ids[0], email: "b@x.example"), Self.row(id: UUID(), email: "b@x.example"),
    ] {
      let plan = Self.plan([row], stored)
      #expect(plan.report.faults.count == 1 && plan.inserts.isEmpty && plan.updates.isEmpty && plan.links.isEmpty)
      let fault = try #require(plan.report.faults.first)
      #expect(
        fault.message.contains(ids[1].uuidString.lowercased()) || fault.message.contains(ids[0].uuidString.lowercased())
      )
    }
  }

  @Test func ofSeveralWithOneAddressTheIDDecides() {
    let ids = [UUID(), UUID()]
    var stored = ContactPlan.Stored()
    for id in ids {
      stored.byID[id] = id
      stored.contacts[id] = .init(id: id, email: "a@x.example")
    }
    stored.byEmail["a@x.example"] = Set(ids)
    #expect(Self.plan([Self.row(email: "a@x.example")], stored).report.faults.first?.field == "email")
    let plan = Self.plan([Self.row(id: ids[1], name: "A", email: "a@x.example")], stored)
    #expect(plan.updates.keys.map(\.self) == [ids[1]] && plan.report.faults == [])
  }

  @Test func otherValuesAreReplacedOnlyWhenAsked() {
    let stored = Self.stored(.init(), Self.plan([Self.row(name: "A", email: "a@x.example", "1")], .init()))
    let row = Self.row(name: "B", email: "b@x.example", phone: "+1", "1")
    let careful = Self.plan([row], stored)
    #expect(careful.updates.values.map { [$0.name, $0.email, $0.phone] } == [["A", "a@x.example", "+1"]])
    #expect(careful.report.different == 1)
    let replacing = Self.plan([row], stored, replaces: true)
    #expect(replacing.updates.values.map { [$0.name, $0.email, $0.phone] } == [["B", "b@x.example", "+1"]])
  }

  /// Random rows, with many repeats: the second import of a file changes nothing, and parts of it are the whole.
  @Test(arguments: 0..<50) func aRepeatedImportChangesNothing(stream: Int) {
    var random = SeededRandom(stream: UInt64(7000 + stream))
    let ids = (0..<4).map { _ in UUID() }
    func some<Value>(_ values: [Value]) -> Value? {
      Bool.random(using: &random) ? values.randomElement(using: &random) : nil
    }
    let rows = (1...40).map { line -> ContactRow in
      var row = ContactRow(line: line)
      row.id = some(ids)
      row.name = some(["A", "B"])
      row.email = some((0..<6).map { "c\($0)@x.example" })
      row.phone = some(["+1", "+2"])
      row.sourceIDs = [some((0..<6).map { "\($0)" })].compactMap { $0.map { SourceID(source: "crm", id: $0) } }
      return row
    }
    let first = Self.plan(rows, .init())
    let after = Self.stored(.init(), first)
    let second = Self.plan(rows, after)
    #expect(second.inserts.isEmpty && second.updates.isEmpty && second.links.isEmpty, "\(rows)")
    // In two parts, as two chunks.
    let head = Self.plan(Array(rows.prefix(20)), .init())
    let tail = Self.plan(Array(rows.dropFirst(20)), Self.stored(.init(), head))
    #expect(head.inserts.count + tail.inserts.count == first.inserts.count)
    #expect(head.links.count + tail.links.count == first.links.count)
  }
}
