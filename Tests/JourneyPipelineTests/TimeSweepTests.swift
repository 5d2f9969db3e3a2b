import FoundationEssentials
import Journey
import JourneyPipeline
import Testing

/// Clients are evaluated when their time has come, beside the events.
@Suite(.timeLimit(.minutes(5))) struct TimeSweepTests {
  private func settings(interval: Duration = .seconds(3600), limit: Int = 10) -> Pipeline.Settings {
    var settings = Pipeline.Settings.test()
    settings.sweepInterval = interval
    settings.sweepLimit = limit
    return settings
  }

  private func receipt(_ looked: Int, actions: Int = 0, held: [UUID] = []) -> DueReceipt {
    let clients = (0..<looked).map { _ in DueReceipt.Client(id: UUID(), orgID: UUID()) }
    let outbox = actions > 0 ? OutboxBatch(id: UUID(), actions: (0..<actions).map { _ in .test() }) : nil
    return DueReceipt(looked: looked, evaluated: clients, held: held, outbox: outbox)
  }

  private func ledger(_ due: [Result<DueReceipt, LedgerError>]) -> FakeLedger {
    let ledger = FakeLedger()
    ledger.state.change { $0.due = due }
    return ledger
  }

  private func error(_ kind: LedgerError.Kind, at client: UUID? = nil) -> Result<DueReceipt, LedgerError> {
    var error = LedgerError(kind, "no")
    error.client = client
    return .failure(error)
  }

  @Test func `all that is due is evaluated at once, and its actions are published and noted`() async throws {
    let ledger = ledger([.success(receipt(10, actions: 3)), .success(receipt(10)), .success(receipt(4, actions: 1))])
    let publisher = FakePublisher()
    let counts = try await withPipeline(FakeSource([]), ledger, publisher, settings()) { _ in
      try await publisher.state.wait { $0.actions.count == 4 }
      try await ledger.state.wait { $0.dueLimits.count == 3 }
    }
    #expect(counts.overTime == 24)
    #expect(ledger.now.published.count == 4)
    #expect(ledger.now.dueLimits == [10, 10, 10])
  }

  @Test func `however many are due, each takes the time that is set for it`() async throws {
    let ledger = ledger([.success(receipt(10)), .success(receipt(10)), .success(receipt(10)), .success(receipt(3))])
    var settings = settings()
    settings.sweepPace = .milliseconds(5)
    let begin = ContinuousClock.now
    _ = try await withPipeline(FakeSource([]), ledger, FakePublisher(), settings) { _ in
      try await ledger.state.wait { $0.dueLimits.count == 4 }
    }
    #expect(begin.duration(to: .now) >= .milliseconds(150))
  }

  @Test func `organisations that somebody else holds are passed over until the next turn`() async throws {
    let org = UUID()
    let ledger = ledger([.success(receipt(10, held: [org])), .success(receipt(2)), .success(receipt(1))])
    _ = try await withPipeline(FakeSource([]), ledger, FakePublisher(), settings(interval: .milliseconds(1))) { _ in
      try await ledger.state.wait { $0.passedOver.count >= 3 }
    }
    #expect(ledger.now.passedOver.prefix(3).map(\.organizations) == [[], [org], []])
  }

  @Test func `a client that is refused is found, and put off once a turn`() async throws {
    let client = UUID()
    let ledger = ledger([error(.poison), error(.poison), error(.poison, at: client), .success(receipt(3))])
    let health = Health()
    _ = try await withPipeline(
      FakeSource([]), ledger, FakePublisher(), settings(interval: .milliseconds(1)), health: health
    ) { _ in
      try await ledger.state.wait { $0.dueLimits.count >= 4 }
      while !health.problems.isEmpty { await Task.yield() }
    }
    #expect(ledger.now.dueLimits.prefix(4) == [10, 2, 1, 10])
    #expect(ledger.now.postponed == [client])
  }

  @Test func `a client that somebody else holds is found, and keeps no other from being evaluated`() async throws {
    let client = UUID()
    let ledger = ledger([
      error(.contended), error(.contended), error(.contended, at: client), .success(receipt(1)), .success(receipt(2)),
      .success(receipt(3)),
    ])
    let counts = try await withPipeline(FakeSource([]), ledger, FakePublisher(), settings()) { _ in
      try await ledger.state.wait { $0.dueLimits.count == 6 }
    }
    #expect(ledger.now.dueLimits == [10, 2, 1, 1, 2, 4])
    #expect(ledger.now.passedOver.map(\.clients) == [[], [], [], [client], [client], [client]])
    #expect(counts.overTime == 6 && ledger.now.postponed.isEmpty)
  }

  @Test func `what passes is waited out, and shows meanwhile`() async throws {
    for kind in [LedgerError.Kind.transient, .contended] {
      let ledger = ledger([error(kind), error(kind), error(kind)])
      let health = Health()
      _ = try await withPipeline(FakeSource([]), ledger, FakePublisher(), settings(limit: 1), health: health) { _ in
        try await ledger.state.wait { $0.dueLimits.count == 1 }
        while health.problems.isEmpty { await Task.yield() }
      }
      #expect(ledger.now.postponed.isEmpty)
      #expect(ledger.now.dueLimits == [1])
    }
  }

  @Test func `a stop finishes the transaction that is under way, and begins no other`() async throws {
    let isHeldUp = Watched(true)
    // As the database: what runs there is not cancelled.
    let ledger = FakeLedger(evaluating: { await Task { try? await isHeldUp.wait { !$0 } }.value })
    let first = receipt(10, actions: 3)
    ledger.state.change { $0.due = [.success(first)] + (0..<9).map { _ in .success(receipt(10, actions: 1)) } }
    let source = FakeSource([])
    let publisher = FakePublisher()
    let counts = try await withPipeline(source, ledger, publisher, settings()) { _ in
      try await ledger.state.wait { $0.dueLimits.count == 1 }
    } meanwhile: {
      try await source.state.wait { $0.isStopped }
      isHeldUp.change { $0 = false }
    }
    #expect(counts.overTime == 10)
    #expect(ledger.now.dueLimits.count == 1)
    #expect(publisher.now.actions.map(\.id) == first.outbox?.actions.map(\.id))
    #expect(ledger.now.published == first.outbox?.actions.map(\.id), "what it published is noted")
  }
}
