@testable import AMQPClient
import ConnectionThreads
import Testing

@Suite("Renewal of a channel")
struct ChannelRenewalTests {
  @Test("Only a channel that has refused is replaced, and none before a second")
  func renewal() {
    var renewal = ChannelRenewal()
    renewal.opened(at: .seconds(1))
    #expect(!renewal.isDue(at: .seconds(100)))
    renewal.refused()
    #expect(!renewal.isDue(at: .seconds(2, -1)))
    #expect(renewal.isDue(at: .seconds(2)))
    // Answers that do not come are waited for two seconds; then messages go out again, for a second.
    renewal.postponeIfTimedOut(at: .seconds(4, -1))
    #expect(renewal.isDue(at: .seconds(4, -1)))
    renewal.postponeIfTimedOut(at: .seconds(4))
    #expect(!renewal.isDue(at: .seconds(5, -1)))
    #expect(renewal.isDue(at: .seconds(5)))
    renewal.opened(at: .seconds(6))
    #expect(!renewal.isDue(at: .seconds(100)))
  }
}

@Suite("Confirm tracker")
struct ConfirmTrackerTests {
  private typealias Tracker = ConfirmTracker<Int>

  private func resolve(
    _ tracker: inout Tracker, _ sequence: UInt64, multiple: Bool = false, isAck: Bool = true
  ) throws -> [Int: Tracker.Resolution] {
    var result: [Int: Tracker.Resolution] = [:]
    try tracker.confirm(sequence: sequence, multiple: multiple, isAck: isAck) { result[$0] = $1 }
    return result
  }

  @Test("Any mix of answers resolves each message once, and the counts come back to zero")
  func random() throws {
    var generator = SeededGenerator(seed: 7)
    for _ in 0..<50 {
      var tracker = Tracker()
      var open: Set<Int> = []
      var published = 0
      for _ in 0..<400 {
        if Bool.random(using: &generator) || open.isEmpty {
          published += 1
          open.insert(published)
          tracker.published(published, bytes: 3, identity: nil)
        } else {
          let sequence = Int.random(in: 1...published, using: &generator)
          let multiple = Int.random(in: 0..<4, using: &generator) == 0
          let isAck = Bool.random(using: &generator)
          let expected = multiple ? open.filter { $0 <= sequence } : open.intersection([sequence])
          let resolved = try resolve(&tracker, UInt64(sequence), multiple: multiple, isAck: isAck)
          #expect(Set(resolved.keys) == expected)
          #expect(resolved.values.allSatisfy { $0 == (isAck ? .confirmed : .nacked) })
          open.subtract(expected)
        }
        #expect(tracker.outstandingCount == open.count)
        #expect(tracker.outstandingBytes == 3 * open.count)
      }
      #expect(try Set(resolve(&tracker, 0, multiple: true).keys) == open)
      #expect(tracker.outstandingCount == 0)
    }
  }

  @Test("Returns go to the oldest message that looks like it, each message once")
  func returns() throws {
    var tracker = Tracker()
    func identity(_ key: String, _ id: String?) -> Tracker.Identity {
      .init(exchange: "e", routingKey: key, messageID: id)
    }
    for (number, key) in ["a", "b", "a", "b", "a"].enumerated() {
      tracker.published(number, bytes: 1, identity: identity(key, nil))
    }
    tracker.published(5, bytes: 1, identity: identity("a", "named"))
    tracker.published(6, bytes: 1, identity: nil)
    let matched = [identity("a", nil), identity("a", "named"), identity("a", nil), identity("c", nil)].map {
      tracker.returned($0, code: 312, text: "NO_ROUTE")
    }
    #expect(matched == [true, true, true, false])
    let all = try resolve(&tracker, 7, multiple: true)
    let returned = Tracker.Resolution.returned(code: 312, text: "NO_ROUTE")
    #expect(all == [0: returned, 1: .confirmed, 2: returned, 3: .confirmed, 4: .confirmed, 5: returned, 6: .confirmed])
  }

  @Test("An answer to something never published is an error; a repeated one is not")
  func unsupportedParameters() throws {
    var tracker = Tracker()
    tracker.published(1, bytes: 1, identity: nil)
    #expect(throws: AMQPError.self) { try resolve(&tracker, 2) }
    #expect(throws: AMQPError.self) { try resolve(&tracker, 0) }
    #expect(try resolve(&tracker, 1).count == 1)
    #expect(try resolve(&tracker, 1).isEmpty)
    #expect(try resolve(&tracker, 0, multiple: true).isEmpty)
  }

