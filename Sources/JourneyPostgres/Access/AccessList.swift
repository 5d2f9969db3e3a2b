/// The database roles that `AccessList` covers.
enum AccessRole: String, CaseIterable {
  /// Every role: PostgreSQL's PUBLIC.
  case everybody = "public"
  /// Requests without a login in a Supabase project.
  case anonymous = "anon"
  /// Requests of a member of an organisation. The API reads as this role.
  case member = "authenticated"
  /// The role of `journey serve`.
  case adapter = "journey_adapter"
}

/// The privileges that the roles hold on the adapter's objects. Every object that a migration adds must be listed here.
/// At its end, each migration revokes privileges beyond this list.
///
/// The owner holds all privileges. The host decides about roles that are not listed, such as its `service_role`.
enum AccessList {
  enum Kind: String {
    /// A table or a view.
    case relation
    case sequence
    case function
  }

  struct Entry {
    var kind: Kind
    /// The SQL name; for a function with its argument types.
    var name: String
    var grants: [AccessRole: [Grant]]
    /// Whether it belongs to the host: checked, never changed.
    var isHostOwned = false
  }

  struct Grant: Hashable {
    var privilege: String
    /// Empty: the privilege covers the whole object.
    var columns: [String] = []
  }

  static let entries: [Entry] =
    tables + [
      Entry(kind: .sequence, name: "journey_instances", grants: [.adapter: [Grant("USAGE")]]),
      // Sequences of identity columns: INSERT needs no privilege on them.
      Entry(kind: .sequence, name: "journey_dead_letter_replays_id_seq", grants: [:]),
      Entry(kind: .sequence, name: "journey_dead_letter_log_id_seq", grants: [:]),
      Entry(kind: .sequence, name: "journey_identity_log_id_seq", grants: [:]),
      Entry(kind: .sequence, name: "journey_event_changes_id_seq", grants: [:]),
      Entry(kind: .sequence, name: "journey_pauses_id_seq", grants: [:]),
      Entry(kind: .sequence, name: "journey_holds_id_seq", grants: [:]),

      Entry(kind: .function, name: "journey_lock_organizations(uuid[])", grants: [.adapter: [Grant("EXECUTE")]]),
      Entry(kind: .function, name: "journey_merge_clients(uuid, uuid, uuid)", grants: [.adapter: [Grant("EXECUTE")]]),
      Entry(
        kind: .function, name: "journey_absorb_identity(uuid, text, text, uuid)", grants: [.adapter: [Grant("EXECUTE")]]
      ),
      Entry(
        kind: .function, name: "journey_split_client(uuid, uuid, boolean)", grants: [.adapter: [Grant("EXECUTE")]]),
      Entry(
        kind: .function, name: "journey_are_kept_apart(uuid, uuid)", grants: [.adapter: [Grant("EXECUTE")]]),
      Entry(
        kind: .function, name: "journey_require_origins(uuid[], uuid[])", grants: [.adapter: [Grant("EXECUTE")]]),
      // Returns a single time for all organisations.
      Entry(
        kind: .function, name: "journey_evaluated_until()",
        grants: [.member: [Grant("EXECUTE")], .adapter: [Grant("EXECUTE")]]),
      // Says yes or no of one action.
      Entry(
        kind: .function, name: "journey_is_held(uuid)",
        grants: [.member: [Grant("EXECUTE")], .adapter: [Grant("EXECUTE")]]),
      // Trigger functions: calling them needs no EXECUTE privilege.
      Entry(kind: .function, name: "journey_forget_summary()", grants: [:]),
      Entry(kind: .function, name: "journey_check_soon()", grants: [:]),
      Entry(kind: .function, name: "journey_check_when_due()", grants: [:]),
      Entry(kind: .function, name: "journey_move_expectations()", grants: [:]),
      Entry(kind: .function, name: "journey_fill_event()", grants: [:]),
      Entry(kind: .function, name: "journey_fill_score()", grants: [:]),
    ] + hosts

