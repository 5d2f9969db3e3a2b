import AMQPClient
import DeadLetters
import Journey
import JourneyAMQP
import JourneyConfiguration
import JourneyPostgres

/// The work under way: what waits, and whether somebody does it.
extension DiagnosticReport {
  /// - Parameters:
  ///   - first: an earlier look at the queues; nil where the broker cannot be seen.
  ///   - database: nil where the database cannot be seen.
  mutating func work(
    _ settings: JourneyConfiguration.Settings, _ first: QueueLook?, _ database: StoreInspection?
  ) async {
    let arePaused = database == nil ? false : await pauses(settings, running: database?.backlog.instances ?? 0)
    if let first {
      // Without further looks where the broker has gone meanwhile.
      let looks = [first] + ((try? await settings.furtherLooks(after: first)) ?? [])
      queues(settings, looks, instances: database?.backlog.instances, arePaused: arePaused)
    }
    guard let database else { return }
    await holds(settings)
    await feeds(settings)
    await timeZones(settings)
    outbox(database)
    await archive(settings)
  }

  /// - Parameter running: how many instances run, those of earlier versions too.
  /// - Returns: whether all that run are paused.
  private mutating func pauses(_ settings: JourneyConfiguration.Settings, running: Int) async -> Bool {
    let found = try? await settings.withDatabase { worker -> (listed: [ListedInstance], forAll: PauseOrder?) in
      let repository = InstanceRepository(worker: worker)
      return (try await repository.list(), try await repository.orderForAll())
    }
    guard let found else { return false }
    let pauses = PauseFinding(found.listed.filter(\.isLive), running: running, forAll: found.forAll)
    if let text = pauses.text(at: SystemClock().now()) {
      add("instances", .warning, .paused, text, "run: journey resume")
    }
    return pauses.concernsAll
  }

  /// The open holds, and those whose actions are still to be decided again.
  private mutating func holds(_ settings: JourneyConfiguration.Settings) async {
    guard let found = try? await settings.withDatabase({ try await HoldRepository(worker: $0).list() }), !found.isEmpty
    else { return }
    let now = SystemClock().now(), open = found.filter(\.isOpen), ended = found.filter { !$0.isOpen }
    if !open.isEmpty {
      add(
        "holds", .warning, .held,
        "\(open.count.of("hold")) open:" + open.map { "\n\($0.inWords(at: now))" }.joined(),
        "run: journey hold release ID")
    }
    if !ended.isEmpty {
      add("holds", .ok, .ok, "\(ended.reduce(0) { $0 + $1.actions }.of("action")) to be decided again after a hold")
    }
  }

  private mutating func feeds(_ settings: JourneyConfiguration.Settings) async {
    guard let feeds = try? await settings.withDatabase({ try await FeedRepository(worker: $0).list() }) else { return }
    let silent = feeds.filter { $0.frozenSince != nil }
    guard let first = silent.first, let since = first.frozenSince else { return }
    let others = silent.count > 1 ? ", and \((silent.count - 1).of("other feed"))" : ""
    add(
      "feeds", .warning, .feedsSilent,
      "\(first.source.plain(60)) of the organisation \(first.orgID.text) is silent since "
        + "\(since.local(at: SystemClock().now()))\(others): risks that come from silence are frozen there",
      "look after the source, or if nobody expects it any more, run: journey feeds forget SOURCE --org ORG")
  }

  /// By which clocks the quiet hours go.
  private mutating func timeZones(_ settings: JourneyConfiguration.Settings) async {
    guard let hours = (try? await settings.decisions())?.actions.contact?.quietHours,
      let found = try? await settings.withDatabase({ try await OrganizationRepository(worker: $0).timeZones() })
    else { return }
    let unknown = found.filter { $0.name.map { !TimeZones.system.isKnown($0) } ?? false }
    if let first = unknown.first {
      add(
        "time zones", .warning, .timeZonesUnknown,
        "\((first.name ?? "").plain(60)) is no time zone, of the organisation \(first.id.text)"
          + (unknown.count > 1 ? " and \((unknown.count - 1).of("other"))" : "")
          + ": clients without a zone of their own have "
          + (hours.zone.map { "the quiet hours of \($0)" } ?? "no quiet hours"),
        "write its IANA name, such as Europe/Berlin: journey org add NAME --time-zone ZONE")
    } else if hours.zone == nil, !found.isEmpty {
      let named = found.count { $0.name != nil }
      add(
        "time zones", .ok, .ok,
        "\(named) of \(found.count.of("organisation")) with a time zone; the others' clients have no quiet hours")
    }
  }

  /// - Parameters:
  ///   - instances: how many run; nil if that is not known.
  ///   - arePaused: whether an operator has paused all that run.
  mutating func queues(
    _ settings: JourneyConfiguration.Settings, _ looks: [QueueLook], instances: Int?, arePaused: Bool = false
  ) {
    let names = settings.messagingNames
    var retries: [(name: String, ready: Int, after: Duration)] = [], actions = 0, calmChannels = 0
    for queue in names.queues {
      guard let (state, trend) = looks.trend(of: queue.name) else { continue }
      switch queue.contents {
      case .events:
        if case .unread = trend, arePaused {
          add("backlog", .ok, .ok, "\(state.ready.waiting("event")) in \(queue.name) for the end of the pause")
        } else {
          events(queue.name, state.ready, trend, instances: instances)
        }
      case .retries(let after): if state.ready > 0 { retries.append((queue.name, state.ready, after)) }
      case .actions(let channel):
        if self.actions(queue.name, channel, state.ready, trend) { continue }
        actions += state.ready
        calmChannels += 1
      case .deadLetters: deadLetters(settings, queue.name, state.ready, isRead: state.consumers > 0)
      case .outcomes: continue
      }
    }
    if calmChannels > 0 {
      add("actions", .ok, .ok, "\(actions) wait for their workers in \(calmChannels.of("queue"))")
    }
    self.retries(retries)
  }

