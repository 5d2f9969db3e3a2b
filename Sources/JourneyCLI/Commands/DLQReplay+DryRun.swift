import DeadLetters
import FoundationEssentials
import Journey
import JourneyConfiguration

/// `journey dlq replay --dry-run`
extension DLQReplay {
  func rehearse(
    _ request: ReplayRequest, _ maxBodyBytes: Int, _ service: ReplayService, _ repository: DeadLetterRepository,
    _ settings: JourneyConfiguration.Settings
  ) async throws {
    let decoder = try await settings.decoder(try await settings.decisions())
    let count = try await service.count(request)
    let deadLetters = try await repository.list(request.filter, limit: 20, withBodies: true, bodyBytes: maxBodyBytes)
      .filter {
        (force || $0.sameFailures < ReplayRequest.loopGuard) && $0.deadLetter.message.bodySize <= maxBodyBytes
          && !$0.deadLetter.message.isCut
      }
    let sample = deadLetters.map { archived -> (id: UUID, verdict: String) in
      var message = archived.deadLetter.message
      do {
        if let edit = request.edit { message.body = try DeadLetterRepublisher.preview(archived, edit: edit) }
        let verdicts = try message.trace(with: decoder).elements.map { DLQShow.verdict($0.outcome) }
        return (archived.id, verdicts.joined(separator: "; "))
      } catch let rejection as Rejection {
        return (archived.id, "is rejected: [\(rejection.code.rawValue)] \(rejection)")
      } catch {
        return (archived.id, "\(error)")
      }
    }
    guard !output.json else {
      let answer: JSONObject = [
        "dryRun": true, "letters": count.claimed, "heldByLoopGuard": count.held, "tooLarge": count.tooLarge,
        "sample": sample.map { ["id": $0.id, "verdict": $0.verdict] as JSONObject },
      ]
      return printJSON(answer)
    }
    Output.line("would replay \(count.claimed.of("dead letter"))" + skipped(count, maxBodyBytes))
    if !sample.isEmpty {
      Output.table(["dead letter", "what the mapping makes of it"], sample.map { [$0.id.text, $0.verdict.line(160)] })
    }
    if count.claimed > sample.count { Output.line("… and \(count.claimed - sample.count) more") }
  }
}
