-- Identities: clients that turn out to be one, ids of things by which a client is found, and clients found by e-mail.

ALTER TABLE journey_client_state
  ADD COLUMN merged_into uuid,
  ADD CONSTRAINT journey_client_state_merged_fk FOREIGN KEY (merged_into, org_id) REFERENCES contacts (id, org_id) ON DELETE CASCADE,
  ADD CONSTRAINT journey_client_state_merged_check CHECK (merged_into <> client_id);
CREATE INDEX idx_journey_client_state_merged ON journey_client_state (merged_into) WHERE merged_into IS NOT NULL;
COMMENT ON COLUMN journey_client_state.merged_into IS
  'The client that this one has become: its journey is there now, and so is what is still sent for this one. Never a merged client itself.';

CREATE INDEX IF NOT EXISTS idx_journey_contacts_email ON contacts (org_id, lower(email));

-- History is added to, never changed, but for this: whose it is. So the adapter has a function for it and no right to change events.
CREATE FUNCTION journey_merge_clients(p_org uuid, p_from uuid, p_into uuid) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $function$
DECLARE
  v_from uuid;
  v_into uuid;
BEGIN
  IF (SELECT count(*) FROM contacts WHERE org_id = p_org AND id IN (p_from, p_into)) <> (CASE WHEN p_from = p_into THEN 1 ELSE 2 END) THEN
    RAISE EXCEPTION 'not both of % and % are clients of the organisation %', p_from, p_into, p_org USING ERRCODE = 'foreign_key_violation';
  END IF;
  INSERT INTO journey_client_state (client_id, org_id) VALUES (p_from, p_org), (p_into, p_org) ON CONFLICT (client_id) DO NOTHING;
  -- In the order in which every batch locks clients. Another merge may have come first, so what they have become is read under the lock, until both are found.
  LOOP
    v_from := COALESCE((SELECT merged_into FROM journey_client_state WHERE client_id = p_from), p_from);
    v_into := COALESCE((SELECT merged_into FROM journey_client_state WHERE client_id = p_into), p_into);
    IF v_from = v_into THEN RETURN v_into; END IF;
    PERFORM 1 FROM journey_client_state WHERE client_id IN (v_from, v_into) ORDER BY client_id FOR UPDATE;
    EXIT WHEN NOT EXISTS (SELECT FROM journey_client_state WHERE client_id IN (v_from, v_into) AND merged_into IS NOT NULL);
  END LOOP;

  UPDATE client_journey_events SET client_id = v_into WHERE client_id = v_from AND org_id = p_org;
  UPDATE client_journey_scores SET client_id = v_into WHERE client_id = v_from AND org_id = p_org;
  UPDATE journey_identities SET client_id = v_into WHERE client_id = v_from AND org_id = p_org;
  INSERT INTO journey_invoices AS mine (client_id, org_id, invoice_id, overdue_at, settled_at, amount, currency)
    SELECT v_into, org_id, invoice_id, overdue_at, settled_at, amount, currency FROM journey_invoices WHERE client_id = v_from
    ON CONFLICT (client_id, invoice_id) DO UPDATE
    SET overdue_at = LEAST(mine.overdue_at, EXCLUDED.overdue_at), settled_at = LEAST(mine.settled_at, EXCLUDED.settled_at),
      amount = COALESCE(mine.amount, EXCLUDED.amount), currency = COALESCE(mine.currency, EXCLUDED.currency);
  DELETE FROM journey_invoices WHERE client_id = v_from;

  UPDATE journey_client_state SET merged_into = v_into WHERE merged_into = v_from;
  UPDATE journey_client_state
  SET merged_into = v_into, summary = '', outreach = '', stage = NULL, stage_at = NULL, score = NULL, risk_level = NULL, risks = '{}',
    last_event_at = NULL, due_at = NULL, updated_at = now()
  WHERE client_id = v_from;
  -- The summary is made anew from all events when the client is met next.
  UPDATE journey_client_state s
  SET summary = '', stage = latest.stage, stage_at = latest.occurred_at,
    last_event_at = (SELECT max(occurred_at) FROM client_journey_events WHERE client_id = v_into), updated_at = now()
  FROM (SELECT 1) one
  LEFT JOIN LATERAL (
    SELECT stage, occurred_at FROM client_journey_events WHERE client_id = v_into AND sets_stage
    ORDER BY occurred_at DESC, source_event_id DESC LIMIT 1) latest ON true
  WHERE s.client_id = v_into;
  RETURN v_into;
END
$function$;
COMMENT ON FUNCTION journey_merge_clients(uuid, uuid, uuid) IS
  'Makes two clients of an organisation one: the journey of the first becomes part of the second''s. Returns the client that remains.';

-- Has the source's further id mean the client: a new id is noted, one that means another client makes the two one.
CREATE FUNCTION journey_absorb_identity(p_org uuid, p_source text, p_external text, p_client uuid) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $function$
DECLARE
  v_other uuid;
BEGIN
  INSERT INTO journey_identities (org_id, source, external_id, client_id) VALUES (p_org, p_source, p_external, p_client)
  ON CONFLICT (org_id, source, external_id) DO NOTHING;
  SELECT client_id INTO v_other FROM journey_identities WHERE org_id = p_org AND source = p_source AND external_id = p_external;
  IF v_other = p_client THEN RETURN p_client; END IF;
  RETURN journey_merge_clients(p_org, v_other, p_client);
END
$function$;
COMMENT ON FUNCTION journey_absorb_identity(uuid, text, text, uuid) IS
  'Has a further id of a source mean the client; where it means another one already, the two become one. Returns the client that remains.';

REVOKE ALL ON FUNCTION journey_merge_clients(uuid, uuid, uuid), journey_absorb_identity(uuid, text, text, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION journey_merge_clients(uuid, uuid, uuid), journey_absorb_identity(uuid, text, text, uuid) TO journey_adapter;
