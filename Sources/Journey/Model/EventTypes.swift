/// Who acted in an event.
public enum Actor: String, CaseIterable, Hashable, Sendable {
  /// The client: it wrote, logged in, answered, bought or cancelled. Only these events are signs of life.
  case client
  /// Staff of the organisation.
  case us
  /// Nobody: a timer, an automatic charge, a due date.
  case system
}

/// The canonical event types, each with who acts in it unless a mapping says otherwise.
///
/// Mappings make these types; a type of one's own is declared in its mapping file.
public enum EventTypes {
  /// - Returns: nil if the type is not canonical.
  public static func actor(of type: String) -> Actor? { actors[type] }

  public static let all: [String] = actors.keys.sorted()

  /// The types of an actor, sorted.
  public static func types(by actor: Actor) -> [String] { actors.filter { $0.value == actor }.keys.sorted() }

  private static let actors: [String: Actor] = {
    var actors: [String: Actor] = [:]
    for (actor, types) in lists {
      for type in types.split(whereSeparator: \.isWhitespace) { actors[String(type)] = actor }
    }
    return actors
  }()

  private static let lists: [(Actor, String)] = [
    (
      .client,
      """
      cancel_requested cancel_withdrawn checkout_completed client_merged contract_signed customer_deleted
      deliverable_approved downgrade_requested email_clicked email_opened email_replied email_unsubscribed
      feature_requested feature_used feedback_received invoice_paid lead_created logged_in meeting_held
      message_received payment_received signed_up subscription_activated subscription_cancelled subscription_changed
      subscription_downgraded subscription_resumed subscription_started subscription_upgraded survey_answered
      ticket_opened ticket_reopened ticket_replied trial_started upgrade_requested
      """
    ),
    (
      .us,
      """
      call_logged contact_created contact_updated customer_created deal_created deal_lost deal_reopened
      deal_stage_changed deal_won deliverable_sent email_sent feature_request_updated invoice_created invoice_sent
      invoice_voided invoice_written_off lead_qualified lead_status_changed lead_unqualified lifecycle_changed
      meeting_cancelled meeting_scheduled message_sent milestone_completed milestone_delayed note_added
      onboarding_completed payment_refunded project_completed project_created project_started project_cancelled
      proposal_sent sentiment_recorded subscription_created subscription_paused survey_sent task_completed
      task_created task_updated ticket_closed ticket_escalated ticket_resolved ticket_started ticket_updated
      """
    ),
    (
      .system,
      """
      charge_disputed credit_granted dispute_lost dispute_won email_bounced invoice_due_soon invoice_overdue
      invoice_refunded payment_action_required payment_failed payment_method_expiring renewal_upcoming
      sentiment_detected subscription_expired subscription_past_due subscription_renewed trial_ended trial_ending
      usage_high usage_limit_reached usage_low usage_reported
      """
    ),
  ]
}
