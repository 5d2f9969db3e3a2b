import ConnectionThreads
import Journey

/// Counts the ticks of `Liveness` on a thread of its own, and has a task turn once a second, which shows that tasks run.
enum LivenessWatch {
  static func start(_ liveness: Liveness) {
    NamedThread.startEverySecond(name: "liveness") { liveness.tick() }
    let tasks = liveness.loop("tasks", limit: 20)
    tasks.turn()
    Task.detached {
      while true {
        try? await Task.sleep(for: .seconds(1))
        tasks.turn()
      }
    }
  }
}
