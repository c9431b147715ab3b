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
CREATE UNIQUE INDEX redrive_onboarding_history_stands ON onboarding_history (fingerprint, tenant_id, repo_url, coalesce(workspace_id, ''))
    WHERE status NOT IN ('failed', 'failed_cleaned_up');
CREATE INDEX redrive_onboarding_history_request ON onboarding_history (fingerprint);
CREATE INDEX redrive_onboarding_history_newest ON onboarding_history (created_at, id);
CREATE INDEX redrive_onboarding_history_status ON onboarding_history (status, created_at, id);
CREATE INDEX redrive_onboarding_history_phase ON onboarding_history (phase, created_at, id) WHERE phase IS NOT NULL;
-- What failed long ago is undone by itself: the oldest first.
CREATE INDEX redrive_onboarding_history_failed ON onboarding_history (phase, failed_at) WHERE phase = 'failed';
-- What others work on.
CREATE INDEX redrive_onboarding_history_elsewhere ON onboarding_history (status, created_at, id) WHERE phase IS NULL;
CREATE INDEX redrive_onboarding_history_unknown ON onboarding_history (status)
    WHERE status NOT IN ('in_progress', 'completed', 'failed', 'failed_cleaned_up');

CREATE TABLE onboarding_state (
    onboarding_id text PRIMARY KEY NOT NULL,
    current_state text,
    -- JSON as text: its writers write and parse it themselves.
    context text,
    last_checkpoint datetime,
    updated_at datetime NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')),

    -- The state it stands at, or went back from.
    checkpoint text,
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
CREATE UNIQUE INDEX redrive_entities_reference ON entities (kind, coalesce(metadata ->> 'namespace', 'default'), metadata ->> 'name');
-- As Backstage compares references.
CREATE INDEX redrive_entities_lower ON entities (lower(kind || ':' || coalesce(metadata ->> 'namespace', 'default') || '/' || (metadata ->> 'name')));

CREATE TABLE entity_relationships (
    source_id text NOT NULL,
    target_id text NOT NULL,

    type text NOT NULL DEFAULT ''
);
-- Others know no type and may repeat themselves.
CREATE UNIQUE INDEX redrive_entity_relationships_once ON entity_relationships (source_id, target_id, type) WHERE type <> '';
CREATE INDEX redrive_entity_relationships_source ON entity_relationships (source_id);
CREATE INDEX redrive_entity_relationships_target ON entity_relationships (target_id);

CREATE TABLE idempotency_keys (
    key text PRIMARY KEY NOT NULL,
    request_path text,
    request_hash text NOT NULL,
    status text NOT NULL,
    response_code integer,
    response_body json,
    created_at datetime NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')),
    locked_at datetime,
    locked_by text,

    operation text,
    client_key text,
    phase text CHECK (phase IN ('started', 'completed', 'failed', 'freed', 'failed_storage')),
    lease_id text,
    lease_until datetime,
    expires_at datetime,
    -- Our answer's bytes, where the database does not print the body as they are.
    response_raw blob,
    response_headers json,
    conflicts bigint NOT NULL DEFAULT 0,
    attempts bigint NOT NULL DEFAULT 0,
    onboarding_id text,
    state text,
    -- Why the work under a key runs, so that who asks again because the answer was lost is answered the same.
    begun_as text,
    -- Who released it last.
    action_id text,
    revision bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 0
);
CREATE INDEX redrive_idempotency_keys_started ON idempotency_keys (created_at, key) WHERE status = 'STARTED';
CREATE INDEX redrive_idempotency_keys_newest ON idempotency_keys (created_at, key);
CREATE INDEX redrive_idempotency_keys_onboarding ON idempotency_keys (onboarding_id) WHERE onboarding_id IS NOT NULL;
CREATE INDEX redrive_idempotency_keys_storage ON idempotency_keys (created_at, key) WHERE phase = 'failed_storage';
CREATE INDEX redrive_idempotency_keys_elsewhere ON idempotency_keys (created_at, key) WHERE phase IS NULL;
-- Keys and messages are forgotten when their retention is over; what others began has none and is left alone.
CREATE INDEX redrive_idempotency_keys_expiry ON idempotency_keys (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE processed_messages (
    message_id text PRIMARY KEY NOT NULL,
    processed_at datetime NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')),

    expires_at datetime
);
CREATE INDEX redrive_processed_messages_expiry ON processed_messages (expires_at) WHERE expires_at IS NOT NULL;

-- Times are text of one fixed form, or they miscompare: what others write is brought into it. What is no time at all
-- becomes the moment of its writing. (`+00` is how Postgres writes an offset; SQLite reads only `+00:00`.)
CREATE TRIGGER redrive_onboarding_history_times_inserted AFTER INSERT ON onboarding_history
WHEN NEW.created_at NOT GLOB '????-??-??T??:??:??.??????+00:00' OR NEW.failed_at NOT GLOB '????-??-??T??:??:??.??????+00:00' OR NEW.cleaned_up_at NOT GLOB '????-??-??T??:??:??.??????+00:00'
BEGIN
    UPDATE onboarding_history SET created_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.created_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.created_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')), revision = revision + 1 WHERE rowid = NEW.rowid AND NEW.created_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
    UPDATE onboarding_history SET failed_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.failed_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.failed_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')), revision = revision + 1 WHERE rowid = NEW.rowid AND NEW.failed_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
    UPDATE onboarding_history SET cleaned_up_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.cleaned_up_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.cleaned_up_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')), revision = revision + 1 WHERE rowid = NEW.rowid AND NEW.cleaned_up_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
END;
CREATE TRIGGER redrive_onboarding_history_times_updated AFTER UPDATE OF created_at, failed_at, cleaned_up_at ON onboarding_history
WHEN NEW.created_at NOT GLOB '????-??-??T??:??:??.??????+00:00' OR NEW.failed_at NOT GLOB '????-??-??T??:??:??.??????+00:00' OR NEW.cleaned_up_at NOT GLOB '????-??-??T??:??:??.??????+00:00'
BEGIN
    UPDATE onboarding_history SET created_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.created_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.created_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')), revision = revision + 1 WHERE rowid = NEW.rowid AND NEW.created_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
    UPDATE onboarding_history SET failed_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.failed_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.failed_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')), revision = revision + 1 WHERE rowid = NEW.rowid AND NEW.failed_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
    UPDATE onboarding_history SET cleaned_up_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.cleaned_up_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.cleaned_up_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')), revision = revision + 1 WHERE rowid = NEW.rowid AND NEW.cleaned_up_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
END;
CREATE TRIGGER redrive_onboarding_state_times_inserted AFTER INSERT ON onboarding_state
WHEN NEW.updated_at NOT GLOB '????-??-??T??:??:??.??????+00:00' OR NEW.last_checkpoint NOT GLOB '????-??-??T??:??:??.??????+00:00'
BEGIN
    UPDATE onboarding_state SET updated_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.updated_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.updated_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')), revision = revision + 1 WHERE rowid = NEW.rowid AND NEW.updated_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
    UPDATE onboarding_state SET last_checkpoint = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.last_checkpoint, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.last_checkpoint || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')), revision = revision + 1 WHERE rowid = NEW.rowid AND NEW.last_checkpoint NOT GLOB '????-??-??T??:??:??.??????+00:00';
END;
CREATE TRIGGER redrive_onboarding_state_times_updated AFTER UPDATE OF updated_at, last_checkpoint ON onboarding_state
WHEN NEW.updated_at NOT GLOB '????-??-??T??:??:??.??????+00:00' OR NEW.last_checkpoint NOT GLOB '????-??-??T??:??:??.??????+00:00'
BEGIN
    UPDATE onboarding_state SET updated_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.updated_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.updated_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')), revision = revision + 1 WHERE rowid = NEW.rowid AND NEW.updated_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
    UPDATE onboarding_state SET last_checkpoint = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.last_checkpoint, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.last_checkpoint || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')), revision = revision + 1 WHERE rowid = NEW.rowid AND NEW.last_checkpoint NOT GLOB '????-??-??T??:??:??.??????+00:00';
END;
CREATE TRIGGER redrive_onboarding_progress_times_inserted AFTER INSERT ON onboarding_progress
WHEN NEW.completed_at NOT GLOB '????-??-??T??:??:??.??????+00:00'
BEGIN
    UPDATE onboarding_progress SET completed_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.completed_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.completed_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')) WHERE rowid = NEW.rowid AND NEW.completed_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
END;
CREATE TRIGGER redrive_onboarding_progress_times_updated AFTER UPDATE OF completed_at ON onboarding_progress
WHEN NEW.completed_at NOT GLOB '????-??-??T??:??:??.??????+00:00'
BEGIN
    UPDATE onboarding_progress SET completed_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.completed_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.completed_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')) WHERE rowid = NEW.rowid AND NEW.completed_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
END;
CREATE TRIGGER redrive_entities_times_inserted AFTER INSERT ON entities
WHEN NEW.updated_at NOT GLOB '????-??-??T??:??:??.??????+00:00'
BEGIN
    UPDATE entities SET updated_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.updated_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.updated_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')) WHERE rowid = NEW.rowid AND NEW.updated_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
END;
CREATE TRIGGER redrive_entities_times_updated AFTER UPDATE OF updated_at ON entities
WHEN NEW.updated_at NOT GLOB '????-??-??T??:??:??.??????+00:00'
BEGIN
    UPDATE entities SET updated_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.updated_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.updated_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')) WHERE rowid = NEW.rowid AND NEW.updated_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
END;
CREATE TRIGGER redrive_idempotency_keys_times_inserted AFTER INSERT ON idempotency_keys
WHEN NEW.created_at NOT GLOB '????-??-??T??:??:??.??????+00:00' OR NEW.locked_at NOT GLOB '????-??-??T??:??:??.??????+00:00'
BEGIN
    UPDATE idempotency_keys SET created_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.created_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.created_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')), revision = revision + 1 WHERE rowid = NEW.rowid AND NEW.created_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
    UPDATE idempotency_keys SET locked_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.locked_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.locked_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')), revision = revision + 1 WHERE rowid = NEW.rowid AND NEW.locked_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
END;
CREATE TRIGGER redrive_idempotency_keys_times_updated AFTER UPDATE OF created_at, locked_at ON idempotency_keys
WHEN NEW.created_at NOT GLOB '????-??-??T??:??:??.??????+00:00' OR NEW.locked_at NOT GLOB '????-??-??T??:??:??.??????+00:00'
BEGIN
    UPDATE idempotency_keys SET created_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.created_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.created_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')), revision = revision + 1 WHERE rowid = NEW.rowid AND NEW.created_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
    UPDATE idempotency_keys SET locked_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.locked_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.locked_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')), revision = revision + 1 WHERE rowid = NEW.rowid AND NEW.locked_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
END;
CREATE TRIGGER redrive_processed_messages_times_inserted AFTER INSERT ON processed_messages
WHEN NEW.processed_at NOT GLOB '????-??-??T??:??:??.??????+00:00'
BEGIN
    UPDATE processed_messages SET processed_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.processed_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.processed_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')) WHERE rowid = NEW.rowid AND NEW.processed_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
END;
CREATE TRIGGER redrive_processed_messages_times_updated AFTER UPDATE OF processed_at ON processed_messages
WHEN NEW.processed_at NOT GLOB '????-??-??T??:??:??.??????+00:00'
BEGIN
    UPDATE processed_messages SET processed_at = coalesce(strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.processed_at, 'auto'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', NEW.processed_at || ':00'), strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')) WHERE rowid = NEW.rowid AND NEW.processed_at NOT GLOB '????-??-??T??:??:??.??????+00:00';
END;

-- A write that does not move `revision` is another service's: it moves everything that others compare with.
-- Whoever changes the status takes the onboarding: it is elsewhere from then on, and our work on it ends.
CREATE TRIGGER redrive_onboarding_history_elsewhere AFTER UPDATE ON onboarding_history
WHEN NEW.revision = OLD.revision
BEGIN
    UPDATE onboarding_history SET revision = revision + 1, version = version + 1, elsewhere = elsewhere + 1,
        phase = CASE WHEN NEW.status = OLD.status THEN phase END WHERE rowid = NEW.rowid;
END;
CREATE TRIGGER redrive_onboarding_state_elsewhere AFTER UPDATE ON onboarding_state
WHEN NEW.revision = OLD.revision
BEGIN
    UPDATE onboarding_state SET revision = revision + 1, version = version + 1, elsewhere = elsewhere + 1 WHERE rowid = NEW.rowid;
END;
CREATE TRIGGER redrive_onboarding_state_inserted AFTER INSERT ON onboarding_state
WHEN NEW.revision = 0
BEGIN
    UPDATE onboarding_state SET revision = revision + 1, version = version + 1, elsewhere = elsewhere + 1 WHERE rowid = NEW.rowid;
END;

-- A key that others take, settle or answer is theirs from then on: neither our lease nor our answer is left on it.
CREATE TRIGGER redrive_idempotency_keys_elsewhere AFTER UPDATE ON idempotency_keys
WHEN NEW.revision = OLD.revision
BEGIN
    UPDATE idempotency_keys SET revision = revision + 1, version = version + 1 WHERE rowid = NEW.rowid;
    UPDATE idempotency_keys SET phase = NULL, lease_id = NULL, lease_until = NULL, response_raw = NULL, response_headers = NULL,
        revision = revision + 1 WHERE rowid = NEW.rowid
        AND (NEW.status <> OLD.status OR NEW.locked_at IS NOT OLD.locked_at OR NEW.locked_by IS NOT OLD.locked_by
            OR NEW.response_code IS NOT OLD.response_code OR NEW.response_body IS NOT OLD.response_body);
END;

-- Tables of our own.

CREATE TABLE redrive_work (
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
CREATE INDEX redrive_work_due ON redrive_work (run_at);
-- What one operation parked comes back in this order, one after the other.
CREATE INDEX redrive_work_parked ON redrive_work (parked_by, run_at) WHERE parked_by IS NOT NULL;

CREATE TABLE redrive_attempts (
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

CREATE TABLE redrive_compensations (
    onboarding_id text NOT NULL,
    seq bigint NOT NULL,
    state text NOT NULL,
    operation text NOT NULL,
    name text NOT NULL,
    args json NOT NULL,
    -- What it is about, where several onboardings may have made or found the same: the last one undoes it.
    resource text,
    status text NOT NULL CHECK (status IN ('recorded', 'undone', 'nothing_to_undo', 'failed')),
    attempts bigint NOT NULL DEFAULT 0,
    error text,
    created_at datetime NOT NULL,
    ended_at datetime,
    PRIMARY KEY (onboarding_id, seq),
    UNIQUE (onboarding_id, name)
);
CREATE INDEX redrive_compensations_resource ON redrive_compensations (operation, resource) WHERE resource IS NOT NULL;

CREATE TABLE redrive_dead_letters (
    id text PRIMARY KEY NOT NULL,
    onboarding_id text NOT NULL,
    tenant_id text NOT NULL,
    repo_url text NOT NULL,
    state text NOT NULL,
    operation text,
    error text NOT NULL,
    error_class text NOT NULL CHECK (error_class IN ('transient', 'timeout', 'permanent', 'unknown', 'circuit_open', 'budget_spent', 'bulkhead_full', 'held')),
    error_fingerprint text NOT NULL,
    -- The rule it was made by; letters of an older one are grouped again.
    fingerprint_version integer NOT NULL DEFAULT 0,
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
CREATE INDEX redrive_dead_letters_newest ON redrive_dead_letters (created_at, id);
CREATE INDEX redrive_dead_letters_group ON redrive_dead_letters (error_fingerprint, created_at, id);
CREATE INDEX redrive_dead_letters_onboarding ON redrive_dead_letters (onboarding_id, status, created_at, id);
CREATE INDEX redrive_dead_letters_idempotency ON redrive_dead_letters (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX redrive_dead_letters_open ON redrive_dead_letters (created_at, id) WHERE status = 'open';
CREATE INDEX redrive_dead_letters_status ON redrive_dead_letters (status, created_at, id);
CREATE INDEX redrive_dead_letters_regroup ON redrive_dead_letters (id) WHERE fingerprint_version < 2;

CREATE TABLE redrive_letter_groups (
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
CREATE INDEX redrive_letter_groups_largest ON redrive_letter_groups (open + replaying) WHERE open + replaying > 0;

-- Paced by the workers: what it has begun, and why it holds or has stopped.
CREATE TABLE redrive_replays (
    id text PRIMARY KEY NOT NULL,
    operator text NOT NULL,
    per_second double NOT NULL,
    total bigint NOT NULL,
    succeeded bigint NOT NULL DEFAULT 0,
    failed_again bigint NOT NULL DEFAULT 0,
    skipped bigint NOT NULL DEFAULT 0,
    refail_limit double NOT NULL DEFAULT 0.2,
    dispatched bigint NOT NULL DEFAULT 0,
    dispatched_at datetime,
    new_errors bigint NOT NULL DEFAULT 0,
    held_by text,
    stopped_at datetime,
    stopped_why text,
    action_id text NOT NULL,
    last_action_id text,
    created_at datetime NOT NULL,
    ended_at datetime,
    version bigint NOT NULL DEFAULT 0
);
CREATE INDEX redrive_replays_newest ON redrive_replays (created_at, id);
CREATE INDEX redrive_replays_running ON redrive_replays (created_at, id) WHERE ended_at IS NULL;

CREATE TABLE redrive_replay_items (
    replay_id text NOT NULL,
    letter_id text NOT NULL,
    onboarding_id text NOT NULL,
    -- In the order asked.
    seq bigint NOT NULL,
    dispatched_at datetime,
    outcome text NOT NULL CHECK (outcome IN ('waiting', 'succeeded', 'failed_again', 'skipped')),
    reason text,
    became text,
    ended_at datetime,
    PRIMARY KEY (replay_id, letter_id)
);
-- A letter is in one running replay at most.
CREATE UNIQUE INDEX redrive_replay_items_waiting ON redrive_replay_items (letter_id) WHERE outcome = 'waiting';
CREATE INDEX redrive_replay_items_onboarding ON redrive_replay_items (onboarding_id) WHERE outcome = 'waiting';
CREATE INDEX redrive_replay_items_letter ON redrive_replay_items (letter_id);
CREATE INDEX redrive_replay_items_next ON redrive_replay_items (replay_id, seq) WHERE outcome = 'waiting' AND dispatched_at IS NULL;
CREATE INDEX redrive_replay_items_became ON redrive_replay_items (became) WHERE became IS NOT NULL;

-- What operators decide about an operation: its circuit's state, or to hold it back; each with a limit, and by an action
-- that says who and why.
CREATE TABLE redrive_circuits (
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

-- What each worker computed, and what stands beside a circuit there.
CREATE TABLE redrive_circuit_reports (
    operation text NOT NULL,
    worker text NOT NULL,
    state text NOT NULL CHECK (state IN ('closed', 'open', 'half_open')),
    failure_rate double,
    opens_at double,
    slow_rate double,
    slow_opens_at double,
    calls bigint NOT NULL,
    probe_at datetime,
    budget_left double,
    first_tries bigint NOT NULL DEFAULT 0,
    retries bigint NOT NULL DEFAULT 0,
    in_flight bigint,
    places bigint,
    denied json,
    reported_at datetime NOT NULL,
    PRIMARY KEY (operation, worker)
);
CREATE INDEX redrive_circuit_reports_worker ON redrive_circuit_reports (worker);

CREATE TABLE redrive_workers (
    id text PRIMARY KEY NOT NULL,
    started_at datetime NOT NULL,
    beat_at datetime NOT NULL,
    running bigint NOT NULL,
    metrics_url text,
    -- What it can run: the newest version of each workflow, by name. Where it is not known it counts as everything.
    runs json
);
CREATE INDEX redrive_workers_beat ON redrive_workers (beat_at);

-- Only ever inserted into.
CREATE TABLE redrive_operator_actions (
    id text PRIMARY KEY NOT NULL,
    at datetime NOT NULL,
    operator text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('trigger', 'resume', 'roll_back', 'replay', 'release', 'discard', 'restore', 'reveal', 'force', 'pause',
        'unpause', 'stop')),
    -- In which way it was done, where there is more than one: "open for 10m", "5/s". Beside the command, which may hold a
    -- payload, so that who only looks can read it.
    how text,
    reason text,
    command json NOT NULL,
    receipt json NOT NULL,
    applied bigint NOT NULL,
    left_out bigint NOT NULL
);
CREATE INDEX redrive_operator_actions_newest ON redrive_operator_actions (at, id);

CREATE TABLE redrive_operator_action_targets (
    action_id text NOT NULL,
    target_kind text NOT NULL CHECK (target_kind IN ('onboarding', 'letter', 'key', 'circuit', 'replay')),
    target_id text NOT NULL,
    onboarding_id text,
    at datetime NOT NULL,
    left_out text,
    PRIMARY KEY (action_id, target_kind, target_id)
);
CREATE INDEX redrive_operator_action_targets_target ON redrive_operator_action_targets (target_id, at);
CREATE INDEX redrive_operator_action_targets_onboarding ON redrive_operator_action_targets (onboarding_id, at) WHERE onboarding_id IS NOT NULL;

CREATE TABLE redrive_entity_owners (
    entity_id text NOT NULL,
    onboarding_id text NOT NULL,
    PRIMARY KEY (entity_id, onboarding_id)
);
CREATE INDEX redrive_entity_owners_onboarding ON redrive_entity_owners (onboarding_id);

-- Locks on named resources. A row outlives its holder, so that the fencing token only grows.
CREATE TABLE redrive_locks (
    resource text PRIMARY KEY NOT NULL,
    owner text,
    token bigint NOT NULL,
    locked_at datetime NOT NULL,
    expires_at datetime NOT NULL
);
