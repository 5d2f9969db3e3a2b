public import FoundationEssentials
public import JourneyAMQP
public import PostgresClient
import Journey

/// The API's operations on dead letters. Answers are JSON objects, laid out as `contracts/openapi.yaml` says.
public struct DeadLetterOperations: Sendable {
  /// Longer bodies are of no use in a browser: `journey dlq show --raw` writes the whole body.
  private static let maxShownBytes = 256 << 10

  private let worker: PostgresWorker
  private let decoder: InboundDecoder
  private let maxBodyBytes: Int

  /// - Parameters:
  ///   - worker: a connection of the adapter's role.
  ///   - maxBodyBytes: the largest body that the mapping reads.
  public init(worker: PostgresWorker, decoder: InboundDecoder, maxBodyBytes: Int) {
    self.worker = worker
    self.decoder = decoder
    self.maxBodyBytes = maxBodyBytes
  }

  public func statistics(_ state: DeadLetterState) async throws(OperationsError) -> DeadLetterStatistics {
    var filter = DeadLetterFilter()
    filter.states = [state]
    return try await OperationsError.unavailable { [filter] in try await repository().statistics(filter) }
  }

  public func list(_ filter: DeadLetterFilter, before: UUID?, limit: Int) async throws(OperationsError) -> [UInt8] {
    let found = try await OperationsError.unavailable {
      try await repository().list(filter, before: before, limit: limit + 1, withBodies: false)
    }
    let page = found.prefix(limit)
    let answer: JSONObject = [
      "items": page.map { DeadLetterJSON($0, body: .omitted, maxHeaderBytes: 4 << 10) },
      "nextCursor": found.count > limit ? page.last.map { Self.cursor($0.id) } : JSONNull(),
    ]
    return encodeJSON(answer, reservingCapacity: 16_384)
  }

  private static func cursor(_ id: UUID) -> String {
    Data("[\"\(id.text)\"]".utf8).base64EncodedString().replacing("=", with: "").replacing("+", with: "-")
      .replacing("/", with: "_")
  }

  public func deadLetter(_ id: UUID) async throws(OperationsError) -> [UInt8]? {
    var filter = DeadLetterFilter()
    filter.ids = [id]
    let (found, history) = try await OperationsError.unavailable { [filter] in
      (
        try await repository().list(filter, limit: 1, withBodies: true, bodyBytes: maxBodyBytes),
        try await repository().history(of: id)
      )
    }
    guard var deadLetter = found.first else { return nil }
    let trace = Result { () throws(Rejection) in try deadLetter.deadLetter.message.trace(with: decoder) }
    deadLetter.deadLetter.message.body = Array(deadLetter.deadLetter.message.body.prefix(Self.maxShownBytes))
    return encodeJSON(DeadLetterDetails(deadLetter, history: history, trace: trace), reservingCapacity: 8192)
  }

  public func discard(_ filter: DeadLetterFilter, why: String, by actor: String) async throws(OperationsError) -> Int {
    try await OperationsError.unavailable { try await repository(actor).discard(filter, why: why) }
  }

  private func repository(_ actor: String = "") -> DeadLetterRepository {
    DeadLetterRepository(worker: worker, actor: actor)
  }
}
