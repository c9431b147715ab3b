-- What operators decide about an operation: its circuit's state, or to hold it back; each with a limit, and by an action
-- that says who and why.
ALTER TABLE circuits RENAME TO circuits_old;
CREATE TABLE circuits (
    operation text PRIMARY KEY NOT NULL,
    forced text CHECK (forced IN ('forced_open', 'forced_closed', 'disabled')),
    forced_until datetime,
    forced_by text,
    paused_at datetime,
    paused_until datetime,
    paused_by text,
    action_id text,
    version bigint NOT NULL DEFAULT 0
);
INSERT INTO circuits (operation, forced, forced_until, action_id, version) SELECT operation, forced, forced_until, action_id, version FROM circuits_old;
DROP TABLE circuits_old;

-- What stands beside a circuit in the worker that computed it.
ALTER TABLE circuit_reports ADD COLUMN opens_at double;
ALTER TABLE circuit_reports ADD COLUMN slow_rate double;
ALTER TABLE circuit_reports ADD COLUMN slow_opens_at double;
ALTER TABLE circuit_reports ADD COLUMN budget_left double;
ALTER TABLE circuit_reports ADD COLUMN first_tries bigint NOT NULL DEFAULT 0;
ALTER TABLE circuit_reports ADD COLUMN retries bigint NOT NULL DEFAULT 0;
ALTER TABLE circuit_reports ADD COLUMN in_flight bigint;
ALTER TABLE circuit_reports ADD COLUMN places bigint;
ALTER TABLE circuit_reports ADD COLUMN denied json;

-- What one operation parked comes back in this order, one after the other.
DROP INDEX work_parked;
CREATE INDEX work_parked ON work (parked_by, run_at) WHERE parked_by IS NOT NULL;

-- More reasons why a call was not made. A CHECK cannot be altered: the tables are made anew.
ALTER TABLE attempts RENAME TO attempts_old;
CREATE TABLE attempts (
    onboarding_id text NOT NULL,
    seq bigint NOT NULL,
    state text NOT NULL,
    attempt bigint NOT NULL,
    worker text NOT NULL,
    lease_id text NOT NULL,
    started_at datetime NOT NULL,
    ended_at datetime,
    outcome text CHECK (outcome IN ('succeeded', 'failed', 'parked', 'handed_back', 'lost')),
    operation text,
    class text CHECK (class IN ('transient', 'timeout', 'permanent', 'unknown', 'circuit_open', 'budget_spent', 'bulkhead_full', 'held')),
    http_status bigint,
    error text,
    reason text,
    delay_seconds double,
    PRIMARY KEY (onboarding_id, seq)
);
INSERT INTO attempts SELECT onboarding_id, seq, state, attempt, worker, lease_id, started_at, ended_at, outcome, operation, class, http_status, error, reason, delay_seconds FROM attempts_old;
DROP TABLE attempts_old;

ALTER TABLE dead_letters RENAME TO dead_letters_old;
CREATE TABLE dead_letters (
    id text PRIMARY KEY NOT NULL,
    onboarding_id text NOT NULL,
    tenant_id text NOT NULL,
    repo_url text NOT NULL,
    state text NOT NULL,
    operation text,
    error text NOT NULL,
    error_class text NOT NULL CHECK (error_class IN ('transient', 'timeout', 'permanent', 'unknown', 'circuit_open', 'budget_spent', 'bulkhead_full', 'held')),
    error_fingerprint text NOT NULL,
    reason text NOT NULL CHECK (reason IN ('exhausted', 'permanent')),
    status text NOT NULL CHECK (status IN ('open', 'replaying', 'closed', 'discarded', 'quarantined')),
    outcome text CHECK (outcome IN ('succeeded', 'resumed', 'rolled_back', 'failed_again')),
    request json NOT NULL,
    idempotency_key text,
    history json NOT NULL,
    replays bigint NOT NULL DEFAULT 0,
    became text,
    created_at datetime NOT NULL,
    closed_at datetime,
    action_id text,
    revision bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 0
);
INSERT INTO dead_letters SELECT id, onboarding_id, tenant_id, repo_url, state, operation, error, error_class, error_fingerprint, reason, status, outcome, request, idempotency_key, history, replays, became, created_at, closed_at, action_id, revision, version FROM dead_letters_old;
DROP TABLE dead_letters_old;
CREATE INDEX dead_letters_newest ON dead_letters (created_at, id);
CREATE INDEX dead_letters_group ON dead_letters (error_fingerprint, created_at, id);
CREATE INDEX dead_letters_onboarding ON dead_letters (onboarding_id);
CREATE INDEX dead_letters_idempotency ON dead_letters (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX dead_letters_open ON dead_letters (created_at, id) WHERE status = 'open';
CREATE INDEX dead_letters_status ON dead_letters (status, created_at, id);
