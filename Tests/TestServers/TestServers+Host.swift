/// The state of a Supabase project before the adapter is installed.
extension TestServers {
  /// Grants the roles of requests all privileges on everything that `owner` creates in the schema `public` from now on,
  /// as a Supabase project does. No policy restricts what they do with functions and sequences.
  public func grantDefaults(of owner: String, in database: String) async throws {
    let kinds = ["TABLES", "FUNCTIONS", "SEQUENCES"]
    // Roles belong to the whole cluster, so another test may have created them.
    try await sql(
      """
      DO $$
      DECLARE wanted text;
      BEGIN
        FOREACH wanted IN ARRAY ARRAY['anon', 'authenticated', 'service_role'] LOOP
          BEGIN
            IF to_regrole(wanted) IS NULL THEN EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', wanted); END IF;
          EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
          END;
        END LOOP;
      END $$;
      """
        + kinds.map {
          """
          ALTER DEFAULT PRIVILEGES FOR ROLE \(owner) IN SCHEMA public
            GRANT ALL ON \($0) TO anon, authenticated, service_role;
          """
        }.joined(separator: "\n"), database: database)
  }
}
