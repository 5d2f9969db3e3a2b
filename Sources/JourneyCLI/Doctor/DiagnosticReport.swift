/// What the checks have found, in their order.
struct DiagnosticReport {
  enum Verdict: String, Encodable {
    case ok, warning, failure
  }
  struct Finding: Encodable {
    var subject: String
    var verdict: Verdict
    var code: FindingCode
    var text: String
    /// A command, or what else to do.
    var advice: String?
  }

  private(set) var findings: [Finding] = []

  /// The exit status; nil if there is no failure.
  var status: Failure.Status? {
    let failures = findings.filter { $0.verdict == .failure }
    if failures.isEmpty { return nil }
    return failures.allSatisfy { $0.code.isUnreachable } ? .unavailable : .settings
  }

  /// Runs a check, whose answer is what it has found in order, and which throws what is not.
  ///
  /// - Parameters:
  ///   - code: of its failure.
  ///   - advice: where the failure itself brings none.
  /// - Returns: whether the check has passed.
  @discardableResult
  mutating func check(_ subject: String, _ code: FindingCode, advice: String, _ body: () async throws -> String) async
    -> Bool
  {
    do {
      add(subject, .ok, .ok, try await failing(.failed, body))
      return true
    } catch {
      let failure = error as? Failure
      add(subject, .failure, code, failure?.message ?? "\(error)", failure?.advice ?? advice)
      return false
    }
  }

  /// Runs a check of a server that may not be reachable, which is no matter of the settings.
  ///
  /// - Parameters:
  ///   - codes: of a server that is not reachable, and of one that lets nobody in.
  ///   - setting: the one that says where the server is.
  mutating func reach(
    _ server: String, _ codes: (unreachable: FindingCode, refuses: FindingCode), setting: String,
    _ body: () async throws -> String
  ) async -> Bool {
    do {
      add(server, .ok, .ok, try await failing(.failed, body))
      return true
    } catch {
      let failure = error as? Failure
      let isUnreachable = failure?.status == .unavailable
      add(
        server, .failure, isUnreachable ? codes.unreachable : codes.refuses, failure?.message ?? "\(error)",
        failure?.advice ?? (isUnreachable ? "start the \(server), or correct \(setting)" : "correct \(setting)"))
      return false
    }
  }

  mutating func add(
    _ subject: String, _ verdict: Verdict, _ code: FindingCode, _ text: String, _ advice: String? = nil
  ) {
    findings.append(Finding(subject: subject, verdict: verdict, code: code, text: text, advice: advice))
  }

  /// Takes back the last finding, for one that says more.
  mutating func removeLast() { findings.removeLast() }
}
