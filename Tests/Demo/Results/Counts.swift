/// What lies in the database.
struct Counts: Decodable, Hashable {
  var events: Int
  var clients: Int
  /// Clients that an event made known to the host application.
  var createdClients: Int
  var organisations: Int
  var scores: Int
  var actions: Int
  /// Actions that the broker has not confirmed yet.
  var unconfirmed: Int
  var deadLetters: Int

  static func load(_ servers: DemoServers) async throws -> Counts {
    try await servers.decode(
      Counts.self,
      """
      SELECT json_build_object(
        'events', (SELECT count(*) FROM client_journey_events),
        'clients', (SELECT count(*) FROM journey_client_state),
        'createdClients', (SELECT count(*) FROM contacts WHERE id::text NOT LIKE 'c1000000-%'),
        'organisations', (SELECT count(*) FROM organizations),
        'scores', (SELECT count(*) FROM client_journey_scores),
        'actions', count(*),
        'unconfirmed', count(*) FILTER (WHERE published_at IS NULL),
        'deadLetters', (SELECT count(*) FROM journey_dead_letters))
      FROM journey_actions
      """)
  }
}
