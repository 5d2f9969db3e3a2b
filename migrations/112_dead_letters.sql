-- Dead letters without credentials, of bounded size, and not for ever.

ALTER TABLE journey_dead_letters
  ADD COLUMN body_sha256 bytea,
  ADD COLUMN redacted_headers jsonb NOT NULL DEFAULT '[]',
  ADD CONSTRAINT journey_dead_letters_body_sha256_check CHECK (length(body_sha256) = 32),
  ADD CONSTRAINT journey_dead_letters_redacted_headers_check CHECK (jsonb_typeof(redacted_headers) = 'array');
COMMENT ON COLUMN journey_dead_letters.body_sha256 IS
  'SHA-256 of the whole body, where only its beginning is kept (deadLetters.maximumBodyBytes). NULL: the body is whole.';
COMMENT ON COLUMN journey_dead_letters.redacted_headers IS
  'Names of headers that the message had and that are not kept, as they carry credentials (deadLetters.redactHeaders).';
COMMENT ON COLUMN journey_dead_letters.exchange IS 'Where the message was first published, as far as it is known. A replay goes to the ingest queue.';
COMMENT ON TABLE journey_dead_letters IS 'Messages that could not be applied, with why. Worked on by: journey dlq.';

-- The names that deadLetters.redactHeaders has when nothing else is set, in what is archived already.
UPDATE journey_dead_letters d
SET headers = kept.headers, redacted_headers = kept.names
FROM (
  SELECT l.id, COALESCE(jsonb_agg(h.field ORDER BY h.position) FILTER (WHERE NOT n.is_secret), '[]') AS headers,
    jsonb_agg(h.field -> 'name' ORDER BY h.position) FILTER (WHERE n.is_secret) AS names
  FROM journey_dead_letters l
  CROSS JOIN LATERAL jsonb_array_elements(l.headers) WITH ORDINALITY AS h(field, position)
  CROSS JOIN LATERAL (SELECT COALESCE(h.field ->> 'name' ~*
    '^(authorization|proxy-authorization|cookie|set-cookie)$|api[-_]?key|token|secret|password|credential|signature|hmac|session', false) AS is_secret) n
  WHERE l.headers::text ~* 'authorization|cookie|api[-_]?key|token|secret|password|credential|signature|hmac|session'
  GROUP BY l.id
) kept
WHERE d.id = kept.id AND kept.names IS NOT NULL;

CREATE INDEX idx_journey_dead_letters_settled ON journey_dead_letters (settled_at) WHERE settled_at IS NOT NULL;

GRANT DELETE ON journey_dead_letters TO journey_adapter;
COMMENT ON TABLE journey_dead_letter_log IS
  'Who did what with dead letters, when, why, and what came of it. Added to, never changed; it outlives the letters.';