  @Test("A new channel counts from one")
  func reset() throws {
    var tracker = Tracker()
    for number in 1...600 { tracker.published(number, bytes: 1, identity: nil) }
    _ = try resolve(&tracker, 598, multiple: true)
    #expect(tracker.reset() == [599, 600])
    tracker.published(9, bytes: 1, identity: nil)
    #expect(try resolve(&tracker, 1) == [9: .confirmed])
  }
}

@Suite("Content assembler")
struct ContentAssemblerTests {
  private let opening = ContentAssembler.Opening.delivery(tag: 1, isRedelivered: false, exchange: "e", routingKey: "k")

  private func body(_ assembler: inout ContentAssembler, _ bytes: [UInt8]) throws -> ContentAssembler.Content? {
    // The typed error does not pass through the rethrowing closure.
    let result: Result<ContentAssembler.Content?, AMQPError> = bytes.withUnsafeBytes { buffer in
      do throws(AMQPError) { return .success(try assembler.body(buffer)) } catch { return .failure(error) }
    }
    return try result.get()
  }

  @Test("Fragments of any size make up the body")
  func fragments() throws {
    var assembler = ContentAssembler(maxBodyBytes: 100)
    try assembler.open(opening)
    #expect(try assembler.header(size: 6, properties: .init(), isTooDeep: false) == nil)
    #expect(try body(&assembler, [1]) == nil)
    #expect(try body(&assembler, [2, 3, 4]) == nil)
    let content = try #require(try body(&assembler, [5, 6]))
    #expect(content.body == [1, 2, 3, 4, 5, 6])
    #expect(assembler.isIdle)
    try assembler.open(opening)
    #expect(try assembler.header(size: 0, properties: .init(), isTooDeep: false)?.body == [])
  }

  @Test("Frames out of order, bodies too long and absurd sizes are refused")
  func violations() throws {
    var assembler = ContentAssembler(maxBodyBytes: 100)
    #expect(throws: AMQPError.self) { try assembler.header(size: 1, properties: .init(), isTooDeep: false) }
    #expect(throws: AMQPError.self) { try body(&assembler, [1]) }
    try assembler.open(opening)
    #expect(throws: AMQPError.self) { try assembler.open(opening) }
    #expect(throws: AMQPError.self) { try assembler.header(size: .max, properties: .init(), isTooDeep: false) }
    #expect(try assembler.header(size: 2, properties: .init(), isTooDeep: false) == nil)
    #expect(throws: AMQPError.self) { try body(&assembler, [1, 2, 3]) }
  }

  @Test("Of a body that may not be kept the beginning and the digest are", arguments: [[1, 2], [3], [1, 1, 1]])
  func beginning(fragments: [Int]) throws {
    var assembler = ContentAssembler(maxBodyBytes: 2, beginningOfLargerBodies: 2)
    let bytes = Array("abc".utf8)
    try assembler.open(opening)
    #expect(try assembler.header(size: 3, properties: .init(), isTooDeep: false) == nil)
    var content: ContentAssembler.Content?
    var start = 0
    for count in fragments {
      content = try body(&assembler, Array(bytes[start..<(start + count)]))
      start += count
    }
    #expect(content?.body == Array("ab".utf8) && content?.bodySize == 3 && content?.problem == .bodyTooLarge)
    // As sha256sum says.
    #expect(content?.bodyDigest?.count == 32 && content?.bodyDigest?.prefix(4) == [0xba, 0x78, 0x16, 0xbf])
    try assembler.open(opening)
    #expect(try assembler.header(size: 2, properties: .init(), isTooDeep: false) == nil)
    let small = try body(&assembler, [1, 2])
    #expect(small?.bodyDigest == nil && small?.problem == nil && small?.body == [1, 2])
  }

  @Test("A body that may not be kept is counted to its end")
  func thrownAway() throws {
    var assembler = ContentAssembler(maxBodyBytes: 3)
    for size in [4, 5] {
      try assembler.open(opening)
      #expect(try assembler.header(size: UInt64(size), properties: .init(), isTooDeep: false) == nil)
      #expect(try body(&assembler, [1, 2]) == nil)
      let content = try #require(try body(&assembler, [UInt8](repeating: 0, count: size - 2)))
      #expect(content.problem == .bodyTooLarge)
      #expect(content.body.isEmpty)
      #expect(content.bodySize == size)
    }
  }
}

/// Chance that a failing run can be repeated with.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
