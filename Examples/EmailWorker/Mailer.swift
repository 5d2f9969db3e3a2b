import Foundation
import Subprocess
import SystemPackage

/// Gives mails to a program with the interface of `sendmail`, which every mail server and several small relays (msmtp,
/// ssmtp) have. It keeps a mail until it has been delivered.
struct Mailer: Sendable {
  /// Exit codes of `sendmail`, see sysexits.h.
  private static let bounces: Set<Int32> = [65, 67, 68], later: Int32 = 75

  let program: String
  let from: String
  let templates: String

  /// - Returns: nil: try again later.
  func send(_ action: Action) async -> Outcome? {
    guard let address = action.data.client.email, address.wholeMatch(of: /[!-~&&[^<>,;"]]+@[!-~&&[^<>,;"@]]+/) != nil
    else {
      return Outcome(name: "failed", detail: "the client has no address that can be used")
    }
    guard let mail = mail(action, to: address) else {
      return Outcome(name: "failed", detail: "there is no text for \(action.data.action)")
    }
    do {
      let status = try await Subprocess.run(
        .path(FilePath(program)), arguments: ["-i", "-f", from, "--", address], input: .string(mail),
        output: .discarded, error: .currentStandardError
      ).terminationStatus
      switch status {
      case .exited(0): return Outcome(name: "delivered")
      case .exited(Self.later): return nil
      case .exited(let code) where Self.bounces.contains(code):
        return Outcome(name: "bounced", detail: "sendmail ended with \(code)")
      default: return Outcome(name: "failed", detail: "sendmail ended with \(status)")
      }
    } catch {
      return Outcome(name: "failed", detail: "\(program) cannot be started")
    }
  }

  /// A template is the subject in a line, and then the text. `{name}` is the client's name.
  private func mail(_ action: Action, to address: String) -> String? {
    let path = "\(templates)/\(action.data.action.filter { $0.isLetter || $0 == "_" }).txt"
    guard let template = try? String(contentsOfFile: path, encoding: .utf8) else { return nil }
    // A name must not add a header.
    let name = (action.data.client.name ?? "").filter { !$0.isNewline }
    let parts = template.replacing("{name}", with: name).split(separator: "\n", maxSplits: 1)
    let subject = Data((parts.first ?? "").utf8).base64EncodedString()
    return """
      From: \(from)
      To: \(address)
      Subject: =?utf-8?B?\(subject)?=
      Message-ID: <\(action.id)@\(from.split(separator: "@").last ?? "localhost")>
      MIME-Version: 1.0
      Content-Type: text/plain; charset=utf-8
      Content-Transfer-Encoding: 8bit

      \(parts.count > 1 ? parts[1] : "")
      """
  }
}
