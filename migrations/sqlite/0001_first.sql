-- Tables that other services write too: their names and columns are fixed. Ours come after the blank line of each,
-- nullable or with a default. No foreign key points at them, and no CHECK: others may write words we do not know.

CREATE TABLE onboarding_history (
    id text PRIMARY KEY NOT NULL DEFAULT (lower(hex(randomblob(16)))),
    tenant_id text NOT NULL,
    repo_url text NOT NULL,
    workspace_id text,
    fingerprint text NOT NULL,
    status text NOT NULL,
    current_state text,
    entities_created json,
    created_at datetime NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')),
    failed_at datetime,
    cleaned_up_at datetime,

    phase text CHECK (phase IN ('queued', 'running', 'waiting', 'parked', 'completed', 'failed', 'rolling_back', 'stuck', 'rolled_back')),
    workflow text,
    workflow_version bigint,
    attempt bigint NOT NULL DEFAULT 0,
    error text,
    action_id text,
    revision bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 0,
    -- Writes by others: what a holder's lease is compared with, so that they fence it.
    elsewhere bigint NOT NULL DEFAULT 0
);
-- One onboarding stands for a request.
CREATE UNIQUE INDEX onboarding_history_stands ON onboarding_history (fingerprint, tenant_id, repo_url, coalesce(workspace_id, ''))
    WHERE status NOT IN ('failed', 'failed_cleaned_up');
CREATE INDEX onboarding_history_request ON onboarding_history (fingerprint);
CREATE INDEX onboarding_history_newest ON onboarding_history (created_at, id);
CREATE INDEX onboarding_history_status ON onboarding_history (status, created_at, id);
CREATE INDEX onboarding_history_phase ON onboarding_history (phase, created_at, id) WHERE phase IS NOT NULL;
CREATE INDEX onboarding_history_unknown ON onboarding_history (created_at)
    WHERE status NOT IN ('in_progress', 'completed', 'failed', 'failed_cleaned_up');

CREATE TABLE onboarding_state (
    onboarding_id text PRIMARY KEY NOT NULL,
    current_state text,
    context json,
    last_checkpoint text,
    updated_at datetime NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')),

    revision bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 0,
    elsewhere bigint NOT NULL DEFAULT 0
);

CREATE TABLE onboarding_progress (
    onboarding_id text NOT NULL,
    state text NOT NULL,
    subtask text NOT NULL,
    completed_at datetime NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')),
    PRIMARY KEY (onboarding_id, state, subtask)
);

CREATE TABLE entities (
    id text PRIMARY KEY NOT NULL DEFAULT (lower(hex(randomblob(16)))),
    api_version text,
    kind text NOT NULL,
    metadata json NOT NULL,
    spec json,
    tenant_id text NOT NULL,
    updated_at datetime NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now'))
);
CREATE UNIQUE INDEX entities_reference ON entities (kind, coalesce(metadata ->> 'namespace', 'default'), metadata ->> 'name');
-- As Backstage compares references.
CREATE INDEX entities_lower ON entities (lower(kind || ':' || coalesce(metadata ->> 'namespace', 'default') || '/' || (metadata ->> 'name')));

CREATE TABLE entity_relationships (
    source_id text NOT NULL,
    target_id text NOT NULL,

    type text NOT NULL DEFAULT ''
);
-- Others know no type and may repeat themselves.
CREATE UNIQUE INDEX entity_relationships_once ON entity_relationships (source_id, target_id, type) WHERE type <> '';
CREATE INDEX entity_relationships_source ON entity_relationships (source_id);
CREATE INDEX entity_relationships_target ON entity_relationships (target_id);

