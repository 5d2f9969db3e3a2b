/// Counts events that several sources may tell.
///
/// Of each type the most that one source tells counts, because the sources may tell of the same things: a ticket that
/// a support system and a CRM both report is one ticket. Things with a natural key count once for each key.
struct EventCount {
  typealias Entries = RandomAccessCollection<ClientSummary.Entry>

  private let overlap: RiskRules.Overlap

  init(_ overlap: RiskRules.Overlap) { self.overlap = overlap }

  func count(_ entries: some Entries) -> Int {
    guard isAmbiguous(entries) else { return entries.count }
    return Dictionary(grouping: entries, by: \.kind).values.reduce(0) { total, ofKind in
      let bySource = Dictionary(grouping: ofKind, by: \.stamp.source).values
      let largest = bySource.map { entries in
        Set(entries.compactMap(\.naturalKey)).count + entries.count { $0.naturalKey == nil }
      }.max()
      return total + max(largest ?? 0, Set(ofKind.compactMap(\.naturalKey)).count)
    }
  }

  /// The entry with which the count reaches a number, newest first; nil if it does not.
  func deciding(_ number: Int, among entries: some Entries) -> ClientSummary.Entry? {
    guard entries.count >= number else { return nil }
    let shortest = entries.prefix(number)
    if count(shortest) >= number { return shortest.last }
    for length in stride(from: number + 1, through: entries.count, by: 1) {
      let entries = entries.prefix(length)
      if count(entries) >= number { return entries.last }
    }
    return nil
  }

  /// Says how many each source tells, if that is not simply the sum.
  func explain(_ entries: some Entries, into text: inout ByteWriter) {
    guard count(entries) != entries.count else { return }
    let bySource = Dictionary(grouping: entries, by: \.stamp.source).sorted { $0.key.precedesByBytes($1.key) }
    text.append(" (")
    for (position, (source, entries)) in bySource.enumerated() {
      if position > 0 { text.append(", ") }
      text.append(source.isEmpty ? "host" : source)
      text.append(" ")
      text.append(decimal: Int64(entries.count))
    }
    text.append("; what several tell counts once)")
  }

  /// Whether the count may be less than the number of entries.
  private func isAmbiguous(_ entries: some Entries) -> Bool {
    if overlap == .sum { return false }
    var rest = entries[...]
    while let entry = rest.popFirst() {
      if entry.naturalKey != nil { return true }
      if rest.contains(where: { $0.kind == entry.kind && $0.stamp.source != entry.stamp.source }) { return true }
    }
    return false
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
