import Journey
import Yams

/// The silence contracts of `decisions.yaml`.
extension YAMLField {
  /// A contract together with where it is written.
  struct ReadContract {
    var contract: SilenceContract
    var otherwise, after, expect: YAMLField
  }

  /// - Parameter known: the event types that the other parts of the file name.
  func contracts(_ known: Set<String>) -> [SilenceContract] {
    guard !isOff, let read = elements()?.compactMap({ $0.contract() }) else { return [] }
    let types = EventTypes.all.map(\.type) + known + read.map(\.contract.otherwise)
    for (position, entry) in read.enumerated() {
      let contract = entry.contract
      if read[..<position].contains(where: { $0.contract.otherwise == contract.otherwise }) {
        entry.otherwise.report("\(contract.otherwise) is the event of another contract already")
      }
      for (field, names) in [(entry.after, contract.after), (entry.expect, contract.expected)] {
        for name in names.sorted() where !types.contains(name) {
          field.report(
            "\(name) is no event type",
            hint: nearest(name, among: types).map { "did you mean \($0)?" }
              ?? "journey mappings describe lists them; name one of your own in eventTypes: [\(name)]")
        }
        if names.contains(contract.otherwise) {
          field.report("the contract's own event \(contract.otherwise) neither opens nor settles it")
        }
      }
      for name in contract.after.intersection(contract.expected).sorted() {
        entry.expect.report("\(name) opens the contract, so it cannot be what is expected")
      }
    }
    return read.map(\.contract)
  }

  private func contract() -> ReadContract? {
    guard let members = members(["after", "expect", "same", "within", "else"]) else { return nil }
    for (key, meaning) in [
      ("after", "the event type that opens the contract"), ("expect", "the event types that settle it"),
      ("within", "the time for that"), ("else", "the type of the event that is stored if none comes"),
    ] where members[key] == nil {
      report("\(key) is missing: \(meaning)")
    }
    guard let after = members["after"], let expect = members["expect"], let within = members["within"],
      let otherwise = members["else"]
    else { return nil }
    var contract = SilenceContract(otherwise: "", after: [], expected: [], within: .seconds(0))
    after.set(&contract.after)
    expect.set(&contract.expected)
    within.set(&contract.within)
    if within.span() != nil, !(TimeSpan.seconds(60)...TimeSpan.days(366)).contains(contract.within) {
      within.report("the time is from 1m to 366d")
    }
    if let same = members["same"] {
      contract.same = same.text()
      if let name = contract.same, ExpectationReader.members.contains(name) {
        same.report("\(name) is a member that the adapter itself writes")
      }
    }
    guard let name = otherwise.text() else { return nil }
    let isSnakeCase = name.utf8.allSatisfy {
      UInt8(ascii: "a")...UInt8(ascii: "z") ~= $0 || UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0
        || $0 == UInt8(ascii: "_")
    }
    guard isSnakeCase, name.utf8.count <= 64 else {
      otherwise.report("\(name) is no event type", hint: "write it in snake case: invoice_unpaid_14d")
      return nil
    }
    contract.otherwise = name
    return ReadContract(contract: contract, otherwise: otherwise, after: after, expect: expect)
  }
}
