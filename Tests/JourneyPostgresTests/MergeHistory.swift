import FoundationEssentials
import Journey
import JourneyPostgres
import PostgresClient
import Testing

@testable import TestSupport

/// A random history of clients that are merged and split, and what must become of it.
///
/// Every client has an id of its own in the source. The model knows to which client each id belongs, and which client is
/// part of which: nothing else decides whose an event is.
struct MergeHistory {
  struct Planned {
    var incoming: IncomingEvent
    /// The client that the event belongs to, by its number, whatever was merged.
    var home: Int
  }

  static let source = "crm"
  var random: SeededRandom
  let org: UUID
  /// The clients of the ids, once they are known.
  var clients: [UUID] = []
  /// Which client is part of which.
  var parents: [Int: Int] = [:]
  /// Pairs that no event merges.
  var apart: Set<[Int]> = []
  var sent: [Planned] = []
  /// The clients of the objects that events have named.
  var things: [String: Int] = [:]
  private let start = SystemClock().now()

  init(stream: UInt64, org: UUID) {
    random = SeededRandom(stream: stream)
    self.org = org
  }

  func root(_ client: Int) -> Int { parents[client].map(root) ?? client }
  func tree(_ root: Int) -> [Int] { clients.indices.filter { self.root($0) == root } }
  func isKeptApart(_ a: Int, _ b: Int) -> Bool {
    tree(a).contains { first in tree(b).contains { apart.contains([first, $0].sorted()) } }
  }

  /// An event of a random kind, time and form of reference.
  mutating func event(of home: Int, merging other: Int? = nil) -> Planned {
    let number = sent.count
    let types = ["note_added", "invoice_overdue", "invoice_paid", "ticket_opened", "milestone_delayed"]
    let type = types[Int.random(in: 0..<types.count, using: &random)]
    // Clients share invoices, so that both may have an event about one.
    let metadata = Array(#"{"invoiceId":"i\#(Int.random(in: 0..<8, using: &random))","usage":10}"#.utf8)
    let stages: [Stage?] = [nil, nil, .billing, .onboarding, .retention]
    let stage = stages[Int.random(in: 0..<stages.count, using: &random)]
    let age = TimeSpan.seconds(Int64.random(in: 0..<40 * 86_400, using: &random))
    var client = ClientReference(externalID: "id\(home)", creation: NewClient(name: "N"))
    let known = things.filter { $0.value == home }.keys.sorted()
    if other == nil, !clients.isEmpty {
      switch Int.random(in: 0..<6, using: &random) {
      case 0: client = ClientReference(id: clients[home])
      case 1 where !known.isEmpty: client = ClientReference(externalID: known.randomElement(using: &random))
      case 2:
        client.linked = ["thing\(number)"]
        things["thing\(number)"] = home
      default: break
      }
    }
    if let other {
      // By the source's id, or by the client's own.
      client.merged = [random.chance(30) ? clients[other].text : "id\(other)"]
    }
    let event = JourneyEvent(
      orgID: org, source: Self.source, sourceEventID: "e\(number)", client: client, type: type, stage: stage,
      occurredAt: Timestamp(microseconds: start.microseconds - age.microseconds), metadata: metadata)
    let signals = SignalReader(SignalRules()).signals(
      type: type, stage: stage, actor: nil, sourceEventID: event.sourceEventID,
      metadata: (try? JSONDocument(parsing: metadata))!.root)
    var ids = IDRandom()
    let planned = Planned(
      incoming: IncomingEvent(id: UUID.v7(at: start, using: &ids), event: event, signals: signals), home: home)
    sent.append(planned)
    return planned
  }

  /// What a merge of the two trees by an event (`isForced`: by a person) makes of the model.
  mutating func merge(_ other: Int, into home: Int, isForced: Bool = false) {
    let (from, into) = (root(other), root(home))
    guard from != into else { return }
    if isForced {
      for pair in apart where Set(pair.map(root)) == [from, into] { apart.remove(pair) }
    } else if isKeptApart(from, into) {
      return
    }
    parents[from] = into
  }
}

extension PostgresEventStore {
  /// Commits until nothing is locked, as workers do.
  func deliver(_ events: [IncomingEvent]) async throws {
    var left = events
    for _ in 0..<400 where !left.isEmpty {
      do throws(StoreError) {
        let results = try await commitAll(left).results
        left = zip(left, results).compactMap { event, result in
          switch result {
          case .stored, .duplicate: return nil
          case .locked, .stateCreated: return event
          case .rejected(let rejection):
            Issue.record("\(event.event.sourceEventID): \(rejection)")
            return nil
          }
        }
      } catch {
        guard error.kind == .transient || error.kind == .contended else { throw error }
      }
      if !left.isEmpty { try await Task.sleep(for: .milliseconds(5)) }
    }
    #expect(left.isEmpty, "\(left.map(\.event.sourceEventID)) stay locked")
  }

  func evaluateAllDue() async throws {
    while try await evaluateDue(limit: 100, passingOver: PassedOver()).looked > 0 {}
  }
}
