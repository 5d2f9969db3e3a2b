import FoundationEssentials

/// The stored form of a summary and an action history: a version byte, then fields in a fixed order. Integers are
/// LEB128, signed ones zigzag; strings are prefixed with their length.
///
/// A stored form that cannot be read (older version, damaged row) decodes to nil, and the summary is rebuilt from the
/// events.
extension ClientSummary {
  private static let version: UInt8 = 3

  public func encoded() -> [UInt8] {
    var out = StateWriter()
    write(to: &out)
    return out.bytes
  }

  func write(to out: inout StateWriter) {
    out.byte(Self.version)
    out.optional(setStage) { out, mark in out.mark(mark) }
    out.list(raises) { out, mark in out.mark(mark) }
    out.list(recent) { out, entry in out.entry(entry) }
    out.list(olderOwn) { out, entry in out.entry(entry) }
    out.list(tickets) { out, ticket in
      out.entry(ticket)
      out.fixed(ticket.naturalKey)
    }
    out.optional(usage) { out, usage in
      out.stamp(usage.stamp)
      out.unsigned(usage.percent.bitPattern)
    }
    out.optional(progress) { out, progress in
      out.stamp(progress.stamp)
      out.byte(progress.kind.rawValue)
    }
    out.optional(overdueNotice) { out, stamp in out.stamp(stamp) }
    out.unsigned(UInt64(lateInvoices.count))
    out.list(lateInvoices.oldest) { out, item in
      out.string(item.id)
      out.signed(item.overdueAt.microseconds)
    }
  }

  public init?(encoded: [UInt8]) {
    var input = StateReader(encoded)
    self.init(from: &input)
  }

  init?(from input: inout StateReader) {
    guard input.byte() == Self.version else { return nil }
    self.init()
    setStage = input.optional { input in input.stageMark() }
    raises = input.list { input in input.stageMark() }
    recent = input.list { input in input.entry() }
    olderOwn = input.list { input in input.entry() }
    tickets = input.list { input in
      var ticket = input.entry()
      ticket.naturalKey = input.fixed()
      return ticket
    }
    usage = input.optional { input in
      let stamp = input.stamp()
      return Usage(stamp: stamp, percent: Double(bitPattern: input.unsigned()))
    }
    progress = input.optional { input in
      let stamp = input.stamp()
      return Progress(stamp: stamp, kind: input.flag() ? .delayed : .advanced)
    }
    overdueNotice = input.optional { input in input.stamp() }
    lateInvoices.count = Int(clamping: input.unsigned())
    lateInvoices.oldest = input.list { input in
      let id = input.string()
      return LateInvoices.Item(id: id, overdueAt: Timestamp(microseconds: input.signed()))
    }
    guard input.isAtEnd, isWellFormed else { return nil }
  }

  /// The invariants that `insert` establishes and relies on.
  private var isWellFormed: Bool {
    recent.count <= Self.recentLimit && Self.isNewestFirst(recent)
      && (olderOwn.isEmpty || isWellFormedOwn)
      && tickets.count <= Self.keptTickets && Self.isNewestFirst(tickets)
      && zip(raises, raises.dropFirst()).allSatisfy { $1.precedes($0) && $0.stage.index < $1.stage.index }
      && raises.allSatisfy { setStage?.precedes($0) ?? true }
      && usage?.percent.isNaN != true
      && lateInvoices.count <= LateInvoices.countLimit
      && lateInvoices.oldest.count <= min(lateInvoices.count, LateInvoices.oldestLimit)
  }

  private var isWellFormedOwn: Bool {
    let own = own
    return own.count <= Self.recentLimit && olderOwn.allSatisfy(\.isOwn) && Self.isNewestFirst(own)
  }

  private static func isNewestFirst(_ entries: [Entry]) -> Bool {
    entries.indices.dropFirst().allSatisfy { entries[$0] < entries[$0 - 1] }
  }
}

extension StateWriter {
  fileprivate mutating func mark(_ mark: ClientSummary.StageMark) {
    stamp(mark.stamp)
    byte(UInt8(mark.stage.index))
    byte(mark.rank)
  }

  fileprivate mutating func entry(_ entry: ClientSummary.Entry) {
    fixed(UInt64(bitPattern: entry.at.microseconds))
    fixed(entry.idStart)
    string(entry.longID)
    fixed(entry.source)
    fixed(entry.kind)
    byte((entry.isNegative ? 1 : 0) | (entry.isOwn ? 2 : 0))
  }
}

extension StateReader {
  fileprivate mutating func stageMark() -> ClientSummary.StageMark {
    let stamp = stamp()
    let stage = member(of: Stage.allCases)
    return ClientSummary.StageMark(stamp: stamp, stage: stage, rank: byte())
  }

  fileprivate mutating func entry() -> ClientSummary.Entry {
    let at = Timestamp(microseconds: Int64(bitPattern: fixed()))
    let idStart: UInt128 = fixed()
    let longID = string()
    let source: UInt64 = fixed()
    var entry = ClientSummary.Entry(at: at, idStart: idStart, longID: longID, source: source, kind: fixed())
    let flags = byte()
    if flags > 3 { isDamaged = true }
    entry.isNegative = flags & 1 != 0
    entry.isOwn = flags & 2 != 0
    return entry
  }
}
