import FoundationEssentials

/// The stored form of an action history: a version byte and a list of (name, id, time), one or more times: what a merge
/// has put together is read as one.
///
/// Each entry is an item with the name of its kind, each block one with its channel. Then one holds the details of all
/// entries, and the last one their priorities. Earlier versions skip items of an unknown kind, so that old and new
/// instances can run side by side.
extension ActionHistory {
  private static let version: UInt8 = 1
  private static let prioritiesMark = ">"
  private static let detailsMark = "+"
  private static let blockMark = "!"
  /// The cause of a block: the channel and its character, separated by a slash.
  private static let causeMark = "?"
  /// A lift: `w` for the wish or `r` for reachability, and the channel.
  private static let liftMark = "^"
  /// A consent: `+` or `-`, the channel, the purpose, and when it expires, separated by slashes.
  private static let consentMark = "&"
  /// A contact: the channel and the kind, separated by a slash.
  private static let contactMark = "@"
  private static let reconsiderMark = "~"
  private static let followUpMark = "*"

  private struct Item {
    var name: String
    var id: UUID
    var at: Timestamp
  }

  public func encoded() -> [UInt8] {
    var out = StateWriter()
    out.byte(Self.version)
    var items = entries.map { Item(name: $0.kind.rawValue, id: $0.actionID, at: $0.decidedAt) }
    for block in blocks {
      items.append(Item(name: Self.blockMark + block.channel.rawValue, id: block.id, at: block.at))
      if let cause = block.cause {
        items.append(
          Item(name: "\(Self.causeMark)\(block.channel.rawValue)/\(cause.rawValue)", id: block.id, at: block.at))
      }
    }
    items += lifts.map {
      Item(name: "\(Self.liftMark)\($0.isOfWish ? "w" : "r")\($0.channel.rawValue)", id: UUID.zero, at: $0.at)
    }
    items += consents.map { consent in
      let expiry = consent.expiresAt.map { "\($0.microseconds)" } ?? ""
      let sign = consent.isGranted ? "+" : "-"
      return Item(
        name: "\(Self.consentMark)\(sign)\(consent.channel.rawValue)/\(consent.purpose)/\(expiry)", id: consent.id,
        at: consent.at)
    }
    items += contacts.map {
      Item(name: "\(Self.contactMark)\($0.channel.rawValue)/\($0.kind.rawValue)", id: $0.actionID, at: $0.at)
    }
    if let reconsiderAt { items.append(Item(name: Self.reconsiderMark, id: UUID.zero, at: reconsiderAt)) }
    if let followUpAt { items.append(Item(name: Self.followUpMark, id: UUID.zero, at: followUpAt)) }
    func add(_ mark: String, _ text: String) { items.append(Item(name: mark + text, id: UUID.zero, at: Self.noTime)) }
    if entries.contains(where: \.hasDetails) {
      add(Self.detailsMark, entries.map(\.details).joined(separator: ","))
    }
    if entries.contains(where: { $0.priority != nil }) {
      add(Self.prioritiesMark, String(entries.map { Self.symbol(of: $0.priority) }))
    }
    out.list(items) { out, item in
      out.string(item.name)
      out.uuid(item.id)
      out.signed(item.at.microseconds)
    }
    return out.bytes
  }

  public init?(encoded: [UInt8]) {
    var input = StateReader(encoded)
    self.init()
    repeat {
      guard input.byte() == Self.version else { return nil }
      let items = input.list { input in
        let name = input.string()
        let id = input.uuid()
        return Item(name: name, id: id, at: Timestamp(microseconds: input.signed()))
      }
      guard !input.isDamaged else { return nil }
      add(items)
    } while !input.isAtEnd
  }