CREATE TABLE idempotency_keys (
    key text PRIMARY KEY NOT NULL,
    request_path text,
    request_hash text NOT NULL,
    status text NOT NULL,
    response_code bigint,
    response_body text,
    created_at datetime NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')),
    locked_at datetime,
    locked_by text,

    operation text,
    client_key text,
    phase text CHECK (phase IN ('started', 'completed', 'failed', 'freed', 'failed_storage')),
    lease_id text,
    lease_until datetime,
    expires_at datetime,
    response_raw blob,
    response_headers json,
    conflicts bigint NOT NULL DEFAULT 0,
    attempts bigint NOT NULL DEFAULT 0,
    onboarding_id text,
    state text,
    revision bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 0
);
CREATE INDEX idempotency_keys_started ON idempotency_keys (created_at, key) WHERE status = 'STARTED';
CREATE INDEX idempotency_keys_newest ON idempotency_keys (created_at, key);
CREATE INDEX idempotency_keys_onboarding ON idempotency_keys (onboarding_id) WHERE onboarding_id IS NOT NULL;
CREATE INDEX idempotency_keys_storage ON idempotency_keys (created_at, key) WHERE phase = 'failed_storage';

CREATE TABLE processed_messages (
    message_id text PRIMARY KEY NOT NULL,
    processed_at datetime NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now'))
);

-- Times are text of one fixed form, or they miscompare: what others write is brought into it. What is no time at all
-- becomes the moment of its writing. (`+00` is how Postgres writes an offset; SQLite reads only `+00:00`.)
CREATE TRIGGER onboarding_history_times_inserted AFTER INSERT ON onboarding_history
WHEN NEW.created_at NOT GLOB '????-??-??T??:??:??.??????+00:00' OR NEW.failed_at NOT GLOB '????-??-??T??:??:??.??????+00:00' OR NEW.cleaned_up_at NOT GLOB '????-??-??T??:??:??.??????+00:00'
BEGIN
    UPDATE onboarding_history SET created_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.created_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.created_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')), revision = revision + 1 WHERE rowid = NEW.rowid AND NEW.created_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
    UPDATE onboarding_history SET failed_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.failed_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.failed_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')), revision = revision + 1 WHERE rowid = NEW.rowid AND NEW.failed_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
    UPDATE onboarding_history SET cleaned_up_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.cleaned_up_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.cleaned_up_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')), revision = revision + 1 WHERE rowid = NEW.rowid AND NEW.cleaned_up_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
END;
CREATE TRIGGER onboarding_history_times_updated AFTER UPDATE OF created_at, failed_at, cleaned_up_at ON onboarding_history
WHEN NEW.created_at NOT GLOB '????-??-??T??:??:??.??????+00:00' OR NEW.failed_at NOT GLOB '????-??-??T??:??:??.??????+00:00' OR NEW.cleaned_up_at NOT GLOB '????-??-??T??:??:??.??????+00:00'
BEGIN
    UPDATE onboarding_history SET created_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.created_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.created_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')), revision = revision + 1 WHERE rowid = NEW.rowid AND NEW.created_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
    UPDATE onboarding_history SET failed_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.failed_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.failed_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')), revision = revision + 1 WHERE rowid = NEW.rowid AND NEW.failed_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
    UPDATE onboarding_history SET cleaned_up_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.cleaned_up_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.cleaned_up_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')), revision = revision + 1 WHERE rowid = NEW.rowid AND NEW.cleaned_up_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
END;
CREATE TRIGGER onboarding_state_times_inserted AFTER INSERT ON onboarding_state
WHEN NEW.updated_at NOT GLOB '????-??-??T??:??:??.??????+00:00'
BEGIN
    UPDATE onboarding_state SET updated_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.updated_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.updated_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')), revision = revision + 1 WHERE rowid = NEW.rowid AND NEW.updated_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
END;
CREATE TRIGGER onboarding_state_times_updated AFTER UPDATE OF updated_at ON onboarding_state
WHEN NEW.updated_at NOT GLOB '????-??-??T??:??:??.??????+00:00'
BEGIN
    UPDATE onboarding_state SET updated_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.updated_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.updated_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')), revision = revision + 1 WHERE rowid = NEW.rowid AND NEW.updated_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
