-- What operators decide about an operation: its circuit's state, or to hold it back; each with a limit, and by an action
-- that says who and why.
ALTER TABLE circuits DROP CONSTRAINT circuits_forced_check;
ALTER TABLE circuits ADD CONSTRAINT circuits_forced_check CHECK (forced IN ('forced_open', 'forced_closed', 'disabled'));
ALTER TABLE circuits ADD COLUMN forced_by text;
ALTER TABLE circuits ADD COLUMN paused_at timestamptz;
ALTER TABLE circuits ADD COLUMN paused_until timestamptz;
ALTER TABLE circuits ADD COLUMN paused_by text;

-- What stands beside a circuit in the worker that computed it.
ALTER TABLE circuit_reports ADD COLUMN opens_at double precision;
ALTER TABLE circuit_reports ADD COLUMN slow_rate double precision;
ALTER TABLE circuit_reports ADD COLUMN slow_opens_at double precision;
ALTER TABLE circuit_reports ADD COLUMN budget_left double precision;
ALTER TABLE circuit_reports ADD COLUMN first_tries bigint NOT NULL DEFAULT 0;
ALTER TABLE circuit_reports ADD COLUMN retries bigint NOT NULL DEFAULT 0;
ALTER TABLE circuit_reports ADD COLUMN in_flight bigint;
ALTER TABLE circuit_reports ADD COLUMN places bigint;
ALTER TABLE circuit_reports ADD COLUMN denied jsonb;

-- What one operation parked comes back in this order, one after the other.
DROP INDEX work_parked;
CREATE INDEX work_parked ON work (parked_by, run_at) WHERE parked_by IS NOT NULL;

-- More reasons why a call was not made.
ALTER TABLE attempts DROP CONSTRAINT attempts_class_check;
ALTER TABLE attempts ADD CONSTRAINT attempts_class_check
    CHECK (class IN ('transient', 'timeout', 'permanent', 'unknown', 'circuit_open', 'budget_spent', 'bulkhead_full', 'held'));
ALTER TABLE dead_letters DROP CONSTRAINT dead_letters_error_class_check;
ALTER TABLE dead_letters ADD CONSTRAINT dead_letters_error_class_check
    CHECK (error_class IN ('transient', 'timeout', 'permanent', 'unknown', 'circuit_open', 'budget_spent', 'bulkhead_full', 'held'));