  private mutating func events(_ queue: String, _ ready: Int, _ trend: QueueTrend, instances: Int?) {
    let waiting = "\(ready.waiting("event")) in \(queue)"
    switch trend {
    case .unread:
      let nobody = "nobody takes events from \(queue), where \(ready == 0 ? "none wait" : "\(ready) wait")"
      add(
        "backlog", ready > 0 ? .failure : .warning, .eventsUnread,
        nobody + (instances ?? 0 > 0 ? ", although \((instances ?? 0).of("instance")) of journey serve run" : ""),
        instances ?? 0 > 0
          ? "see the log of journey serve, or GET /ready: it says why it takes none" : "run: \(Advice.serve)")
    case .grows(let rate):
      add(
        "backlog", .warning, .eventsGrow, "\(waiting), \(rate) more each second",
        "start a further instance, on another machine; run: \(Advice.serve)")
    case .still:
      add(
        "backlog", .warning, .eventsStill, "\(waiting), and its consumers take none of them",
        "see the log of journey serve, or GET /ready: it says what it waits for")
    case .read(let rate):
      let end = rate < 0 && ready >= QueueTrend.growsFrom ? ", \(-rate) less each second" : ""
      add("backlog", .ok, .ok, waiting + end)
    }
  }

  /// - Returns: whether there was something to add.
  private mutating func actions(_ queue: String, _ channel: String, _ ready: Int, _ trend: QueueTrend) -> Bool {
    let waiting = "\(ready.waiting("action")) in \(queue)"
    switch trend {
    case .unread where ready > 0:
      add(
        "actions", .warning, .actionsUnread, "\(waiting), and nobody reads it",
        "start the worker of the channel \(channel): it consumes \(queue)")
    case .grows(let rate):
      add(
        "actions", .warning, .actionsGrow, "\(waiting), \(rate) more each second",
        "start a further worker of the channel \(channel)")
    case .still:
      add(
        "actions", .warning, .actionsStill, "\(waiting), and its workers take none of them",
        "see the log of the worker of the channel \(channel)")
    default: return false
    }
    return true
  }

  /// Events that wait for their clients are in order, unless they have waited for long, or are many.
  private mutating func retries(_ tiers: [(name: String, ready: Int, after: Duration)]) {
    guard !tiers.isEmpty else {
      add("retries", .ok, .ok, "no event is parked")
      return
    }
    let text = tiers.map { "\($0.ready) in \($0.name)" }.joined(separator: ", ")
    let last = tiers.map(\.after).max() ?? .zero
    let now = SystemClock().now(), until = now + .seconds(last.components.seconds)
    let isUnusual = last >= .seconds(600) || tiers.map(\.ready).reduce(0, +) > QueueTrend.growsFrom
    add(
      "retries", isUnusual ? .warning : .ok, isUnusual ? .retriesWait : .ok,
      "parked events: \(text); all return by \(until.local(at: now))",
      isUnusual
        ? "create the clients that the log names as unknown; the events return by themselves, and become dead letters after the last tier"
        : nil)
  }

  private mutating func deadLetters(
    _ settings: JourneyConfiguration.Settings, _ queue: String, _ ready: Int, isRead: Bool
  ) {
    let waiting = ready == 0 ? "none wait in \(queue)" : "\(ready) \(ready == 1 ? "waits" : "wait") in \(queue)"
    if ready == 0 || isRead && ready < QueueTrend.growsFrom {
      add("dead letters", .ok, .ok, waiting)
    } else if settings.archivesDeadLetters {
      add(
        "dead letters", .warning, .deadLettersUnread,
        waiting + (isRead ? ", more than the archive takes" : ", and nobody archives them"),
        isRead ? "run: journey dlq stats" : "run: \(Advice.serve)")
    } else {
      add(
        "dead letters", .warning, .deadLettersUnread, "\(waiting), since deadLetters.archive is false",
        "set deadLetters.archive: true (DEAD_LETTERS_ARCHIVE) and run: \(Advice.restartOrServe); then journey dlq stats says why"
      )
    }
  }
}

extension JourneyConfiguration.Settings {
  /// Two more looks where it matters whether what waits becomes more.
  fileprivate func furtherLooks(after first: QueueLook) async throws -> [QueueLook] {
    let names = messagingNames
    let isOfInterest = names.queues.contains { queue in
      guard let state = first.states[queue.name], state.consumers > 0 else { return false }
      switch queue.contents {
      case .events, .actions: return state.ready >= QueueTrend.stillFrom
      case .retries, .deadLetters, .outcomes: return false
      }
    }
    guard isOfInterest else { return [try await withAdmin { try await QueueLook.take($0, names) }] }
    return try await withAdmin { admin in
      var looks: [QueueLook] = []
      for _ in 0..<2 {
        try await Task.sleep(for: .milliseconds(1500))
        looks.append(try await QueueLook.take(admin, names))
      }
      return looks
    }
  }
}