  private static let tables: [Entry] = [
    // Members write their own events and scores, but not the columns that identify a source's event or explain a score.
    Entry(
      kind: .relation, name: "client_journey_events",
      grants: [
        .member: [
          Grant("SELECT"),
          Grant("INSERT", "id", "client_id", "org_id", "stage", "event_type", "metadata", "occurred_at"),
        ],
        .adapter: [
          Grant("SELECT"), Grant("INSERT"),
          Grant(
            "UPDATE", "id", "client_id", "stage", "event_type", "metadata", "occurred_at", "sets_stage", "min_stage",
            "acted_by", "voided_at", "voided_by", "origin_id"),
        ],
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
    readable("journey_action_states", adapter: "INSERT", "UPDATE"),
    readable("journey_invoices", adapter: "INSERT", "UPDATE", "DELETE"),
    readable("journey_expectations", adapter: "INSERT", "UPDATE", "DELETE"),
    readable("journey_feeds", adapter: "INSERT", "UPDATE", "DELETE"),
    closed("journey_listening", adapter: "INSERT", "UPDATE"),
    readable("journey_groups", adapter: "INSERT", "UPDATE", "DELETE"),
    readable("journey_group_members", adapter: "INSERT", "UPDATE", "DELETE"),
    readable("journey_group_events", adapter: "INSERT", "UPDATE", "DELETE"),
    readable("journey_actions"),
    readable("journey_maps", adapter: "INSERT", "UPDATE"),
    Entry(
      kind: .relation, name: "journey_outbox",
      grants: [
        .member: [Grant("SELECT", "id", "attempts", "confirmed_at", "hold_id")],
        .adapter: [Grant("SELECT"), Grant("INSERT"), Grant("UPDATE"), Grant("DELETE")],
      ]),
    // Messages of upstream systems, of any organisation: members must not see them.
    Entry(
      kind: .relation, name: "journey_raw_batches",
      grants: [
        .adapter: [
          Grant("SELECT"), Grant("INSERT"), Grant("UPDATE", "event_ids", "event_messages"), Grant("DELETE"),
        ]
      ]),
    closed("journey_unlisted", adapter: "INSERT", "UPDATE", "DELETE"),
    closed("journey_client_changes", adapter: "INSERT", "UPDATE", "DELETE"),
    closed("journey_parked", adapter: "INSERT", "UPDATE", "DELETE"),
    // Append-only.
    Entry(
      kind: .relation, name: "journey_event_changes",
      grants: [
        .adapter: [
          Grant("SELECT"), Grant("INSERT", "run", "actor", "action", "source", "event_ids", "counts", "why"),
        ]
      ]),
    closed("journey_event_versions", adapter: "INSERT"),
    // Append-only.
    Entry(
      kind: .relation, name: "journey_pauses",
      grants: [.adapter: [Grant("SELECT"), Grant("INSERT", "action", "instance", "actor", "why")]]),
    // Append-only.
    Entry(
      kind: .relation, name: "journey_consents",
      grants: [
        .adapter: [
          Grant("SELECT"),
          Grant(
            "INSERT", "id", "client_id", "org_id", "change", "channel", "purpose", "at", "expires_at", "source",
            "reason",
            "actor"),
        ]
      ]),
    Entry(
      kind: .relation, name: "journey_holds",
      grants: [
        .adapter: [
          Grant("SELECT"), Grant("INSERT", "channel", "action", "org_id", "until", "actor", "why"),
          Grant("UPDATE", "released_at", "released_by", "released_login", "released_why", "rate", "next_at"),
        ]
      ]),
    closed("journey_leases", adapter: "INSERT", "UPDATE", "DELETE"),
    closed("journey_dead_letters", adapter: "INSERT", "UPDATE", "DELETE"),
    closed("journey_dead_letter_replays", adapter: "INSERT", "UPDATE"),
    closed("journey_dead_letter_log", adapter: "INSERT"),
    closed("journey_migrations"),
    closed("journey_secrets"),
    // Append-only.
    closed("journey_identity_log", adapter: "INSERT"),
    closed("journey_unverified_emails", adapter: "INSERT"),
    // Written by the functions that merge and split.
    closed("journey_merges"),
    closed("journey_kept_apart", adapter: "DELETE"),
    closed("journey_request_keys", adapter: "INSERT", "UPDATE", "DELETE"),
    closed("journey_lists", adapter: "INSERT", "UPDATE", "DELETE"),
  ]

  /// The adapter's privileges on the host's tables. The host decides about other roles.
  private static let hosts: [Entry] = [
    Entry(kind: .relation, name: "organizations", grants: [.adapter: [Grant("SELECT")]], isHostOwned: true),
    Entry(
      kind: .relation, name: "contacts",
      grants: [
        .adapter: [
          Grant("SELECT"), Grant("INSERT"), Grant("UPDATE", "name", "email", "phone", "time_zone", "updated_at"),
        ]
      ],
      isHostOwned: true),
    Entry(kind: .relation, name: "user_organizations", grants: [:], isHostOwned: true),
  ]

  /// A table or view in which members read their organisations' rows.
  private static func readable(_ name: String, adapter: String...) -> Entry {
    Entry(
      kind: .relation, name: name,
      grants: [.member: [Grant("SELECT")], .adapter: [Grant("SELECT")] + adapter.map { Grant($0) }])
  }

  /// A table that members cannot read.
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
  /// Whether the list grants a privilege to a role.
  /// - Parameter column: nil: the privilege on the whole object.
  func allows(_ privilege: String, on column: String?, to role: AccessRole) -> Bool {
    (grants[role] ?? []).contains {
      $0.privilege == privilege && ($0.columns.isEmpty || column.map($0.columns.contains) ?? false)
    }
  }
}
