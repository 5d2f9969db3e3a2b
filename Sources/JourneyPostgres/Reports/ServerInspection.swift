import FoundationEssentials
public import PostgresClient

/// What a database server tells every login, also before the schema exists.
public struct ServerInspection: Sendable {
  /// As libpq writes it: 150018 is 15.18.
  public var version: Int32
  public var login: String
  /// Why it accepts no writes; nil if it does.
  public var writeProblem: String?
  public var clock: ClockOffset

  /// - Throws: `PostgresError` if the server cannot be reached, or refuses the login.
  public static func run(on worker: PostgresWorker) async throws -> ServerInspection {
    // Not prepared statements: in a session that a pooler shares, their names may exist already.
    let (version, login, clock) = try await worker.perform { connection in
      let login = try connection.execute("SELECT session_user::text").textIfPresent(0, 0)
      return (connection.serverVersion, login, try ClockOffset.measure(connection))
    }
    return ServerInspection(
      version: version, login: login ?? "", writeProblem: try await WriteCheck.problem(worker), clock: clock)
  }
}

/// How far the database's clock is ahead of this machine's.
public struct ClockOffset: Hashable, Sendable {
  /// Negative where the database's clock is behind.
  public var seconds: Double
  /// The offset is known to within this many seconds: half of the round trip.
  public var uncertainty: Double

  public init(seconds: Double, uncertainty: Double) {
    self.seconds = seconds
    self.uncertainty = uncertainty
  }

  /// The best of three measurements.
  static func measure(_ connection: PostgresConnection) throws -> ClockOffset {
    var best: ClockOffset?
    for _ in 0..<3 {
      let before = Date().timeIntervalSince1970
      let answer = try connection.execute("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8")
      let after = Date().timeIntervalSince1970
      let theirs = Double(try answer.textIfPresent(0, 0) ?? "") ?? 0
      let measured = ClockOffset(
        seconds: theirs / 1_000_000 - (before + after) / 2, uncertainty: (after - before) / 2)
      if measured.uncertainty < best?.uncertainty ?? .infinity { best = measured }
    }
    return best ?? ClockOffset(seconds: 0, uncertainty: .infinity)
  }
}