END;
CREATE TRIGGER onboarding_progress_times_inserted AFTER INSERT ON onboarding_progress
WHEN NEW.completed_at NOT GLOB '????-??-??T??:??:??.??????+00:00'
BEGIN
    UPDATE onboarding_progress SET completed_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.completed_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.completed_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')) WHERE rowid = NEW.rowid AND NEW.completed_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
END;
CREATE TRIGGER onboarding_progress_times_updated AFTER UPDATE OF completed_at ON onboarding_progress
WHEN NEW.completed_at NOT GLOB '????-??-??T??:??:??.??????+00:00'
BEGIN
    UPDATE onboarding_progress SET completed_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.completed_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.completed_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')) WHERE rowid = NEW.rowid AND NEW.completed_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
END;
CREATE TRIGGER entities_times_inserted AFTER INSERT ON entities
WHEN NEW.updated_at NOT GLOB '????-??-??T??:??:??.??????+00:00'
BEGIN
    UPDATE entities SET updated_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.updated_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.updated_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')) WHERE rowid = NEW.rowid AND NEW.updated_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
END;
CREATE TRIGGER entities_times_updated AFTER UPDATE OF updated_at ON entities
WHEN NEW.updated_at NOT GLOB '????-??-??T??:??:??.??????+00:00'
BEGIN
    UPDATE entities SET updated_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.updated_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.updated_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')) WHERE rowid = NEW.rowid AND NEW.updated_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
END;
CREATE TRIGGER idempotency_keys_times_inserted AFTER INSERT ON idempotency_keys
WHEN NEW.created_at NOT GLOB '????-??-??T??:??:??.??????+00:00' OR NEW.locked_at NOT GLOB '????-??-??T??:??:??.??????+00:00'
BEGIN
    UPDATE idempotency_keys SET created_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.created_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.created_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')), revision = revision + 1 WHERE rowid = NEW.rowid AND NEW.created_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
    UPDATE idempotency_keys SET locked_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.locked_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.locked_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')), revision = revision + 1 WHERE rowid = NEW.rowid AND NEW.locked_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
END;
CREATE TRIGGER idempotency_keys_times_updated AFTER UPDATE OF created_at, locked_at ON idempotency_keys
WHEN NEW.created_at NOT GLOB '????-??-??T??:??:??.??????+00:00' OR NEW.locked_at NOT GLOB '????-??-??T??:??:??.??????+00:00'
BEGIN
    UPDATE idempotency_keys SET created_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.created_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.created_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')), revision = revision + 1 WHERE rowid = NEW.rowid AND NEW.created_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
    UPDATE idempotency_keys SET locked_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.locked_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.locked_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')), revision = revision + 1 WHERE rowid = NEW.rowid AND NEW.locked_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
END;
CREATE TRIGGER processed_messages_times_inserted AFTER INSERT ON processed_messages
WHEN NEW.processed_at NOT GLOB '????-??-??T??:??:??.??????+00:00'
BEGIN
    UPDATE processed_messages SET processed_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.processed_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.processed_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')) WHERE rowid = NEW.rowid AND NEW.processed_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
END;
CREATE TRIGGER processed_messages_times_updated AFTER UPDATE OF processed_at ON processed_messages
WHEN NEW.processed_at NOT GLOB '????-??-??T??:??:??.??????+00:00'
BEGIN
    UPDATE processed_messages SET processed_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.processed_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.processed_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')) WHERE rowid = NEW.rowid AND NEW.processed_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
END;

-- A write that does not move `revision` is another service's: it moves everything that others compare with.
-- Whoever changes the status takes the onboarding: it is elsewhere from then on, and our work on it ends.
CREATE TRIGGER onboarding_history_elsewhere AFTER UPDATE ON onboarding_history
WHEN NEW.revision = OLD.revision
BEGIN
    UPDATE onboarding_history SET revision = revision + 1, version = version + 1, elsewhere = elsewhere + 1,
        phase = CASE WHEN NEW.status = OLD.status THEN phase END WHERE rowid = NEW.rowid;
