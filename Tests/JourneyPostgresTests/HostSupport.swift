import Foundation
import Journey
import PostgresClient
import Testing

@testable import JourneyPostgres

/// A host's own tables, with configurable column types.
enum HostSchema {
  static let user = UUID(uuidString: "00000000-0000-4000-8000-0000000000aa")!

  /// - Parameters:
  ///   - text: the type of text columns.
  ///   - number: the type of scores.
  static func tables(text: String = "text", number: String = "numeric") -> String {
    """
    CREATE EXTENSION citext;
    CREATE DOMAIN word AS text CHECK (length(VALUE) < 1000);
    CREATE DOMAIN cased AS citext;
    CREATE DOMAIN points AS numeric CHECK (VALUE < 1000);
    CREATE TABLE organizations (id uuid PRIMARY KEY, name \(text));
    CREATE TABLE contacts (
      id uuid PRIMARY KEY, org_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
      name \(text), email \(text), phone \(text),
      ai_score \(number));
    CREATE TABLE user_organizations (user_id uuid NOT NULL, org_id uuid NOT NULL REFERENCES organizations);
    CREATE TABLE client_journey_events (
      id uuid PRIMARY KEY DEFAULT gen_random_uuid(), client_id uuid NOT NULL, org_id uuid NOT NULL,
      stage \(text) NOT NULL,
      event_type \(text) NOT NULL, metadata jsonb DEFAULT '{}', occurred_at timestamptz DEFAULT now());
    CREATE TABLE client_journey_scores (
      id uuid PRIMARY KEY DEFAULT gen_random_uuid(), client_id uuid NOT NULL, org_id uuid NOT NULL,
      score \(number) NOT NULL DEFAULT 0,
      risk_level \(text) NOT NULL DEFAULT 'LOW', recommended_actions jsonb DEFAULT '[]',
      generated_at timestamptz DEFAULT now());
    """
  }
}

/// Reads as the API does, as a member of an organisation.
func withReader(
  _ url: String, _ body: (_ read: (JourneyQuery) async throws -> String) async throws -> Void
) async throws {
  let caller = Caller(
    subject: HostSchema.user, claims: Array(#"{"sub":"\#(HostSchema.user.text)"}"#.utf8), isOperator: false,
    expiresAt: Timestamp(seconds: 4_000_000_000))
  let pool = PostgresPool(try PostgresSettings(conninfo: url, role: "authenticated"), size: 1)
  let adapter = PostgresWorker(try PostgresSettings(conninfo: url, role: "journey_adapter"))
  let reader = PostgresJourneyReader(pool: pool, adapter: adapter, rules: DecisionRules())
  let result: Result<Void, any Error>
  do {
    try await body { query in
      let answer = try #require(try await reader.read(query, for: caller), "nothing to be read")
      return String(decoding: answer, as: UTF8.self)
    }
    result = .success(())
  } catch {
    result = .failure(error)
  }
  await pool.close()
  await adapter.close()
  try result.get()
}
