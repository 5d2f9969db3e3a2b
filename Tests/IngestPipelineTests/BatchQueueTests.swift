import TestSupport
@testable import IngestPipeline
import Testing

@Suite(.timeLimit(.minutes(5))) struct BatchQueueTests {
  /// Numbers of one ten are one client's. Time stands still unless it is moved.
  private func queue(workers: Int, limit: Int, passed: Watched<Duration> = Watched(.zero)) -> BatchQueue<Int> {
    let start = ContinuousClock.now
    return BatchQueue(workers: workers, limit: limit, timeout: .seconds(1), now: { start + passed.now }) { $0 / 10 }
  }

  @Test func allThatWaitsIsTakenAtOnce() async {
    let queue = queue(workers: 3, limit: 10)
    queue.append([1, 20])
    queue.append([2])
    #expect(await queue.next(for: 2) == [1, 20, 2])
  }

  @Test func aFurtherWorkerWaitsForAsMuchAsTheLargestBatchUnderWay() async {
    let queue = queue(workers: 3, limit: 12)
    queue.append([1])
    #expect(await queue.next(for: 0) == [1])
    queue.append([20, 30])
    #expect(await queue.next(for: 1) == [20, 30])
    async let other = queue.next(for: 2)
    for _ in 0..<100 { await Task.yield() }
    // As much as the one, but less than the two.
    queue.append([40])
    for _ in 0..<100 { await Task.yield() }
    queue.append([50])
    #expect(await other == [40, 50])
    // One is less than the two under way, until they are done.
    async let third = queue.next(for: 1)
    for _ in 0..<100 { await Task.yield() }
    queue.append([60])
    for _ in 0..<100 { await Task.yield() }
    queue.detach(2)
    #expect(await third == [60])
  }

  @Test
  func aReturningWorkerIsServedBeforeAWaitingOne()
    async
  {
    let queue = queue(workers: 2, limit: 12)
    queue.append([10, 20, 30, 40, 50, 60, 70, 80])
    #expect(await queue.next(for: 1) == [10, 20, 30, 40, 50, 60, 70, 80])
    async let other = queue.next(for: 0)
    for _ in 0..<100 { await Task.yield() }
    // Eight, but less than a quarter of them without the other worker's clients.
    queue.append([11, 21, 31, 41, 51, 61, 71, 90])
    for _ in 0..<100 { await Task.yield() }
    async let first = queue.next(for: 1)
    for _ in 0..<100 { await Task.yield() }
    queue.close()
    #expect(await first == [11, 21, 31, 41, 51, 61, 71, 90])
    #expect(await other == nil)
  }

  @Test func aWorkerTakesTheRestIfMostBelongsToOthers() async {
    let queue = queue(workers: 2, limit: 12)
    queue.append([10, 20, 30, 40, 50, 60, 70, 80])
    #expect(await queue.next(for: 1) == [10, 20, 30, 40, 50, 60, 70, 80])
    queue.append([11, 21, 31, 41, 51, 61, 90, 100])
    #expect(await queue.next(for: 0) == [90, 100])
  }

  @Test func aWorkerThatIsStuckHoldsNoOtherBack() async {
    let passed = Watched(Duration.zero)
    let queue = queue(workers: 3, limit: 12, passed: passed)
    queue.append([10, 20, 30, 40, 50, 60])
    #expect(await queue.next(for: 0) == [10, 20, 30, 40, 50, 60])
    async let other = queue.next(for: 1)
    for _ in 0..<100 { await Task.yield() }
    queue.append([70, 80, 90])
    passed.change { $0 = .seconds(1) - .nanoseconds(1) }
    queue.append([100])
    for _ in 0..<100 { await Task.yield() }
    passed.change { $0 = .seconds(1) }
    queue.append([110])
    #expect(await other == [70, 80, 90, 100, 110])
    // What the other has taken meanwhile counts.
    async let third = queue.next(for: 2)
    for _ in 0..<100 { await Task.yield() }
    queue.append([120, 130, 140, 150])
    for _ in 0..<100 { await Task.yield() }
    queue.append([160])
    #expect(await third == [120, 130, 140, 150, 160])
  }

  @Test func elementsKeptBackByAStuckWorkerAreDispatchedEvenIfNothingElseComes() async {
    let queue = BatchQueue<Int>(workers: 2, limit: 12, timeout: .milliseconds(20)) { $0 / 10 }
    queue.append([10, 20])
    #expect(await queue.next(for: 0) == [10, 20])
    queue.append([30])
    await withTaskGroup { group in
      group.addTask { await queue.watch() }
      #expect(await queue.next(for: 1) == [30])
      group.cancelAll()
    }
  }

  @Test func underABacklogWorkersWorkSideBySide() async {
    let queue = queue(workers: 2, limit: 4)
    queue.append([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    #expect(await queue.next(for: 0) == [10, 20, 30, 40])
    #expect(await queue.next(for: 1) == [50, 60, 70, 80])
    #expect(await queue.next(for: 0) == [90, 100, 110, 120])
  }

  @Test func aClientIsOneWorkersAtATimeAndNothingOvertakesWithinAClient() async {
    let queue = queue(workers: 2, limit: 4)
    queue.append([10, 20, 30, 40, 11, 50, 21, 60, 12, 70, 80, 31])
    #expect(await queue.next(for: 0) == [10, 20, 30, 40])
    #expect(await queue.next(for: 1) == [50, 60, 70, 80])
    #expect(await queue.next(for: 0) == [11, 21, 12, 31])
  }

  @Test func whatBelongsToBusyClientsWaitsForThem() async {
    let queue = queue(workers: 2, limit: 4)
    queue.append([10])
    #expect(await queue.next(for: 0) == [10])
    queue.append([11, 12, 13])
    async let other = queue.next(for: 1)
    for _ in 0..<100 { await Task.yield() }
    queue.append([20])
    #expect(await other == [20])
    #expect(await queue.next(for: 0) == [11, 12, 13])
  }

  @Test func requeuedElementsAreTheOldestAndTheirClientStaysWithTheWorker() async {
    let queue = queue(workers: 2, limit: 2)
    queue.append([10, 20, 30, 40, 11])
    #expect(await queue.next(for: 0) == [10, 20])
    queue.requeue([10])
    #expect(await queue.next(for: 1) == [30, 40])
    #expect(await queue.next(for: 0) == [10, 11])
  }

  @Test func aClientThatIsSetAsideIsSkippedUntilItsPauseIsOver()
    async
  {
    let passed = Watched(Duration.zero)
    let queue = queue(workers: 2, limit: 12, passed: passed)
    queue.append([10, 20])
    #expect(await queue.next(for: 0) == [10, 20])
    queue.requeue([10], pauses: [1: .milliseconds(5)])
    queue.append([11, 30])
    #expect(queue.countSetAside == 2)
    #expect(await queue.next(for: 0) == [30])
    // Woken by its own clock, with no other call.
    passed.change { $0 = .milliseconds(5) }
    #expect(await queue.next(for: 0) == [10, 11])
    #expect(queue.countSetAside == 0)
  }

  @Test func aClosedQueueStillGivesElementsThatWereSetAside() async {
    let queue = BatchQueue<Int>(workers: 1, limit: 12) { $0 / 10 }
    queue.append([10])
    #expect(await queue.next(for: 0) == [10])
    queue.requeue([10], pauses: [1: .milliseconds(5)])
    queue.close()
    #expect(await queue.next(for: 0) == [10])
    #expect(await queue.next(for: 0) == nil)
  }

  @Test func whileAWorkerPausesOthersTakeWhatComesHoweverLittleButNotItsClients() async {
    let queue = queue(workers: 2, limit: 12)
    queue.append([10, 20, 30])
    #expect(await queue.next(for: 0) == [10, 20, 30])
    async let other = queue.next(for: 1)
    for _ in 0..<100 { await Task.yield() }
    queue.append([40, 11])
    for _ in 0..<100 { await Task.yield() }
    queue.markIdle(0)
    #expect(await queue.next(for: 0) == [11])
    queue.close()
    #expect(await other == [40])
  }

  @Test func aWorkerThatHasLeftHoldsNoClient() async {
    let queue = queue(workers: 2, limit: 2)
    queue.append([10, 20, 11])
    #expect(await queue.next(for: 0) == [10, 20])
    async let other = queue.next(for: 1)
    for _ in 0..<100 { await Task.yield() }
    queue.detach(0)
    #expect(await other == [11])
    queue.close()
    #expect(await queue.next(for: 1) == nil)
  }

  @Test func aReaderWaitsForElements() async {
    let queue = queue(workers: 1, limit: 10)
    async let claimed = queue.next(for: 0)
    for _ in 0..<100 { await Task.yield() }
    queue.append([1])
    #expect(await claimed == [1])
  }

  @Test func aClosedQueueGivesWhatItHasThenNothing() async {
    let queue = queue(workers: 2, limit: 10)
    queue.append([1, 20])
    queue.close()
    #expect(await queue.next(for: 1) == [1, 20])
    #expect(await queue.next(for: 0) == nil)
    #expect(await queue.next(for: 1) == nil)
  }

  @Test func theEndWakesTheReaders() async {
    let queue = queue(workers: 2, limit: 10)
    async let one = queue.next(for: 0)
    async let other = queue.next(for: 1)
    for _ in 0..<100 { await Task.yield() }
    queue.close()
    #expect(await one == nil)
    #expect(await other == nil)
  }

  @Test(arguments: [1, 3, 32]) func elementsOfManyWritersAreNeitherLostNorDoubledNorOvertakenWithinAClient(
    workers: Int
  ) async {
    struct Item {
      var client: Int
      var number: Int
    }
    let queue = BatchQueue<Item>(workers: workers, limit: 17) { $0.client }
    let seen = Watched<[Item]>([])
    await withTaskGroup { readers in
      for worker in 0..<workers {
        readers.addTask {
          while let batch = await queue.next(for: worker) {
            #expect((1...17).contains(batch.count))
            // No other worker may record the same client before this worker returns.
            seen.change { $0 += batch }
            await Task.yield()
          }
        }
      }
      await withTaskGroup { writers in
        for client in 0..<8 {
          writers.addTask {
            for number in 0..<500 {
              queue.append([Item(client: client, number: number)])
              if number % 50 == 0 { await Task.yield() }
            }
          }
        }
      }
      queue.close()
    }
    let all = seen.now
    for client in 0..<8 { #expect(all.filter { $0.client == client }.map(\.number) == Array(0..<500)) }
  }
}
