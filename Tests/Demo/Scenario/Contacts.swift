extension Scenario {
  /// The host application's rows: organisations, contacts, and the ids under which vendors know the contacts.
  var contactsSQL: String {
    var statements = ["BEGIN"]
    for organisation in organisations {
      statements.append(insert("organizations (id, name)", [organisation.id, organisation.name]))
    }
    for client in clients where client.isKnown {
      let org = client.organisation.id
      statements.append(
        insert(
          "contacts (id, org_id, name, email, ai_score)", [client.id, org, client.name, client.email, client.aiScore]))
      let ids = [
        "stripe": client.stripeCustomer, "zendesk": client.zendeskRequester, "hubspot": String(client.hubspotObject),
      ]
      for (source, id) in ids.sorted(by: { $0.key < $1.key }) {
        statements.append(
          insert("journey_identities (org_id, source, external_id, client_id)", [org, source, id, client.id]))
      }
    }
    statements.append("COMMIT")
    return statements.map { $0 + ";\n" }.joined()
  }

  private func insert(_ table: String, _ values: [String?]) -> String {
    let literals = values.map { value in value.map { "'\($0.replacing("'", with: "''"))'" } ?? "NULL" }
    return "INSERT INTO \(table) VALUES (\(literals.joined(separator: ", ")))"
  }
}
