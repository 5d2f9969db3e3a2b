-- Credentials in tables and lists within headers: the file that took them out of archived letters looked at the headers
-- themselves alone.

-- Dropped below: of use for what is archived already.
CREATE FUNCTION journey_without_credentials(p_items jsonb, p_path text, OUT rest jsonb, OUT names jsonb)
LANGUAGE plpgsql IMMUTABLE AS $function$
DECLARE
  item jsonb;
  inside record;
BEGIN
  rest := '[]';
  names := '[]';
  FOR item IN SELECT i.item FROM jsonb_array_elements(p_items) WITH ORDINALITY AS i(item, position) ORDER BY i.position LOOP
    IF jsonb_typeof(item -> 'name') = 'string' AND item ->> 'name' ~*
    '^(authorization|proxy-authorization|cookie|set-cookie)$|api[-_]?key|token|secret|password|credential|signature|hmac|session'
    THEN
      names := names || jsonb_build_array(p_path || (item ->> 'name'));
      CONTINUE;
    END IF;
    IF item ->> 'type' IN ('table', 'array') AND jsonb_typeof(item -> 'value') = 'array' THEN
      SELECT f.rest, f.names INTO inside
      FROM journey_without_credentials(item -> 'value', p_path || COALESCE((item ->> 'name') || '.', '')) f;
      names := names || inside.names;
      item := jsonb_set(item, '{value}', inside.rest);
    END IF;
    rest := rest || jsonb_build_array(item);
  END LOOP;
END
$function$;

UPDATE journey_dead_letters d
SET headers = kept.rest, redacted_headers = d.redacted_headers || kept.names
FROM (
  SELECT l.id, f.rest, f.names
  FROM journey_dead_letters l CROSS JOIN LATERAL journey_without_credentials(l.headers, '') f
  WHERE (l.headers @> '[{"type": "table"}]' OR l.headers @> '[{"type": "array"}]')
    AND l.headers::text ~* 'authorization|cookie|api[-_]?key|token|secret|password|credential|signature|hmac|session'
) kept
WHERE d.id = kept.id AND kept.names <> '[]';

DROP FUNCTION journey_without_credentials(jsonb, text);
