-- What a decision depended on, so that it can be made again.

ALTER TABLE client_journey_scores ADD COLUMN inputs bytea;
COMMENT ON COLUMN client_journey_scores.inputs IS
  'All that the decision depended on besides the rules, with a hash; NULL: it was not recorded.';
-- With it a row may exceed 2 kB, and PostgreSQL would compress its columns at each insert.
ALTER TABLE client_journey_scores SET (toast_tuple_target = 4080);
