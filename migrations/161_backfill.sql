-- History that is loaded later leads to no action, also where it waits for a group's owner.

ALTER TABLE journey_group_events ADD COLUMN is_backfill boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN journey_group_events.is_backfill IS 'History that was loaded later: it leads to no action.';
