import Foundation

/// Servers with failover: a cluster of brokers, a database with a standby.
extension TestServers {
  /// Starts servers for one test, some of which the test may kill.
  ///
  /// Their URLs list all of them, as an operator would configure it.
  /// - Parameters:
  ///   - brokers: the number of nodes in the broker's cluster.
  ///   - hasStandby: whether the database has a synchronous standby.
  public static func replicated(brokers: Int = 1, hasStandby: Bool = false) async throws -> TestServers {
    var (directory, urls) = try await create(Set(Kind.allCases), [])
    var members: [String] = []
    for _ in 1..<max(1, brokers) {
      let (member, more) = try await create([.rabbitmq], ["--join", directory])
      members.append(member)
      urls["AMQP_URL"] = adding(host(of: more["AMQP_URL"]), to: urls["AMQP_URL"])
    }
    if hasStandby {
      let (member, more) = try await create([.postgres], ["--join", directory])
      members.append(member)
      urls["DATABASE_URL"] = adding(host(of: more["DATABASE_URL"]), to: urls["DATABASE_URL"])
    }
    let servers = TestServers(directory: directory, members: members, urls: urls)
    if hasStandby { try await servers.makeSynchronous() }
    return servers
  }

  /// The names of the broker's nodes: first the one that was started first, then the members.
  public func brokerNodes() async throws -> [String] {
    let quoted = try await everywhere(["eval"], ["node()"])
    return quoted.map { $0.filter { $0 != "'" } }
  }

  /// Kills a node of the broker's cluster.
  /// - Parameter member: an index into ``brokerNodes()``.
  public func killBroker(_ member: Int) async throws {
    try await Self.writeQueueDirectory(brokers[member])
    _ = try await Self.run(["kill-9", brokers[member], "--rabbitmq"])
  }

  /// Starts a node again and waits until it is ready and its quorum queue members have caught up with their leaders.
  /// Before that, losing another node could cost a queue its majority.
  public func startBroker(_ member: Int) async throws {
    _ = try await Self.run(["start", brokers[member], "--rabbitmq"])
    let end = ContinuousClock.now + .seconds(60)
    while true {
      let behind = try await erlang(Self.membersBehind, on: member)
      if behind == "[]" { return }
      guard ContinuousClock.now < end else {
        throw TestServersError(
          operation: "wait for the members of queues", status: -1, output: "behind their leaders: \(behind)")
      }
      try await Task.sleep(for: .milliseconds(100))
    }
  }

  /// The quorum queues whose member on this node knows no leader or lags behind it.
  private static let membersBehind = """
    begin Applied = fun({ok, {{Index, _}, _}, _}) -> Index end, Nothing = fun(_) -> ok end, \
    [Name || Q <- rabbit_amqqueue:list(), amqqueue:get_type(Q) == rabbit_quorum_queue, {Name, _} <- [amqqueue:get_pid(Q)], \
    try Member = {Name, node()}, Least = Applied(ra:leader_query(Member, Nothing, 2000)), \
    Applied(ra:local_query(Member, Nothing, 2000)) < Least catch _:_ -> true end] end
    """

  /// Evaluates an Erlang expression in one node.
  public func erlang(_ expression: String, on member: Int) async throws -> String {
    try await Self.run(["eval", brokers[member], expression])
  }

  /// Promotes the standby to primary, and waits for it. The old primary must be stopped.
  public func promoteStandby() async throws {
    guard let standby = members.last else { preconditionFailure("these servers have no standby") }
    _ = try await Self.run(["psql", standby, "--quiet", "--command", "SELECT pg_promote(true, 60)"])
  }

  private nonisolated var brokers: [String] { [directory] + members }

  private func everywhere(_ command: [String], _ arguments: [String]) async throws -> [String] {
    var answers: [String] = []
    for directory in brokers { answers.append(try await Self.run(command + [directory] + arguments)) }
    return answers
  }

  /// From now on a commit returns only after the standby has it.
  private func makeSynchronous() async throws {
    try await sql("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
    try await sql("SELECT pg_reload_conf()")
    let end = ContinuousClock.now + .seconds(30)
    while try await sql("SELECT sync_state FROM pg_stat_replication") != "sync" {
      guard ContinuousClock.now < end else {
        throw TestServersError(operation: "wait for the standby", status: -1, output: "it does not follow the primary")
      }
    }
  }

  private static func host(of url: String?) -> Substring {
    let authority = url?.split(separator: "@").last ?? ""
    return authority.prefix { $0 != "/" }
  }

  private static func adding(_ host: Substring, to url: String?) -> String {
    guard let url, let at = url.firstIndex(of: "@") else { return "" }
    let hosts = url[at...].prefix { $0 != "/" }
    return url.prefix(upTo: at) + hosts + "," + host + url[hosts.endIndex...]
  }
}
