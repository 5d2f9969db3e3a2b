-- What the host application brings: organizations, contacts, user_organizations, auth.uid(), the role
-- `authenticated` and uuid_generate_v4(). Each is created only where it is missing, so that the same file runs on an
-- empty database and on a Supabase one. Rows, policies and row level security of the host's own tables stay as they are.

DO $platform$
BEGIN
  IF to_regrole('authenticated') IS NULL THEN
    BEGIN
      CREATE ROLE authenticated NOLOGIN NOINHERIT;
    EXCEPTION
      WHEN insufficient_privilege THEN
        RAISE EXCEPTION
          'role "authenticated" is missing and % may not create it: run CREATE ROLE authenticated NOLOGIN NOINHERIT as an '
          'administrator, then migrate again', current_user
          USING ERRCODE = 'insufficient_privilege';
      -- Roles belong to the whole cluster: another database's migration was faster.
      WHEN duplicate_object OR unique_violation THEN NULL;
    END;
  END IF;
END
$platform$;

-- The seed's tables default their ids to this function of the uuid-ossp extension; random ids are built in since 13.
DO $platform$
BEGIN
  IF to_regprocedure('uuid_generate_v4()') IS NULL THEN
    CREATE FUNCTION uuid_generate_v4() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE
      AS 'SELECT pg_catalog.gen_random_uuid()';
  END IF;
END
$platform$;

-- The user of a request, from the claims that the API puts into the transaction's settings.
DO $platform$
BEGIN
  IF to_regprocedure('auth.uid()') IS NULL THEN
    CREATE SCHEMA IF NOT EXISTS auth;
    CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS $uid$
      SELECT coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
      )::uuid
    $uid$;
    COMMENT ON FUNCTION auth.uid() IS 'The user whose claims the current transaction carries, or NULL.';
    GRANT USAGE ON SCHEMA auth TO authenticated;
  END IF;
END
$platform$;

DO $platform$
DECLARE
  are_organizations_ours boolean := false;
BEGIN
  IF to_regclass('organizations') IS NULL THEN
    are_organizations_ours := true;
    CREATE TABLE organizations (
      id uuid PRIMARY KEY DEFAULT uuid_generate_v4(),
      name text NOT NULL DEFAULT '',
      created_at timestamptz NOT NULL DEFAULT now()
    );
    COMMENT ON TABLE organizations IS 'Tenants.';
    ALTER TABLE organizations ENABLE ROW LEVEL SECURITY;
    REVOKE ALL ON organizations FROM PUBLIC, authenticated;
    IF to_regrole('anon') IS NOT NULL THEN REVOKE ALL ON organizations FROM anon; END IF;
    GRANT SELECT ON organizations TO authenticated;
  END IF;

  IF to_regclass('user_organizations') IS NULL THEN
    CREATE TABLE user_organizations (
      user_id uuid NOT NULL,
      org_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
      role text NOT NULL DEFAULT 'member',
      PRIMARY KEY (user_id, org_id)
    );
    CREATE INDEX idx_user_organizations_org ON user_organizations (org_id);
    COMMENT ON TABLE user_organizations IS 'Who belongs to which organization: the root of every row level security policy.';
    ALTER TABLE user_organizations ENABLE ROW LEVEL SECURITY;
    REVOKE ALL ON user_organizations FROM PUBLIC, authenticated;
    IF to_regrole('anon') IS NOT NULL THEN REVOKE ALL ON user_organizations FROM anon; END IF;
    GRANT SELECT ON user_organizations TO authenticated;
    CREATE POLICY user_organizations_select ON user_organizations
      FOR SELECT TO authenticated USING (user_id = (SELECT auth.uid()));
  END IF;

  -- Here, since it needs both tables.
  IF are_organizations_ours THEN
    CREATE POLICY organizations_select ON organizations
      FOR SELECT TO authenticated
      USING (id IN (SELECT org_id FROM user_organizations WHERE user_id = (SELECT auth.uid())));
  END IF;

  IF to_regclass('contacts') IS NULL THEN
    CREATE TABLE contacts (
      id uuid PRIMARY KEY DEFAULT uuid_generate_v4(),
      org_id uuid NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
      name text,
      email text,
      phone text,
      ai_score numeric,
      status text,
      created_at timestamptz NOT NULL DEFAULT now(),
      updated_at timestamptz NOT NULL DEFAULT now(),
      CONSTRAINT contacts_id_org_id_key UNIQUE (id, org_id)
    );
    CREATE INDEX idx_contacts_org ON contacts (org_id);
    COMMENT ON TABLE contacts IS 'Clients of an organization.';
    COMMENT ON COLUMN contacts.ai_score IS 'Base of the journey score, 0 to 100; NULL counts as 50.';
    ALTER TABLE contacts ENABLE ROW LEVEL SECURITY;
    REVOKE ALL ON contacts FROM PUBLIC, authenticated;
    IF to_regrole('anon') IS NOT NULL THEN REVOKE ALL ON contacts FROM anon; END IF;
    GRANT SELECT ON contacts TO authenticated;
    CREATE POLICY contacts_select ON contacts
      FOR SELECT TO authenticated
      USING (org_id IN (SELECT org_id FROM user_organizations WHERE user_id = (SELECT auth.uid())));
  END IF;
END
$platform$;

-- A host's own tables must be able to carry what follows: say so here rather than fail somewhere later.
DO $platform$
DECLARE
  wanted record;
BEGIN
  FOR wanted IN
    SELECT * FROM (VALUES
      ('organizations', 'id'), ('user_organizations', 'user_id'), ('user_organizations', 'org_id'),
      ('contacts', 'id'), ('contacts', 'org_id')) AS needed (relation, attribute)
  LOOP
    IF NOT EXISTS (
      SELECT FROM pg_attribute
      WHERE attrelid = wanted.relation::regclass AND attname = wanted.attribute AND NOT attisdropped AND atttypid = 'uuid'::regtype)
    THEN
      RAISE EXCEPTION 'table "%" has no column "%" of type uuid, which the client journey needs', wanted.relation, wanted.attribute
        USING ERRCODE = 'undefined_column';
    END IF;
  END LOOP;
END
$platform$;

-- What the adapter reads of a client and writes for a new one; no-ops where the host has them.
DO $platform$
DECLARE
  wanted record;
BEGIN
  FOR wanted IN
    SELECT * FROM (VALUES ('name', 'text'), ('email', 'text'), ('phone', 'text'), ('ai_score', 'numeric'), ('status', 'text'))
      AS needed (attribute, type)
  LOOP
    IF NOT EXISTS (
      SELECT FROM pg_attribute WHERE attrelid = 'contacts'::regclass AND attname = wanted.attribute AND NOT attisdropped)
    THEN
      EXECUTE format('ALTER TABLE contacts ADD COLUMN %I %s', wanted.attribute, wanted.type);
    END IF;
  END LOOP;
END
$platform$;

-- Foreign keys carry (client_id, org_id) together, so that a client of one organization never gets an event of another.
DO $platform$
BEGIN
  IF NOT EXISTS (
    SELECT FROM pg_index i
    WHERE i.indrelid = 'contacts'::regclass AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
      AND i.indexprs IS NULL AND i.indnkeyatts = 2
      AND (SELECT array_agg(a.attname::text ORDER BY a.attname) FROM pg_attribute a
           WHERE a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:1])) = ARRAY['id', 'org_id'])
  THEN
    ALTER TABLE contacts ADD CONSTRAINT contacts_id_org_id_key UNIQUE (id, org_id);
  END IF;
END
$platform$;