END;
CREATE TRIGGER onboarding_state_elsewhere AFTER UPDATE ON onboarding_state
WHEN NEW.revision = OLD.revision
BEGIN
    UPDATE onboarding_state SET revision = revision + 1, version = version + 1, elsewhere = elsewhere + 1 WHERE rowid = NEW.rowid;
END;
CREATE TRIGGER onboarding_state_inserted AFTER INSERT ON onboarding_state
WHEN NEW.revision = 0
BEGIN
    UPDATE onboarding_state SET revision = revision + 1, version = version + 1, elsewhere = elsewhere + 1 WHERE rowid = NEW.rowid;
END;

-- A key that others take or settle is theirs from then on: our lease on it is gone.
CREATE TRIGGER idempotency_keys_elsewhere AFTER UPDATE ON idempotency_keys
WHEN NEW.revision = OLD.revision
BEGIN
    UPDATE idempotency_keys SET revision = revision + 1, version = version + 1 WHERE rowid = NEW.rowid;
    UPDATE idempotency_keys SET phase = NULL, lease_id = NULL, lease_until = NULL, response_raw = NULL, revision = revision + 1
        WHERE rowid = NEW.rowid
        AND (NEW.status <> OLD.status OR NEW.locked_at IS NOT OLD.locked_at OR NEW.locked_by IS NOT OLD.locked_by);
END;

-- Tables of our own.

CREATE TABLE work (
    kind text NOT NULL CHECK (kind IN ('onboarding')),
    subject_id text NOT NULL,
    -- While it is leased: when the lease ends. So what is due is one range of one index.
    run_at datetime NOT NULL,
    parked_by text,
    attempt bigint NOT NULL DEFAULT 0,
    lost bigint NOT NULL DEFAULT 0,
    owner text,
    lease_id text,
    epoch bigint NOT NULL DEFAULT 0,
    lease_until datetime,
    wish text CHECK (wish IN ('roll_back')),
    replay_id text,
    elsewhere bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, subject_id)
);
CREATE INDEX work_due ON work (run_at);
CREATE INDEX work_parked ON work (parked_by) WHERE parked_by IS NOT NULL;

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
    class text CHECK (class IN ('transient', 'timeout', 'permanent', 'unknown', 'circuit_open', 'budget_spent')),
    http_status bigint,
    error text,
    reason text,
    delay_seconds double,
    PRIMARY KEY (onboarding_id, seq)
);

CREATE TABLE compensations (
    onboarding_id text NOT NULL,
    seq bigint NOT NULL,
    state text NOT NULL,
    operation text NOT NULL,
    name text NOT NULL,
    args json NOT NULL,
    status text NOT NULL CHECK (status IN ('recorded', 'undone', 'nothing_to_undo', 'failed')),
    attempts bigint NOT NULL DEFAULT 0,
    error text,
    created_at datetime NOT NULL,
    ended_at datetime,
    PRIMARY KEY (onboarding_id, seq),
    UNIQUE (onboarding_id, name)
);

