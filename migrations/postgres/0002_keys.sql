-- Who released it last.
ALTER TABLE idempotency_keys ADD COLUMN action_id text;

-- Keys and messages are forgotten when their retention is over; what others began has none and is left alone.
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at) WHERE expires_at IS NOT NULL;

-- Why the work under a key runs, so that who asks again because the answer was lost is answered the same.
ALTER TABLE idempotency_keys ADD COLUMN begun_as text;

-- A key that others take, settle or answer is theirs from then on: neither our lease nor our answer is left on it.
CREATE OR REPLACE FUNCTION redrive_key_written_elsewhere() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.revision = OLD.revision THEN
        NEW.revision := OLD.revision + 1;
        NEW.version := OLD.version + 1;
        IF NEW.status IS DISTINCT FROM OLD.status OR NEW.locked_at IS DISTINCT FROM OLD.locked_at
            OR NEW.locked_by IS DISTINCT FROM OLD.locked_by OR NEW.response_code IS DISTINCT FROM OLD.response_code
            OR NEW.response_body IS DISTINCT FROM OLD.response_body THEN
            NEW.phase := NULL;
            NEW.lease_id := NULL;
            NEW.lease_until := NULL;
            NEW.response_raw := NULL;
            NEW.response_headers := NULL;
        END IF;
    END IF;
    RETURN NEW;
END $$;

ALTER TABLE processed_messages ADD COLUMN expires_at timestamptz;
CREATE INDEX processed_messages_expiry ON processed_messages (expires_at) WHERE expires_at IS NOT NULL;

-- Locks on named resources. A row outlives its holder, so that the fencing token only grows.
CREATE TABLE locks (
    resource text PRIMARY KEY,
    owner text,
    token bigint NOT NULL,
    locked_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);

-- Every verb and noun of an operator's.
ALTER TABLE operator_actions DROP CONSTRAINT operator_actions_kind_check;
ALTER TABLE operator_actions ADD CONSTRAINT operator_actions_kind_check
    CHECK (kind IN ('trigger', 'resume', 'roll_back', 'replay', 'release', 'discard', 'restore', 'reveal', 'force', 'pause', 'unpause', 'stop'));
ALTER TABLE operator_action_targets DROP CONSTRAINT operator_action_targets_target_kind_check;
ALTER TABLE operator_action_targets ADD CONSTRAINT operator_action_targets_target_kind_check
    CHECK (target_kind IN ('onboarding', 'letter', 'key', 'circuit', 'replay'));

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'redrive_viewer') THEN
        GRANT SELECT ON locks TO redrive_viewer;
        GRANT SELECT (action_id) ON idempotency_keys TO redrive_viewer;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'redrive_operator') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON locks TO redrive_operator;
    END IF;
END $$;
