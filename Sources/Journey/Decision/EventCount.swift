/// Counts events that several sources may report.
///
/// Of each type the most that one source reports counts, because the sources may report the same things: a ticket that
/// a support system and a CRM both report is one ticket. Things with a natural key count once for each key.
struct EventCount {
  typealias Entries = RandomAccessCollection<ClientSummary.Entry>

  private let overlap: RiskRules.Overlap

  init(_ overlap: RiskRules.Overlap) { self.overlap = overlap }

  func count(_ entries: some Entries) -> Int {
    guard isAmbiguous(entries) else { return entries.count }
    var tally = Tally()
    for entry in entries { tally.add(entry) }
    return tally.total
  }

  /// The entry with which the count reaches a number, newest first; nil if it does not.
  func deciding(_ number: Int, among entries: some Entries) -> ClientSummary.Entry? {
    guard entries.count >= number else { return nil }
    let shortest = entries.prefix(number)
    if !isAmbiguous(shortest) { return shortest.last }
    var tally = Tally()
    return entries.first { entry in
      tally.add(entry)
      return tally.total >= number
    }
  }

  /// Says how many reports there are, if that is not the count.
  func explain(_ entries: some Entries, into text: inout ByteWriter) {
    guard count(entries) != entries.count else { return }
    text.append(" (")
    text.append(entries.count, of: "report")
    text.append(" from ")
    text.append(Set(entries.map(\.source)).count, of: "source")
    text.append(", each thing counted once)")
  }

  /// Whether the count may be less than the number of entries.
  private func isAmbiguous(_ entries: some Entries) -> Bool {
    if overlap == .sum { return false }
    var rest = entries[...]
    while let entry = rest.popFirst() {
      if entry.naturalKey != 0 { return true }
      if rest.contains(where: { $0.kind == entry.kind && $0.source != entry.source }) { return true }
    }
    return false
  }
}

/// The count so far. Its lists are short, so they are searched from the start.
private struct Tally {
  private(set) var total = 0
  private var kinds: [(kind: UInt32, keys: Int, count: Int)] = []
  private var sources: [(kind: UInt32, source: UInt64, count: Int)] = []
  private var keys: [(kind: UInt32, source: UInt64, key: UInt64)] = []

  mutating func add(_ entry: ClientSummary.Entry) {
    let (kind, source, key) = (entry.kind, entry.source, entry.naturalKey)
    let ofKey = key == 0 ? [] : keys.filter { $0.kind == kind && $0.key == key }
    let isRepeated = ofKey.contains { $0.source == source }
    if key != 0, !isRepeated { keys.append((kind, source, key)) }
    let ofSource = sources.firstIndex { $0.kind == kind && $0.source == source } ?? sources.endIndex
    if ofSource == sources.endIndex { sources.append((kind, source, 0)) }
    if !isRepeated { sources[ofSource].count += 1 }
    let ofKind = kinds.firstIndex { $0.kind == kind } ?? kinds.endIndex
    if ofKind == kinds.endIndex { kinds.append((kind, 0, 0)) }
    if key != 0, ofKey.isEmpty { kinds[ofKind].keys += 1 }
    let count = max(kinds[ofKind].count, sources[ofSource].count, kinds[ofKind].keys)
    total += count - kinds[ofKind].count
    kinds[ofKind].count = count
  }
}

extension ByteWriter {
  /// `1 event`, `2 events`.
  mutating func append(_ count: Int, of noun: StaticString) {
    append(decimal: Int64(count))
    append(UInt8(ascii: " "))
    append(noun)
    if count != 1 { append(UInt8(ascii: "s")) }
  }
}