CREATE TABLE dead_letters (
    id text PRIMARY KEY NOT NULL,
    onboarding_id text NOT NULL,
    tenant_id text NOT NULL,
    repo_url text NOT NULL,
    state text NOT NULL,
    operation text,
    error text NOT NULL,
    error_class text NOT NULL CHECK (error_class IN ('transient', 'timeout', 'permanent', 'unknown', 'circuit_open', 'budget_spent')),
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
CREATE INDEX dead_letters_newest ON dead_letters (created_at, id);
CREATE INDEX dead_letters_group ON dead_letters (error_fingerprint, created_at, id);
CREATE INDEX dead_letters_onboarding ON dead_letters (onboarding_id);
CREATE INDEX dead_letters_idempotency ON dead_letters (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX dead_letters_open ON dead_letters (created_at, id) WHERE status = 'open';
CREATE INDEX dead_letters_status ON dead_letters (status, created_at, id);

CREATE TABLE letter_groups (
    error_fingerprint text PRIMARY KEY NOT NULL,
    error text NOT NULL,
    operation text,
    open bigint NOT NULL DEFAULT 0,
    replaying bigint NOT NULL DEFAULT 0,
    total bigint NOT NULL DEFAULT 0,
    first_seen datetime NOT NULL,
    last_seen datetime NOT NULL,
    action_id text
);
CREATE INDEX letter_groups_largest ON letter_groups (open + replaying) WHERE open + replaying > 0;

CREATE TABLE replays (
    id text PRIMARY KEY NOT NULL,
    action_id text NOT NULL,
    operator text NOT NULL,
    per_second double NOT NULL,
    total bigint NOT NULL,
    succeeded bigint NOT NULL DEFAULT 0,
    failed_again bigint NOT NULL DEFAULT 0,
    skipped bigint NOT NULL DEFAULT 0,
    created_at datetime NOT NULL,
    ended_at datetime
);
CREATE INDEX replays_newest ON replays (created_at, id);
CREATE INDEX replays_running ON replays (created_at, id) WHERE ended_at IS NULL;

CREATE TABLE replay_items (
    replay_id text NOT NULL,
    letter_id text NOT NULL,
    onboarding_id text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('waiting', 'succeeded', 'failed_again', 'skipped')),
    reason text,
    became text,
    ended_at datetime,
    PRIMARY KEY (replay_id, letter_id)
);
-- A letter is in one running replay at most.
CREATE UNIQUE INDEX replay_items_waiting ON replay_items (letter_id) WHERE outcome = 'waiting';
CREATE INDEX replay_items_onboarding ON replay_items (onboarding_id) WHERE outcome = 'waiting';
CREATE INDEX replay_items_letter ON replay_items (letter_id);
CREATE INDEX replay_items_became ON replay_items (became) WHERE became IS NOT NULL;

CREATE TABLE circuits (
    operation text PRIMARY KEY NOT NULL,
    forced text CHECK (forced IN ('forced_open', 'forced_closed')),
    forced_until datetime,
    action_id text,
    version bigint NOT NULL DEFAULT 0
);

CREATE TABLE circuit_reports (
    operation text NOT NULL,
    worker text NOT NULL,
    state text NOT NULL CHECK (state IN ('closed', 'open', 'half_open')),
    failure_rate double,
    calls bigint NOT NULL,
    probe_at datetime,
    reported_at datetime NOT NULL,
    PRIMARY KEY (operation, worker)
);
CREATE INDEX circuit_reports_worker ON circuit_reports (worker);

CREATE TABLE workers (
    id text PRIMARY KEY NOT NULL,
    started_at datetime NOT NULL,
    beat_at datetime NOT NULL,
    running bigint NOT NULL,
    metrics_url text
);
CREATE INDEX workers_beat ON workers (beat_at);

-- Only ever inserted into.
CREATE TABLE operator_actions (
    id text PRIMARY KEY NOT NULL,
    at datetime NOT NULL,
    operator text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('trigger', 'resume', 'roll_back', 'replay')),
    reason text,
    command json NOT NULL,
    receipt json NOT NULL,
    applied bigint NOT NULL,
    left_out bigint NOT NULL
);
CREATE INDEX operator_actions_newest ON operator_actions (at, id);

CREATE TABLE operator_action_targets (
    action_id text NOT NULL,
    target_kind text NOT NULL CHECK (target_kind IN ('onboarding', 'letter')),
    target_id text NOT NULL,
    onboarding_id text,
    at datetime NOT NULL,
    left_out text,
    PRIMARY KEY (action_id, target_kind, target_id)
);
CREATE INDEX operator_action_targets_target ON operator_action_targets (target_id, at);
CREATE INDEX operator_action_targets_onboarding ON operator_action_targets (onboarding_id, at) WHERE onboarding_id IS NOT NULL;

CREATE TABLE entity_owners (
    entity_id text NOT NULL,
    onboarding_id text NOT NULL,
    PRIMARY KEY (entity_id, onboarding_id)
);
CREATE INDEX entity_owners_onboarding ON entity_owners (onboarding_id);
