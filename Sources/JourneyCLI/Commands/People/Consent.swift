import ArgumentParser
import FoundationEssentials
import Journey
import JourneyConfiguration
import JourneyPostgres

/// `journey consent …`
struct Consent: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "consent",
    abstract: "Look at and record what a client allows: consent by purpose, and do-not-contact by channel.",
    discussion: """
      Where `actions.contact.consent` of the decision rules names a channel, a client gets nothing on it before it has consented. \
      A channel that is blocked gets nothing but what is mandatory. Each record keeps its source, reason and date. Afterwards the client is \
      evaluated again: what was not run and is no longer allowed is taken back. docs/decisions.md explains the rules.
      """,
    subcommands: [
      ConsentShow.self, ConsentGrant.self, ConsentWithdraw.self, ConsentBlock.self, ConsentUnblock.self,
      ConsentReachable.self,
    ])

  static let status = """
    Exit status: 0 recorded, or so before; 1 no such client; 65 input refused; 69 the database is not available.
    """
  static let purposeHelp = ArgumentHelp(
    "What the consent is for, as in `actions.contact.consent`: 1 to 40 of a-z, 0-9, _, - and .")
}

/// `journey consent show`
struct ConsentShow: Command {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Show what a client allows now, and the last 100 records of it.",
    examples: ["journey consent show ann@example.com", "journey consent show CLIENT --json"])

  @OptionGroup var client: ClientArgument
  @OptionGroup var common: CommonOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let settings = try await common.settings(), rules = try await settings.decisions(), client = client
    let found = try await settings.withDatabase { worker in
      try await ConsentRepository(worker: worker).consents(of: try await client.find(worker, rules))
    }
    guard let found else { throw Failure(.failed, "the client no longer exists") }
    let now = SystemClock().now()
    if output.json { return printJSON(found.json(at: now)) }
    Output.line("client \(found.clientID.text)")
    var rows = found.blocks.map { block in
      [block.channel.rawValue, "do not contact", block.because, block.at.toTheSecond, "", block.id.text]
    }
    rows += found.consents.map { consent in
      let isOver = consent.expiresAt.map { $0 <= now } ?? false
      return [
        consent.channel.rawValue, consent.isGranted ? isOver ? "expired" : "granted" : "withdrawn", consent.purpose,
        consent.at.toTheSecond, consent.expiresAt?.toTheSecond ?? "", consent.id.text,
      ]
    }
    if rows.isEmpty {
      Output.line("nothing is recorded: it may be contacted where no consent is needed")
    } else {
      Output.table(["channel", "what", "purpose or cause", "since", "until", "record"], rows)
    }
    guard !found.records.isEmpty else { return }
    Output.line("\nrecords")
    Output.table(
      ["recorded", "what", "channel", "purpose", "said at", "source", "reason", "by"],
      found.records.map { entry in
        [
          entry.recordedAt.toTheSecond, entry.record.change.rawValue, entry.record.channel.rawValue,
          entry.record.purpose ?? "", entry.record.at.toTheSecond, entry.source, entry.reason ?? "", entry.actor,
        ]
        .map { $0.plain(120) }
      }, indent: "  ")
  }
}

extension ActionHistory.Block {
  fileprivate var because: String {
    switch cause {
    case .unsubscribed: "outcome: unsubscribed"
    case .event: "event: unsubscribed"
    case .bounced: "outcome: bounced"
    case .person: "recorded by a person"
    case nil: "outcome"
    }
  }
}

extension ClientConsents {
  fileprivate func json(at now: Timestamp) -> JSONObject {
    [
      "clientId": clientID,
      "doNotContact": blocks.map { block in
        ["channel": block.channel.rawValue, "because": block.because, "since": block.at, "record": block.id]
          as JSONObject
      },
      "consents": consents.map { consent in
        [
          "channel": consent.channel.rawValue, "purpose": consent.purpose, "granted": consent.isGranted,
          "holds": consent.isGranted && consent.expiresAt.map { $0 > now } ?? true, "at": consent.at,
          "expiresAt": consent.expiresAt, "record": consent.id,
        ] as JSONObject
      },
      "records": records.map { entry in
        [
          "id": entry.record.id, "change": entry.record.change.rawValue, "channel": entry.record.channel.rawValue,
          "purpose": entry.record.purpose, "at": entry.record.at, "expiresAt": entry.record.expiresAt,
          "source": entry.source, "reason": entry.reason, "actor": entry.actor, "recordedAt": entry.recordedAt,
        ] as JSONObject
      },
    ]
  }
}
