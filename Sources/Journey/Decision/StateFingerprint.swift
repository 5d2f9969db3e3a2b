extension DecisionRules {
  /// A hash of the rules that a stored summary depends on: the types of each signal, those that block a channel, how late
  /// invoices end, and the silence contracts. A summary made under other rules is rebuilt.
  public var stateFingerprint: UInt64 {
    var parts = ["late_invoices", risks.lateInvoices == .untilSettled ? "followed" : "not followed"]
    let lists = [
      signals.ticketOpened, signals.invoiceOverdue, signals.invoiceSettled, signals.progressAdvanced,
      signals.progressDelayed,
      Set(signals.usage.map { "\($0.key)=\($0.value.map { "\($0)" } ?? "reported")" }),
    ]
    parts += ["same instant", signals.sameInstant.rawValue]
    for actor in Actor.allCases { parts += [actor.rawValue] + EventTypes.types(by: actor) }
    for list in lists { parts += ["|"] + list.sorted() }
    // What stored events block is found together with the summary.
    for (type, channel) in (actions.contact?.unsubscribes ?? [:]).sorted(by: { $0.key < $1.key }) {
      parts += ["unsubscribes", type, channel.rawValue]
    }
    // Rows of contracts are made from the stored events together with the summary.
    for contract in expectations.sorted(by: { $0.otherwise < $1.otherwise }) {
      parts += ["expect", contract.otherwise, contract.same ?? "", contract.within.text]
      for types in [contract.after, contract.expected] { parts += ["|"] + types.sorted() }
    }
    return parts.joined(separator: ",").stableHash
  }
}

extension ClientSummary {
  /// The stored form with the fingerprint of the rules.
  public func encoded(under fingerprint: UInt64) -> [UInt8] {
    var out = StateWriter()
    out.fixed(fingerprint)
    write(to: &out)
    return out.bytes
  }

  /// - Returns: nil if the stored form cannot be read or was made under other rules.
  public init?(encoded: [UInt8], under fingerprint: UInt64) {
    var input = StateReader(encoded)
    guard input.fixed() == fingerprint else { return nil }
    self.init(from: &input)
  }
}
