import ArgumentParser
import Journey
import JourneyConfiguration
import JourneyPostgres

/// `journey pause`
struct Pause: Command {
  static let configuration = CommandConfiguration(
    commandName: "pause", abstract: "Pause consuming: events wait in the broker.",
    discussion: """
      An instance finishes what it has received, and goes on publishing actions. The pause holds until journey resume, also for instances that start \
      later and through restarts. It returns when every live instance has confirmed; one that does not answer obeys when it is back. \
      Exit status: 0 all have; 1 a live instance has not within 30 s, or one of a version before 0.7 runs, which cannot be paused; 65 no such \
      instance; 69 the database is not available.
      """,
    examples: [
      "journey pause --reason \"moving the database\"",
      "journey pause --instance node-2 --reason \"a look\"",
    ])

  @OptionGroup var target: InstanceOptions
  @OptionGroup var reason: ReasonOption
  @OptionGroup var options: PauseOptions

  func execute() async throws { try await options.order(pause: true, target, why: reason.text()) }
}

/// `journey resume`
struct Resume: Command {
  static let configuration = CommandConfiguration(
    commandName: "resume", abstract: "Resume consuming after journey pause.",
    discussion:
      "The last order that concerns an instance holds: resuming all also resumes those that were paused alone.",
    examples: ["journey resume", "journey resume --instance node-2"])

  @OptionGroup var target: InstanceOptions
  @Option(help: "The reason, for the record.")
  var reason: String?
  @OptionGroup var options: PauseOptions

  func execute() async throws { try await options.order(pause: false, target, why: reason) }
}

/// Which instances an order is for.
struct InstanceOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Only this instance, as journey instances lists it.", valueName: "id"))
  var instance: String?

  @Flag(help: "All instances, also those that start later. The default.")
  var all = false

  func validate() throws {
    if all, instance != nil { throw ValidationError("--all and --instance exclude each other") }
  }
}

struct PauseOptions: ParsableArguments {
  @OptionGroup var actor: ActorOptions
  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  private static let timeout = Duration.seconds(30)

  func order(pause: Bool, _ target: InstanceOptions, why: String?) async throws {
    let (order, instances, others) = try await common.settings().withDatabase { worker in
      let repository = InstanceRepository(worker: worker)
      if let name = target.instance { try require(name, try await repository.list()) }
      let order = try await repository.give(pause: pause, to: target.instance, actor: actor.name, why: why)
      let instances = try await confirmed(order, repository)
      // One that was named has a lease.
      let others = pause && target.instance == nil ? try await repository.withoutLease() : 0
      return (order, instances, others)
    }
    let live = instances.filter(\.isLive), late = live.filter { $0.obeyed < order.id }
    if output.json {
      printJSON(
        [
          "order": Int(order.id), "action": pause ? "pause" : "resume", "withoutLease": others,
          "instances": instances.map {
            $0.json(answer: !$0.isLive ? "silent" : $0.obeyed < order.id ? "late" : "confirmed")
          },
        ] as JSONObject)
    } else {
      if instances.isEmpty, others == 0 {
        Output.line("no instance runs; those that start will \(pause ? "be paused" : "consume")")
      }
      for instance in instances {
        Output.line("\(instance.instance.plain()): " + answer(instance, order))
      }
    }
    guard late.isEmpty else {
      throw Failure(
        .failed, "not confirmed within 30 s: \(late.map { $0.instance.plain() }.joined(separator: ", "))",
        advice: "it obeys as soon as the broker lets it; journey instances shows how it stands")
    }
    guard others == 0 else {
      // A frozen process is alive, too, while its lease has run out.
      let orSilent = live.count < instances.count ? ", unless it is one that does not answer" : ""
      throw Failure(
        .failed,
        "\(others.of("instance")) of an earlier version cannot be paused: stop \(others == 1 ? "it" : "them")\(orSilent)",
        advice: "a journey recompute that runs counts as one, too")
    }
  }

  private func answer(_ instance: ListedInstance, _ order: PauseOrder) -> String {
    guard instance.isLive else {
      return "no answer since \(instance.seenAt.local(at: SystemClock().now())); it obeys when it is back"
    }
    guard instance.obeyed >= order.id else { return "runs, and has not confirmed" }
    guard order.isPause else { return instance.state == .consuming ? "consumes" : "may consume (\(instance.state))" }
    return instance.inHand == 0 ? "paused" : "paused, \(instance.inHand.of("message")) in hand"
  }

  private func require(_ name: String, _ known: [ListedInstance]) throws {
    guard !known.contains(where: { $0.instance == name }) else { return }
    let names = known.map { $0.instance.plain() }.joined(separator: ", ")
    throw Failure(
      .refusedInput, "there is no instance \(name.plain(60))",
      advice: names.isEmpty ? "none has run" : "known: \(names)")
  }

  /// Returns when each instance that is meant has confirmed the order, or its lease has run out.
  private func confirmed(_ order: PauseOrder, _ repository: InstanceRepository) async throws -> [ListedInstance] {
    let end = ContinuousClock.now + Self.timeout
    while true {
      let meant = try await repository.list().filter { order.instance == nil || order.instance == $0.instance }
      if .now >= end || meant.allSatisfy({ !$0.isLive || $0.obeyed >= order.id }) { return meant }
      try await Task.sleep(for: .milliseconds(100))
    }
  }
}

extension InstanceRepository {
  /// How many processes are alive without a lease: instances of versions before 0.7. One that starts, or whose lease
  /// is renewed late, is given a few seconds.
  /// - Parameter counting: the leases to count.
  func withoutLease(counting isCounted: (ListedInstance) -> Bool = \.isLive) async throws -> Int {
    let end = ContinuousClock.now + .seconds(6)
    while true {
      let others = try await alive() - list().count(where: isCounted)
      if others <= 0 || .now >= end { return max(0, others) }
      try await Task.sleep(for: .milliseconds(200))
    }
  }
}
