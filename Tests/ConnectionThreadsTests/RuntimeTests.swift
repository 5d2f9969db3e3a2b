import ConnectionThreads
import Glibc
import Synchronization
import Testing

@Suite struct MonotonicInstantTests {
  @Test func `poll's timeout is rounded up, and 0 once the deadline has passed`() {
    let now = MonotonicInstant(nanoseconds: 5_000_000_000)
    #expect(now.millisecondsLeft(from: now) == 0)
    #expect((now + .seconds(-1)).millisecondsLeft(from: now) == 0)
    #expect((now + .nanoseconds(1)).millisecondsLeft(from: now) == 1)
    #expect((now + .milliseconds(7)).millisecondsLeft(from: now) == 7)
    #expect(MonotonicInstant.distantFuture.millisecondsLeft(from: now) == .max)
    #expect(MonotonicInstant.distantFuture.millisecondsLeft(from: .distantPast) == .max)
  }

  @Test func `long durations saturate`() {
    #expect(MonotonicInstant.now() + .seconds(Int64.max) == .distantFuture)
    #expect(Duration.seconds(Int64.max).wholeNanoseconds == .max)
    #expect(Duration.seconds(Int64.min).wholeNanoseconds == .min)
    #expect(Duration.milliseconds(1500).wholeNanoseconds == 1_500_000_000)
    #expect(MonotonicInstant.now() > .distantPast)
  }
}

@Suite struct LatchTests {
  @Test func `everybody who waits goes on once it is open`() async {
    let latch = Latch()
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<10 { group.addTask { await latch.wait() } }
      group.addTask {
        latch.open()
        latch.open()
      }
    }
    await latch.wait()
  }
}

@Suite struct NamedThreadTests {
  @Test func `a thread runs its body under its name, cut to what the kernel keeps`() async {
    let name = Mutex("")
    let latch = Latch()
    NamedThread.start(name: "a-name-that-is-too-long", stackBytes: 256 << 10) {
      var buffer = [UInt8](repeating: 0, count: 32)
      let file = open("/proc/thread-self/comm", O_RDONLY)
      let count = read(file, &buffer, buffer.count)
      close(file)
      name.withLock { $0 = String(decoding: buffer.prefix(max(count, 0)), as: UTF8.self) }
      latch.open()
    }
    await latch.wait()
    #expect(name.withLock(\.self) == "a-name-that-is-\n")
  }
}
