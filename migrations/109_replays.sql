-- Which letters a replay may have published: the record of one that is given back says so.

ALTER TABLE journey_dead_letter_replays ADD COLUMN published_to uuid;
COMMENT ON COLUMN journey_dead_letter_replays.published_to IS
  'Letters up to this one may have been published; set before they are. NULL: none was.';
