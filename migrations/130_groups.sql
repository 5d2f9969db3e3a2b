-- Groups: companies, accounts, households and mailboxes. Clients belong to them, but the id of a group is never an id of
-- a client, and groups are never merged.

CREATE TABLE journey_groups (
  org_id uuid NOT NULL,
  source text COLLATE "C" NOT NULL,
  group_id text COLLATE "C" NOT NULL,
  owner_id uuid,
  due_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (org_id, source, group_id),
  CONSTRAINT journey_groups_org_fk FOREIGN KEY (org_id) REFERENCES organizations (id) ON DELETE CASCADE
);
CREATE INDEX idx_journey_groups_due ON journey_groups (due_at) WHERE due_at IS NOT NULL;
COMMENT ON TABLE journey_groups IS
  'Companies, accounts, households and mailboxes, by the id that a source gives them. Not clients.';
COMMENT ON COLUMN journey_groups.owner_id IS
  'The contact that gets the events that name only the group. Without a reference: a contact that is deleted owns nothing.';
COMMENT ON COLUMN journey_groups.due_at IS
  'When to look whether the events that are kept for the group can be delivered; NULL: nothing has changed since.';

CREATE TABLE journey_group_members (
  org_id uuid NOT NULL,
  source text COLLATE "C" NOT NULL,
  group_id text COLLATE "C" NOT NULL,
  client_id uuid NOT NULL,
  since timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (org_id, source, group_id, client_id),
  CONSTRAINT journey_group_members_group_fk FOREIGN KEY (org_id, source, group_id)
    REFERENCES journey_groups (org_id, source, group_id) ON DELETE CASCADE,
  CONSTRAINT journey_group_members_client_fk FOREIGN KEY (client_id, org_id)
    REFERENCES contacts (id, org_id) ON DELETE CASCADE
);
CREATE INDEX idx_journey_group_members_client ON journey_group_members (client_id);
COMMENT ON TABLE journey_group_members IS
  'Which clients belong to a group. A client that was merged into another stays here under its own id.';

CREATE TABLE journey_group_events (
  org_id uuid NOT NULL,
  source text COLLATE "C" NOT NULL,
  source_event_id text COLLATE "C" NOT NULL,
  group_id text COLLATE "C" NOT NULL,
  id uuid NOT NULL,
  event_type text NOT NULL,
  stage text,
  min_stage text,
  acted_by text,
  occurred_at timestamptz NOT NULL,
  metadata jsonb NOT NULL,
  links jsonb NOT NULL,
  kept_at timestamptz NOT NULL DEFAULT now(),
  failed_at timestamptz,
  PRIMARY KEY (org_id, source, source_event_id),
  CONSTRAINT journey_group_events_group_fk FOREIGN KEY (org_id, source, group_id)
    REFERENCES journey_groups (org_id, source, group_id) ON DELETE CASCADE
);
CREATE INDEX idx_journey_group_events_group ON journey_group_events (org_id, source, group_id, occurred_at);
COMMENT ON TABLE journey_group_events IS
  'Events that name only a group of which nobody is known to be the right client. They move to client_journey_events, under the same key, once somebody is.';
COMMENT ON COLUMN journey_group_events.stage IS 'The stage that the event sets; NULL: none.';
COMMENT ON COLUMN journey_group_events.min_stage IS 'The stage that the event raises its client to, and acted_by who acted: as in client_journey_events.';
COMMENT ON COLUMN journey_group_events.failed_at IS
  'When the database last refused to store the event for its client. It is tried again an hour later; NULL: it was not refused.';
COMMENT ON COLUMN journey_group_events.links IS 'Ids of objects that belong to the client which gets the event.';

ALTER TABLE journey_identity_log
  ALTER COLUMN client_id DROP NOT NULL,
  DROP CONSTRAINT journey_identity_log_action_check,
  ADD CONSTRAINT journey_identity_log_action_check
    CHECK (action IN ('linked', 'unlinked', 'merged', 'split', 'owner_set', 'owner_cleared', 'discarded')),
  ADD CONSTRAINT journey_identity_log_client_check CHECK (client_id IS NOT NULL OR action = 'discarded');
COMMENT ON COLUMN journey_identity_log.external_id IS
  'The id of the client, or, where the owner of a group was set or cleared or an event kept for it was discarded, of the group.';
COMMENT ON COLUMN journey_identity_log.client_id IS 'NULL where an event that was kept for a group was discarded.';
COMMENT ON COLUMN journey_identity_log.other_client_id IS
  'Of a merge: the client that became part of client_id. Of a split: the client that is separate again. Of an owner: the one before.';

DO $access$
DECLARE
  relation text;
  grantee text;
  membership constant text :=
    '(org_id IN (SELECT org_id FROM user_organizations WHERE user_id = (SELECT auth.uid())))';
BEGIN
  FOREACH relation IN ARRAY ARRAY['journey_groups', 'journey_group_members', 'journey_group_events'] LOOP
    FOREACH grantee IN ARRAY ARRAY['public', 'authenticated', 'anon'] LOOP
      CONTINUE WHEN grantee <> 'public' AND to_regrole(grantee) IS NULL;
      EXECUTE format(
        'REVOKE ALL ON %I FROM %s', relation, CASE grantee WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(grantee) END);
    END LOOP;
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', relation);
    EXECUTE format('GRANT SELECT ON %I TO authenticated', relation);
    EXECUTE format(
      'CREATE POLICY %I ON %I FOR SELECT TO authenticated USING %s', relation || '_select', relation, membership);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO journey_adapter', relation);
    EXECUTE format(
      'CREATE POLICY %I ON %I TO journey_adapter USING (true) WITH CHECK (true)', relation || '_journey_adapter',
      relation);
  END LOOP;
END
$access$;
