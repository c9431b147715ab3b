-- Who released it last.
ALTER TABLE idempotency_keys ADD COLUMN action_id text;

-- Keys and messages are forgotten when their retention is over; what others began has none and is left alone.
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at) WHERE expires_at IS NOT NULL;

-- Why the work under a key runs, so that who asks again because the answer was lost is answered the same.
ALTER TABLE idempotency_keys ADD COLUMN begun_as text;

-- A key that others take, settle or answer is theirs from then on: neither our lease nor our answer is left on it.
DROP TRIGGER idempotency_keys_elsewhere;
CREATE TRIGGER idempotency_keys_elsewhere AFTER UPDATE ON idempotency_keys
WHEN NEW.revision = OLD.revision
BEGIN
    UPDATE idempotency_keys SET revision = revision + 1, version = version + 1 WHERE rowid = NEW.rowid;
    UPDATE idempotency_keys SET phase = NULL, lease_id = NULL, lease_until = NULL, response_raw = NULL, response_headers = NULL,
        revision = revision + 1 WHERE rowid = NEW.rowid
        AND (NEW.status <> OLD.status OR NEW.locked_at IS NOT OLD.locked_at OR NEW.locked_by IS NOT OLD.locked_by
            OR NEW.response_code IS NOT OLD.response_code OR NEW.response_body IS NOT OLD.response_body);
END;

ALTER TABLE processed_messages ADD COLUMN expires_at datetime;
CREATE INDEX processed_messages_expiry ON processed_messages (expires_at) WHERE expires_at IS NOT NULL;

-- Locks on named resources. A row outlives its holder, so that the fencing token only grows.
CREATE TABLE locks (
    resource text PRIMARY KEY NOT NULL,
    owner text,
    token bigint NOT NULL,
    locked_at datetime NOT NULL,
    expires_at datetime NOT NULL
);

-- Every verb and noun of an operator's. A CHECK cannot be altered: the tables are made anew.
ALTER TABLE operator_actions RENAME TO operator_actions_old;
CREATE TABLE operator_actions (
    id text PRIMARY KEY NOT NULL,
    at datetime NOT NULL,
    operator text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('trigger', 'resume', 'roll_back', 'replay', 'release', 'discard', 'restore', 'reveal', 'force', 'pause', 'unpause', 'stop')),
    reason text,
    command json NOT NULL,
    receipt json NOT NULL,
    applied bigint NOT NULL,
    left_out bigint NOT NULL
);
INSERT INTO operator_actions SELECT id, at, operator, kind, reason, command, receipt, applied, left_out FROM operator_actions_old;
DROP TABLE operator_actions_old;
CREATE INDEX operator_actions_newest ON operator_actions (at, id);

ALTER TABLE operator_action_targets RENAME TO operator_action_targets_old;
CREATE TABLE operator_action_targets (
    action_id text NOT NULL,
    target_kind text NOT NULL CHECK (target_kind IN ('onboarding', 'letter', 'key', 'circuit', 'replay')),
    target_id text NOT NULL,
    onboarding_id text,
    at datetime NOT NULL,
    left_out text,
    PRIMARY KEY (action_id, target_kind, target_id)
);
INSERT INTO operator_action_targets SELECT action_id, target_kind, target_id, onboarding_id, at, left_out FROM operator_action_targets_old;
DROP TABLE operator_action_targets_old;
CREATE INDEX operator_action_targets_target ON operator_action_targets (target_id, at);
CREATE INDEX operator_action_targets_onboarding ON operator_action_targets (onboarding_id, at) WHERE onboarding_id IS NOT NULL;
