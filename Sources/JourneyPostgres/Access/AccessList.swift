/// A role of the database whose privileges on the adapter's objects `AccessList` says.
enum AccessRole: String, CaseIterable {
  /// Every role there is: PostgreSQL's PUBLIC.
  case everybody = "public"
  /// A request without a login, on a Supabase project.
  case anonymous = "anon"
  /// A request of a member of an organisation; the API reads as it.
  case member = "authenticated"
  /// What `journey serve` works as.
  case adapter = "journey_adapter"
}

/// What the roles shall hold on the adapter's objects: the one list of it. An object that a migration adds has to be
/// added here, and whatever a role holds beyond it is taken away at the end of that migration.
///
/// The owner holds everything. Roles that are not named here, such as the host's `service_role`, are the host's to
/// judge.
enum AccessList {
  enum Kind: String {
    /// A table or a view.
    case relation
    case sequence
    case function
  }

  struct Entry {
    var kind: Kind
    /// As SQL names it, a function with the types of its arguments.
    var name: String
    var grants: [AccessRole: [Grant]]
    /// Whether it is the host's: looked at, never changed.
    var isHosts = false
  }

  struct Grant: Hashable {
    var privilege: String
    /// Empty: the whole object.
    var columns: [String] = []
  }

  static let entries: [Entry] =
    tables + [
      Entry(kind: .sequence, name: "journey_instances", grants: [.adapter: [Grant("USAGE")]]),
      // Of identity columns: an INSERT needs no privilege on them.
      Entry(kind: .sequence, name: "journey_dead_letter_replays_id_seq", grants: [:]),
      Entry(kind: .sequence, name: "journey_dead_letter_log_id_seq", grants: [:]),
      Entry(kind: .sequence, name: "journey_identity_log_id_seq", grants: [:]),

      Entry(kind: .function, name: "journey_lock_organizations(uuid[])", grants: [.adapter: [Grant("EXECUTE")]]),
      Entry(kind: .function, name: "journey_merge_clients(uuid, uuid, uuid)", grants: [.adapter: [Grant("EXECUTE")]]),
      Entry(
        kind: .function, name: "journey_absorb_identity(uuid, text, text, uuid)", grants: [.adapter: [Grant("EXECUTE")]]
      ),
      // Answers one moment, of all organisations.
      Entry(
        kind: .function, name: "journey_evaluated_until()",
        grants: [.member: [Grant("EXECUTE")], .adapter: [Grant("EXECUTE")]]),
      // A trigger's: nobody has to be allowed to execute it.
      Entry(kind: .function, name: "journey_forget_summary()", grants: [:]),
      Entry(kind: .function, name: "journey_check_soon()", grants: [:]),
      Entry(kind: .function, name: "journey_check_when_due()", grants: [:]),
      Entry(kind: .function, name: "journey_fill_event()", grants: [:]),
      Entry(kind: .function, name: "journey_fill_score()", grants: [:]),
    ] + hosts

  private static let tables: [Entry] = [
    // Members write events and scores of their own, but nothing of what identifies a source's event or explains a
    // score.
    Entry(
      kind: .relation, name: "client_journey_events",
      grants: [
        .member: [
          Grant("SELECT"),
          Grant("INSERT", "id", "client_id", "org_id", "stage", "event_type", "metadata", "occurred_at"),
        ],
        .adapter: [Grant("SELECT"), Grant("INSERT")],
      ]),
    Entry(
      kind: .relation, name: "client_journey_scores",
      grants: [
        .member: [
          Grant("SELECT"),
          Grant("INSERT", "id", "client_id", "org_id", "score", "risk_level", "recommended_actions", "generated_at"),
          Grant("UPDATE", "score", "risk_level", "recommended_actions", "generated_at"),
        ],
        .adapter: [Grant("SELECT"), Grant("INSERT"), Grant("UPDATE", "outbox_id")],
      ]),
    readable("journey_identities", adapter: "INSERT", "UPDATE", "DELETE"),
    readable("journey_client_state", adapter: "INSERT", "UPDATE", "DELETE"),
    readable("journey_invoices", adapter: "INSERT", "UPDATE", "DELETE"),
    readable("journey_actions"),
    readable("journey_maps", adapter: "INSERT", "UPDATE"),
    Entry(
      kind: .relation, name: "journey_outbox",
      grants: [
        .member: [Grant("SELECT", "id", "attempts", "confirmed_at")],
        .adapter: [Grant("SELECT"), Grant("INSERT"), Grant("UPDATE"), Grant("DELETE")],
      ]),
    // What upstream systems sent, of any organisation or none: no member's to see.
    closed("journey_dead_letters", adapter: "INSERT", "UPDATE", "DELETE"),
    closed("journey_dead_letter_replays", adapter: "INSERT", "UPDATE"),
    closed("journey_dead_letter_log", adapter: "INSERT"),
    closed("journey_migrations"),
    closed("journey_secrets"),
    // Added to, never changed.
    closed("journey_identity_log", adapter: "INSERT"),
    closed("journey_unverified_emails", adapter: "INSERT"),
    closed("journey_request_keys", adapter: "INSERT", "UPDATE", "DELETE"),
    closed("journey_lists", adapter: "INSERT", "UPDATE", "DELETE"),
  ]

  /// What the adapter may do with the host's tables. What others may do with them is the host's affair.
  private static let hosts: [Entry] = [
    Entry(kind: .relation, name: "organizations", grants: [.adapter: [Grant("SELECT")]], isHosts: true),
    Entry(
      kind: .relation, name: "contacts",
      grants: [.adapter: [Grant("SELECT"), Grant("INSERT"), Grant("UPDATE", "name", "email", "phone", "updated_at")]],
      isHosts: true),
    Entry(kind: .relation, name: "user_organizations", grants: [:], isHosts: true),
  ]

  /// A table or view of which members read their organisations' rows.
  private static func readable(_ name: String, adapter: String...) -> Entry {
    Entry(
      kind: .relation, name: name,
      grants: [.member: [Grant("SELECT")], .adapter: [Grant("SELECT")] + adapter.map { Grant($0) }])
  }

  /// A table that no member sees.
  private static func closed(_ name: String, adapter: String...) -> Entry {
    Entry(kind: .relation, name: name, grants: [.adapter: [Grant("SELECT")] + adapter.map { Grant($0) }])
  }
}

extension AccessList.Grant {
  init(_ privilege: String, _ columns: String...) {
    self.privilege = privilege
    self.columns = columns
  }
}

extension AccessList.Entry {
  /// Whether a role is meant to hold a privilege.
  /// - Parameter column: nil: on the whole object.
  func allows(_ privilege: String, on column: String?, to role: AccessRole) -> Bool {
    (grants[role] ?? []).contains {
      $0.privilege == privilege && ($0.columns.isEmpty || column.map($0.columns.contains) ?? false)
    }
  }
}