  private mutating func add(_ items: [Item]) {
    var found: [Entry?] = items.map { item in
      ActionKind(rawValue: item.name).map { Entry(kind: $0, actionID: item.id, decidedAt: item.at) }
    }
    var blocks: [Block] = []
    for item in items {
      if item.name.hasPrefix(Self.prioritiesMark) {
        for (index, symbol) in zip(found.indices, item.name.dropFirst()) {
          found[index]?.priority = Self.priority(of: symbol)
        }
      } else if item.name.hasPrefix(Self.detailsMark) {
        let details = item.name.dropFirst().split(separator: ",", omittingEmptySubsequences: false)
        for (index, text) in zip(found.indices, details) { found[index]?.read(details: text) }
      } else if item.name.hasPrefix(Self.blockMark) {
        blocks.append(
          Block(channel: Channel(rawValue: String(item.name.dropFirst())), cause: nil, id: item.id, at: item.at))
      } else if item.name.hasPrefix(Self.causeMark) {
        let parts = item.name.dropFirst().split(separator: "/")
        guard parts.count == 2,
          let index = blocks.lastIndex(where: { $0.channel.rawValue == parts[0] && $0.id == item.id })
        else {
          continue
        }
        blocks[index].cause = parts[1].first.flatMap(Block.Cause.init)
      } else if item.name.hasPrefix(Self.liftMark) {
        let isOfWish = item.name.dropFirst().first == "w"
        add(Lift(channel: Channel(rawValue: String(item.name.dropFirst(2))), isOfWish: isOfWish, at: item.at))
      } else if item.name.hasPrefix(Self.consentMark) {
        if let consent = Self.consent(item) { add(consent) }
      } else if item.name.hasPrefix(Self.contactMark) {
        let parts = item.name.dropFirst().split(separator: "/")
        guard parts.count == 2, let kind = ActionKind(rawValue: String(parts[1])) else { continue }
        addContact(Contact(channel: Channel(rawValue: String(parts[0])), kind: kind, actionID: item.id, at: item.at))
      } else if item.name == Self.reconsiderMark {
        reconsiderAt = min(reconsiderAt ?? item.at, item.at)
      } else if item.name == Self.followUpMark {
        followUpAt = min(followUpAt ?? item.at, item.at)
      }
    }
    for block in blocks { add(block) }
    for case let entry? in found {
      if let index = entries.firstIndex(where: { $0.actionID == entry.actionID }) {
        entries[index].unite(with: entry)
      } else {
        insert(entry)
      }
    }
  }

  private static func consent(_ item: Item) -> Consent? {
    let parts = item.name.dropFirst(2).split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 3 else { return nil }
    return Consent(
      channel: Channel(rawValue: String(parts[0])), purpose: String(parts[1]),
      isGranted: item.name.dropFirst().first == "+", id: item.id, at: item.at,
      expiresAt: Int64(parts[2]).map(Timestamp.init(microseconds:)))
  }

  private static let noTime = Timestamp(microseconds: 0)

  private static func symbol(of priority: Priority?) -> Character {
    switch priority {
    case .low: "l"
    case .medium: "m"
    case .high: "h"
    case .urgent: "u"
    case nil: "-"
    }
  }

  private static func priority(of symbol: Character) -> Priority? {
    Priority.allCases.first { Self.symbol(of: $0) == symbol }
  }
}

extension ActionHistory.Entry {
  /// What two clients that were one know of the same action: what was run counts for more than what was not.
  fileprivate mutating func unite(with other: ActionHistory.Entry) {
    if other.isRun != isRun { end = other.isRun ? other.end : end } else { end = end ?? other.end }
    isRun = isRun || other.isRun
    repeats = max(repeats, other.repeats)
    snoozedUntil = snoozedUntil ?? other.snoozedUntil
  }

  fileprivate var hasDetails: Bool {
    trigger != nil || repeats != 0 || isRun || snoozedUntil != nil || end != nil
  }

  /// Fields of a code and a value each: the trigger (`s` stage, `k` risk), `r` repeats, `x` run, `z` snoozed until,
  /// `e` the state in which it ended, `t` when.
  fileprivate var details: String {
    var text = ""
    switch trigger {
    case .stage(let stage): text += "s\(stage.index)"
    case .risk(let risk): text += "k\(Risk.allCases.firstIndex(of: risk)!)"
    case nil: break
    }
    if repeats != 0 { text += "r\(repeats)" }
    if isRun { text += "x" }
    if let snoozedUntil { text += "z\(snoozedUntil.microseconds)" }
    if let end { text += "e\(ActionState.allCases.firstIndex(of: end.state)!)t\(end.at.microseconds)" }
    return text
  }

  fileprivate mutating func read(details: Substring) {
    var rest = details.utf8[...]
    while let code = rest.popFirst() {
      let digits = rest.prefix { $0 == UInt8(ascii: "-") || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
      rest = rest[digits.endIndex...]
      let number = Int64(Substring(digits))
      func member<T>(of all: [T]) -> T? { number.flatMap { $0 >= 0 && $0 < all.count ? all[Int($0)] : nil } }
      switch code {
      case UInt8(ascii: "s"): trigger = member(of: Stage.allCases).map { .stage($0) }
      case UInt8(ascii: "k"): trigger = member(of: Risk.allCases).map { .risk($0) }
      case UInt8(ascii: "r"): repeats = number.map { Int($0) } ?? 0
      case UInt8(ascii: "x"): isRun = true
      case UInt8(ascii: "z"): snoozedUntil = number.map(Timestamp.init(microseconds:))
      case UInt8(ascii: "e"): end = member(of: ActionState.allCases).map { End(state: $0, at: decidedAt) }
      case UInt8(ascii: "t"): if let number { end?.at = Timestamp(microseconds: number) }
      default: break
      }
    }
  }
}
