/// Who acted in an event.
public enum Actor: String, CaseIterable, Hashable, Sendable {
  /// The client: it wrote, logged in, answered, bought or cancelled. Only these events are signs of life.
  case client
  /// Staff of the organisation.
  case us
  /// Nobody: a timer, an automatic charge, a due date.
  case system
}

/// The canonical event types, each with who acts in it unless a mapping says otherwise, and its meaning.
///
/// Mappings make these types; a type of one's own is declared in its mapping file.
public enum EventTypes {
  public struct Entry: Sendable, Encodable {
    public var type: String
    public var by: String
    /// What happened, and the metadata that matters, in a few words.
    public var meaning: String
  }

  /// Sorted by type.
  public static let all: [Entry] = text.split(separator: "\n").map { line in
    let parts = line.split(separator: " ", maxSplits: 2).map(String.init)
    return Entry(type: parts[0], by: String(parts[1].dropLast()), meaning: parts[2])
  }

  /// - Returns: nil if the type is not canonical.
  public static func actor(of type: String) -> Actor? { actors[type] }

  /// The types of an actor, sorted.
  public static func types(by actor: Actor) -> [String] { all.filter { $0.by == actor.rawValue }.map(\.type) }

  private static let actors = Dictionary(
    uniqueKeysWithValues: all.map { ($0.type, Actor(rawValue: $0.by) ?? .client) })

  private static let text = """
    call_logged us: staff called the client or took a call
    cancel_requested client: the client has cancelled; the contract still runs
    cancel_withdrawn client: the client stays after all
    charge_disputed system: a charge is disputed with the bank, a chargeback (disputeId, invoiceId)
    checkout_completed client: the client has ordered and paid
    client_merged us: two records of one person became one (merge)
    contact_created us: a person was entered
    contact_updated us: data of a person changed
    contract_signed client: the contract is signed
    credit_granted us: the client got a credit
    customer_created us: a customer was entered, in billing or accounting
    customer_deleted us: a customer was deleted
    deal_created us: a deal was opened
    deal_lost us: a deal is lost
    deal_reopened us: a lost or won deal is open again
    deal_stage_changed us: a deal moved to another stage that is neither won nor lost
    deal_won us: a deal is won
    deliverable_approved client: the client approved a result
    deliverable_sent us: a result went to the client; progress
    dispute_lost system: a dispute was lost (disputeId, invoiceId)
    dispute_won system: a dispute was won (disputeId, invoiceId)
    downgrade_requested client: the client wants a smaller plan
    email_bounced system: an e-mail did not arrive
    email_clicked client: the client followed a link in an e-mail
    email_opened client: the client opened an e-mail
    email_replied client: the client answered an e-mail
    email_sent us: an e-mail went to the client
    email_unsubscribed client: the client wants no more e-mails
    feature_request_updated us: a wish of the client changed its state
    feature_requested client: the client wishes for a feature, or votes for one
    feature_used client: the client used the product
    feedback_received client: the client said what it thinks, without a scale (sentiment)
    invoice_created us: an invoice was written
    invoice_due_soon system: an invoice is due soon (invoiceId)
    invoice_overdue system: an invoice is unpaid after its due date: opens a late invoice (invoiceId)
    invoice_paid client: an invoice is paid: closes it (invoiceId)
    invoice_refunded us: an invoice is refunded as a whole: closes it (invoiceId)
    invoice_sent us: an invoice went to the client
    invoice_voided us: an invoice is void: closes it (invoiceId)
    invoice_written_off us: an invoice will not be paid: closes it (invoiceId)
    lead_created client: somebody became interested
    lead_qualified us: a lead fits
    lead_status_changed us: a lead's state changed otherwise
    lead_unqualified us: a lead does not fit
    lifecycle_changed us: a CRM moved the person to another life cycle stage
    logged_in client: the client logged in
    meeting_cancelled us: a meeting was called off
    meeting_held client: the client came to a meeting
    meeting_scheduled us: a meeting is agreed
    message_received client: the client wrote, outside of a ticket or in a comment
    message_sent us: staff wrote, outside of a ticket
    milestone_completed us: a milestone of the project is reached; progress
    milestone_delayed us: a date of the project moved back; delay
    note_added us: staff wrote a note that the client does not see
    onboarding_completed us: the onboarding is done
    payment_action_required system: the client has to confirm a payment
    payment_failed system: an attempt to charge the client failed (invoiceId)
    payment_method_expiring system: the client's card expires soon
    payment_received client: money came in, without an invoice that it closes
    payment_refunded us: money went back to the client
    project_cancelled us: a project was given up
    project_completed us: a project is finished
    project_created us: a project was entered
    project_started us: work on a project began
    proposal_sent us: an offer or contract went to the client
    renewal_upcoming system: a subscription renews soon
    sentiment_detected system: a program judged the client's mood (sentiment)
    sentiment_recorded us: staff judged the client's mood (sentiment)
    signed_up client: the client created an account
    subscription_activated client: a subscription became active for the first time
    subscription_cancelled client: a subscription has ended because it was cancelled
    subscription_changed client: plan or quantity of a subscription changed, neither up nor down
    subscription_created us: a subscription was entered, not yet active
    subscription_downgraded client: the client moved to a smaller plan
    subscription_expired system: a subscription has run out
    subscription_past_due system: a subscription is not paid
    subscription_paused us: a subscription rests
    subscription_renewed system: a second or later period began
    subscription_resumed client: a paused subscription runs again
    subscription_started client: the client bought a subscription
    subscription_upgraded client: the client moved to a larger plan
    survey_answered client: the client answered a survey with a scale (sentiment, score)
    survey_sent us: a survey went to the client
    task_completed us: a task of the project is done
    task_created us: a task was entered
    task_updated us: a task changed
    ticket_closed us: a ticket was closed for good
    ticket_escalated us: a ticket became more urgent
    ticket_opened client: the client asked for help: counts for many tickets
    ticket_reopened client: a closed ticket is open again
    ticket_replied client: the client answered in a ticket
    ticket_resolved us: staff solved a ticket, the client may still object
    ticket_started us: staff began to work on a ticket
    ticket_updated us: a ticket changed otherwise
    trial_ended system: a trial is over
    trial_ending system: a trial is over soon
    trial_started client: a trial began
    upgrade_requested client: the client asked for a larger plan
    usage_high system: the client uses nearly all of its plan (usage in percent; without it 100)
    usage_limit_reached system: the client has used up its plan
    usage_low system: the client hardly uses its plan (usage in percent; without it 0)
    usage_reported system: how much of its plan the client uses (usage in percent)
    """
}
