/// Something about a client that could be otherwise, in terms that a person understands.
///
/// What an event would bring happens at the client's `now`, and changes only what such an event changes.
public enum Fact: Hashable, Sendable {
  /// So many overdue invoices are settled, the longest overdue first.
  case settledInvoices(Int)
  /// An invoice becomes overdue.
  case overdueInvoice
  /// So many more events in which the client itself acts, each of them another thing.
  case moreClientEvents(Int)
  /// So many of the counted events by the client fewer, the newest first.
  case fewerClientEvents(Int)
  case moreNegativeEvents(Int)
  /// So many of the counted negative events are not negative, the newest first.
  case fewerNegativeEvents(Int)
  /// So many more tickets; the client opens them, so they are events by the client too.
  case moreTickets(Int)
  /// So many of the counted tickets fewer, the newest first.
  case fewerTickets(Int)
  case progress
  case delay
  /// The newest usage figure is this percentage.
  case usage(Double)
  /// The newest usage figure is just under this percentage.
  case usageUnder(Double)
  /// Messages reach the client on the channel again, after some had bounced.
  case reachable(Channel)
  /// The client wants to be contacted on the channel again.
  case wanted(Channel)
  /// The client consents to the purpose on the channel.
  case consent(Channel, purpose: String)
  /// Nothing happens until then.
  case silence(until: Timestamp)
  /// An event sets this stage.
  case stage(Stage)

  /// What a fact is about. Two facts about the same contradict each other, or are one.
  public enum Topic: Hashable, Sendable {
    case invoices, engagement, sentiment, tickets, progress, usage, channel(Channel), wish(Channel), consent(Channel),
      time,
      stage
  }

  public var topic: Topic {
    switch self {
    case .settledInvoices, .overdueInvoice: .invoices
    case .moreClientEvents, .fewerClientEvents: .engagement
    case .moreNegativeEvents, .fewerNegativeEvents: .sentiment
    case .moreTickets, .fewerTickets: .tickets
    case .progress, .delay: .progress
    case .usage, .usageUnder: .usage
    case .reachable(let channel): .channel(channel)
    case .wanted(let channel): .wish(channel)
    case .consent(let channel, _): .consent(channel)
    case .silence: .time
    case .stage: .stage
    }
  }

  /// Whether it is less of the same as another fact: fewer things, or a shorter time.
  public func isLess(than other: Fact) -> Bool {
    switch (self, other) {
    case (.settledInvoices(let a), .settledInvoices(let b)), (.moreClientEvents(let a), .moreClientEvents(let b)),
      (.fewerClientEvents(let a), .fewerClientEvents(let b)), (.moreNegativeEvents(let a), .moreNegativeEvents(let b)),
      (.fewerNegativeEvents(let a), .fewerNegativeEvents(let b)), (.moreTickets(let a), .moreTickets(let b)),
      (.fewerTickets(let a), .fewerTickets(let b)):
      a < b
    case (.silence(let a), .silence(let b)): a < b
    default: false
    }
  }

  /// The name in JSON, without the number.
  public var name: String {
    switch self {
    case .settledInvoices: "settled_invoices"
    case .overdueInvoice: "overdue_invoice"
    case .moreClientEvents: "more_client_events"
    case .fewerClientEvents: "fewer_client_events"
    case .moreNegativeEvents: "more_negative_events"
    case .fewerNegativeEvents: "fewer_negative_events"
    case .moreTickets: "more_tickets"
    case .fewerTickets: "fewer_tickets"
    case .progress: "progress"
    case .delay: "delay"
    case .usage: "usage"
    case .usageUnder: "usage_under"
    case .reachable: "reachable"
    case .wanted: "wanted"
    case .consent: "consent"
    case .silence: "silence"
    case .stage: "stage"
    }
  }
}

extension Fact: CustomStringConvertible {
  /// For people: `2 overdue invoices are settled`.
  public var description: String {
    switch self {
    case .settledInvoices(let count):
      count == 1 ? "1 overdue invoice is settled" : "\(count) overdue invoices are settled"
    case .overdueInvoice: "an invoice becomes overdue"
    case .moreClientEvents(let count): "\(count) more \(plural("event", count)) by the client"
    case .fewerClientEvents(let count): "\(count) fewer \(plural("event", count)) by the client"
    case .moreNegativeEvents(let count): "\(count) more \(plural("event", count)) with negative sentiment"
    case .fewerNegativeEvents(let count): "\(count) fewer \(plural("event", count)) with negative sentiment"
    case .moreTickets(let count): "\(count) more \(plural("ticket", count))"
    case .fewerTickets(let count): "\(count) fewer \(plural("ticket", count))"
    case .progress: "progress is reported now"
    case .delay: "a delay is reported now"
    case .usage(let percent): "usage is \(short(percent)) %"
    case .usageUnder(let percent): "usage is under \(short(percent)) %"
    case .reachable(let channel): "messages by \(channel.rawValue) reach the client again (journey consent reachable)"
    case .wanted(let channel): "the client wants \(channel.rawValue) again (journey consent unblock)"
    case .consent(let channel, let purpose):
      "the client consents to \(purpose) by \(channel.rawValue) (journey consent grant)"
    case .silence(let until): "nothing happens until \(until.iso8601)"
    case .stage(let stage): "the stage is \(stage.rawValue)"
    }
  }

  private func plural(_ noun: String, _ count: Int) -> String { count == 1 ? noun : noun + "s" }

  private func short(_ value: Double) -> String {
    value == value.rounded() && abs(value) < 1e15 ? "\(Int64(value))" : "\(value)"
  }
}
