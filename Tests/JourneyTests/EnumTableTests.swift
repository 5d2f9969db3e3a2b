import Testing

@testable import Journey

@Suite struct EnumTableTests {
  private func compare<Key: CaseIterable & Hashable & Sendable>(_: Key.Type) {
    var table = EnumTable<Key, Int>(), dictionary: [Key: Int] = [:]
    for (number, key) in Key.allCases.enumerated() where number % 2 == 0 {
      (table[key], dictionary[key]) = (number, number)
    }
    for key in Key.allCases { #expect(table[key] == dictionary[key]) }
    if let first = Key.allCases.first {
      (table[first], dictionary[first]) = (nil, nil)
      #expect(table[first] == nil)
    }
    #expect(table == EnumTable(uniqueKeysWithValues: dictionary.map { ($0.key, $0.value) }))
  }

  @Test func aTableHoldsForEachCaseWhatADictionaryHolds() {
    compare(Stage.self)
    compare(Risk.self)
    compare(ActionKind.self)
    compare(RiskLevel.self)
    #expect(([.lead: 1, .churnRisk: 2] as EnumTable<Stage, Int>)[.churnRisk] == 2)
  }

  @Test func labelsAreTheWordsAfterWhatTheyLabel() {
    for stage in Stage.allCases { #expect("\(stage.label)" == "stage:" + stage.rawValue) }
    for risk in Risk.allCases { #expect("\(risk.label)" == "risk:" + risk.rawValue) }
  }
}
