-- A replay is paced by the workers: what it has begun, and why it holds or has stopped.
ALTER TABLE replays ADD COLUMN refail_limit double NOT NULL DEFAULT 0.2;
ALTER TABLE replays ADD COLUMN dispatched bigint NOT NULL DEFAULT 0;
ALTER TABLE replays ADD COLUMN dispatched_at datetime;
ALTER TABLE replays ADD COLUMN new_errors bigint NOT NULL DEFAULT 0;
ALTER TABLE replays ADD COLUMN held_by text;
ALTER TABLE replays ADD COLUMN stopped_at datetime;
ALTER TABLE replays ADD COLUMN stopped_why text;
ALTER TABLE replays ADD COLUMN last_action_id text;
ALTER TABLE replays ADD COLUMN version bigint NOT NULL DEFAULT 0;

-- In the order asked. What an older version began was dispatched with the replay itself.
ALTER TABLE replay_items ADD COLUMN seq bigint NOT NULL DEFAULT 0;
ALTER TABLE replay_items ADD COLUMN dispatched_at datetime;
UPDATE replay_items SET dispatched_at = (SELECT r.created_at FROM replays r WHERE r.id = replay_items.replay_id);
UPDATE replays SET dispatched = total, dispatched_at = created_at;
CREATE INDEX replay_items_next ON replay_items (replay_id, seq) WHERE outcome = 'waiting' AND dispatched_at IS NULL;
