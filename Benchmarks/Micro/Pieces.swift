import FoundationEssentials
import Journey
import JourneyConfiguration
import JourneyAMQP
import PostgresClient

enum Pieces {
  static let names = [
    "json-parse", "map-cloudevent", "map-stripe", "evaluate-client", "explain", "message", "verify-decision",
    "summary-encode",
    "summary-decode", "event-parameters",
  ]

  /// - Parameter configuration: the configuration directory, with mappings and decisions.
  static func all(configuration: String) throws -> [Piece] {
    let catalog = try MappingLoader.load(directories: ["\(configuration)/mappings"])
    let rules = try DecisionLoader.load(file: "\(configuration)/profiles/literal/decisions.yaml")
    guard let canonical = catalog.mappings["cloudevents"], let stripe = catalog.mappings["stripe"] else {
      throw Missing()
    }
    return [
      Piece(name: "json-parse") { keep(try JSONDocument(parsing: Samples.cloudEvent)) },
      Piece(name: "map-cloudevent") { try map(Samples.cloudEvent, canonical) },
      Piece(name: "map-stripe") { try map(Samples.stripe, stripe) },
    ] + decision(rules) + state(rules)
  }

  private static let signals = SignalReader(SignalRules())

  private static func map(_ body: [UInt8], _ mapping: Mapping) throws {
    let input = MappingInput(
      document: try JSONDocument(parsing: body), messageID: "m-1", orgID: Samples.organization,
      limits: EventLimits(now: Samples.now))
    let result = mapping.map(input, signals: signals)
    guard case .event(let event)? = result.outcomes.first else { throw Unmapped(result: result) }
    keep((event, result.signals))
  }

  private static func decision(_ rules: DecisionRules) -> [Piece] {
    let client = Samples.client, event = Samples.event
    let message: ([Evaluation]) -> Void = { evaluations in
      guard let evaluation = evaluations.last else { return }
      let (risks, recommended) = texts(of: evaluation)
      if let action = rules.action(of: evaluation, for: client, risks: risks, recommended: recommended) {
        keep(ActionEvent.message(action))
      }
    }
    var random = IDRandom()
    var evaluated = client
    let evaluations = rules.evaluate(&evaluated, taking: [event], random: &random)
    return [
      Piece(name: "evaluate-client") {
        var random = IDRandom()
        var evaluated = client
        keep(rules.evaluate(&evaluated, taking: [event], random: &random))
      },
      Piece(name: "explain") {
        guard let evaluation = evaluations.last else { return }
        let (risks, _) = texts(of: evaluation)
        var json = JSONWriter(reservingCapacity: 1024)
        evaluation.writeExplanation(ruleVersion: rules.version, risks: risks, into: &json)
        keep(json.bytes)
      },
      Piece(name: "message") { message(evaluations) },
      verification(rules),
    ]
  }

  /// Makes a recorded decision again.
  private static func verification(_ rules: DecisionRules) -> Piece {
    var rules = rules, client = Samples.client, random = IDRandom()
    rules.recordsInputs = true
    let evaluation = rules.evaluate(&client, taking: [Samples.event], random: &random)[0]
    var json = JSONWriter(reservingCapacity: 1024)
    evaluation.writeExplanation(ruleVersion: rules.version, risks: texts(of: evaluation).risks, into: &json)
    let input = evaluation.input ?? [], explanation = json.bytes, verifier = DecisionVerifier(rules: rules)
    return Piece(name: "verify-decision") {
      guard verifier.verify(input, explanation) == .same else { throw Unverified() }
    }
  }

  private static func texts(of evaluation: Evaluation) -> (risks: [UInt8], recommended: [UInt8]) {
    var json = JSONWriter(reservingCapacity: 1024)
    evaluation.assessment.writeRisks(into: &json)
    let risks = json.bytes
    json.removeAll()
    evaluation.assessment.writeRecommendedActions(into: &json)
    return (risks, json.bytes)
  }

  private static func state(_ rules: DecisionRules) -> [Piece] {
    let summary = Samples.client.summary, encoded = summary.encoded()
    let events = (0..<500).map { _ in Samples.event }
    return [
      Piece(name: "summary-encode") { keep(summary.encoded()) },
      Piece(name: "summary-decode") { keep(ClientSummary(encoded: encoded)) },
      Piece(name: "event-parameters") {
        keep(
          PostgresParameters {
            $0.uuids(events) { $0.id }
            $0.uuids(events) { $0.event.orgID }
            $0.texts(events) { $0.event.type }
            $0.jsonbs(events) { $0.event.metadata }
            $0.timestamptzs(events) { $0.event.occurredAt.microseconds }
            $0.texts(events) { $0.event.source }
            $0.texts(events) { $0.event.sourceEventID }
          })
      },
    ]
  }

  struct Unverified: Error {}
  struct Missing: Error, CustomStringConvertible {
    var description: String { "the mappings of cloudevents or stripe are missing" }
  }
  struct Unmapped: Error, CustomStringConvertible {
    var result: MappingResult
    var description: String { "a sample makes no event: \(result.outcomes)" }
  }
}
