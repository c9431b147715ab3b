//! Whole worlds for the screen: what a poll would hand over, built by hand, always at the same instant.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use redrive::{
    domain::{
        action::ActionKind,
        attempt::{AttemptOutcome, CompensationStatus},
        circuit::CircuitState,
        fault::FaultClass,
        key::{KeyLife, KeyPhase, KeyStatus},
        letter::{LetterOutcome, LetterReason, LetterStatus, ReplayOutcome},
        mask,
        onboarding::{Phase, State, Status},
        text::SafeText,
    },
    engine::{
        command::LastAction,
        observer::Denial,
        plan::CompensationStanding,
        reader::{
            AttemptRow, AuditRow, Board, CircuitReportRow, CircuitRow, Count, Counts, Decision, Detail,
            KeyPage, KeyRow, LetterGroup, LetterPage, LetterRow, List, OnboardingPage, OnboardingRow, Page,
            Query, ReplayItemRow, Rows, WorkerRow,
        },
    },
    metrics::signals::{
        CircuitSignal, KeySignal, KeySignals, Lever, OperationSignal, Point, Signals, TargetStatus, Verdict,
        VerdictKind,
    },
    poll::{Snapshot, snapshot::DatabaseHealth},
};
use serde_json::json;

/// The instant of every world.
pub(crate) fn noon() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 14, 14, 2, 31).unwrap()
}

fn before(seconds: i64) -> DateTime<Utc> {
    noon() - TimeDelta::seconds(seconds)
}

fn safe(text: &str) -> SafeText {
    SafeText::new(text)
}

/// A world answers queries as a poll does.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) name: &'static str,
    pub(crate) board: Option<Board>,
    pub(crate) onboardings: Vec<OnboardingRow>,
    pub(crate) keys: Vec<KeyRow>,
    pub(crate) letters: Vec<LetterRow>,
    pub(crate) audit: Vec<AuditRow>,
    pub(crate) signals: Option<Signals>,
    pub(crate) error: Option<&'static str>,
    pub(crate) last_ok: Option<DateTime<Utc>>,
    pub(crate) number: u64,
    pub(crate) more_attempts: Vec<AttemptRow>,
    /// What is different about every onboarding's page.
    pub(crate) retouch: fn(&mut OnboardingPage),
}

impl World {
    /// The picture that answers `query`.
    pub(crate) fn picture(&self, query: &Query) -> Arc<Snapshot> {
        let board = self.board.clone().map(|board| {
            let rows = match &query.list {
                List::None => Rows::None,
                List::Onboardings => Rows::Onboardings(self.onboardings.clone()),
                List::Keys => Rows::Keys(self.keys.clone()),
                List::Letters { group } => {
                    let of =
                        |l: &&LetterRow| group.as_ref().is_none_or(|group| l.error_fingerprint == *group);
                    Rows::Letters(self.letters.iter().filter(of).cloned().collect())
                }
                List::Audit => Rows::Audit(self.audit.clone()),
            };
            let matching = match &rows {
                Rows::None => 0,
                Rows::Onboardings(_) => board.counts.onboardings.0,
                Rows::Keys(_) => board.counts.keys.0,
                Rows::Letters(rows) => rows.len() as i64,
                Rows::Audit(rows) => rows.len() as i64,
            };
            let page = query.detail.as_ref().map(|detail| self.page(detail));
            Arc::new(Board { rows, matching: Count(matching), page, ..board })
        });
        Arc::new(Snapshot {
            number: self.number,
            at: noon(),
            query: query.clone(),
            board,
            database: DatabaseHealth {
                label: safe("sqlite demo"),
                last_ok: self.last_ok,
                error: self.error.map(safe),
            },
            signals: self.signals.clone().map(Arc::new),
        })
    }

    fn page(&self, detail: &Detail) -> Page {
        match detail {
            Detail::Onboarding(id) => match self.onboardings.iter().find(|row| row.id == *id) {
                Some(row) => {
                    let mut page = self.onboarding_page(row);
                    (self.retouch)(&mut page);
                    Page::Onboarding(Box::new(page))
                }
                None => Page::Missing,
            },
            Detail::Key(id) => match self.keys.iter().find(|row| row.key == *id) {
                Some(row) => Page::Key(Box::new(KeyPage {
                    row: row.clone(),
                    why: safe(
                        "Will be retried when somebody asks again: its lease ran out 31 h ago, so the next caller takes \
                         it over and runs the call again.",
                    ),
                    response: Some(mask::payload(
                        &json!({ "id": 4711, "url": "https://bob:pw@api.github.com/hooks/4711", "secret": "x" }),
                    )),
                    response_bytes: Some(76),
                    response_headers: vec![safe("content-type"), safe("location")],
                    audit: self.audit.iter().take(1).cloned().collect(),
                    onboarding: self.onboardings.first().cloned(),
                    letters: self.letters.iter().take(1).cloned().collect(),
                })),
                None => Page::Missing,
            },
            Detail::Letter(id) => match self.letters.iter().find(|row| row.id == *id) {
                Some(row) => Page::Letter(Box::new(LetterPage {
                    row: row.clone(),
                    key: Some("github.create_hook/on-0001:hook".into()),
                    request: mask::payload(
                        &json!({ "tenantId": "acme", "repoUrl": "https://github.com/acme/payments", "workspaceId": "ws-a1b2c3", "note": "urgent" }),
                    ),
                    history: attempts(),
                    replays: vec![ReplayItemRow {
                        replay: "rp-1".into(),
                        letter: row.id.clone(),
                        outcome: ReplayOutcome::FailedAgain,
                        ended_at: Some(before(120)),
                        became: Some("lt-0009".into()),
                        reason: None,
                    }],
                    audit: self.audit.clone(),
                })),
                None => Page::Missing,
            },
        }
    }

    fn onboarding_page(&self, row: &OnboardingRow) -> OnboardingPage {
        let compensation = |seq, state: State, operation: &str, name: &str, status| CompensationStanding {
            relied_on_by: None,
            seq,
            state: state.name(),
            operation: operation.to_owned(),
            name: safe(name),
            status,
            circuit_open: operation.starts_with("github"),
        };
        OnboardingPage {
            row: row.clone(),
            attempts: attempts().into_iter().chain(self.more_attempts.clone()).collect(),
            subtasks: vec![
                (State::Registering.name(), safe("entity:Component:payments"), before(70)),
                (State::Registering.name(), safe("entity:Resource:payments-db"), before(70)),
                (State::ConfiguringSync.name(), safe("notification"), before(66)),
            ],
            compensations: vec![
                compensation(
                    1,
                    State::Registering,
                    "catalog.remove",
                    "2 entities of acme",
                    CompensationStatus::Recorded,
                ),
                compensation(
                    2,
                    State::ConfiguringSync,
                    "tfc.delete_notification",
                    "backstage-sync on ws-a1b2c3",
                    CompensationStatus::Recorded,
                ),
                compensation(
                    3,
                    State::ConfiguringSync,
                    "github.delete_hook",
                    "hook on acme/payments",
                    CompensationStatus::NothingToUndo,
                ),
            ],
            context: mask::payload(
                &json!({ "branch": "main", "files": ["main.tf", "CODEOWNERS"], "commit": { "sha": "0a1b2c", "author": "ana@example.com" }, "token": "ghp_0123456789abcdef" }),
            ),
            entities: vec![safe("component:default/payments"), safe("resource:default/payments-db")],
            keys: self.keys.iter().take(1).cloned().collect(),
            letters: self.letters.iter().take(1).cloned().collect(),
            audit: self.audit.iter().take(1).cloned().collect(),
        }
    }
}

fn attempts() -> Vec<AttemptRow> {
    let plain = |seq, state: State, at: i64, took: i64| AttemptRow {
        seq,
        state: state.name(),
        attempt: 1,
        worker: "worker-a".into(),
        started_at: before(at),
        ended_at: Some(before(at) + TimeDelta::milliseconds(took)),
        outcome: Some(AttemptOutcome::Succeeded),
        operation: None,
        class: None,
        error: None,
        reason: None,
        delay_seconds: None,
    };
    let failed = |seq, attempt, at, class, error: &str, reason: &str, delay| AttemptRow {
        attempt,
        outcome: Some(AttemptOutcome::Failed),
        operation: Some("github.create_hook".to_owned()),
        class: Some(class),
        error: Some(error.to_owned()),
        reason: Some(reason.to_owned()),
        delay_seconds: delay,
        ..plain(seq, State::ConfiguringSync, at, 1_004)
    };
    vec![
        plain(1, State::Received, 75, 20),
        plain(2, State::Validating, 75, 310),
        plain(3, State::Discovering, 74, 1_240),
        plain(4, State::Extracting, 73, 880),
        plain(5, State::Generating, 72, 40),
        plain(6, State::Registering, 71, 95),
        failed(
            7,
            1,
            66,
            FaultClass::Transient,
            "503 from api.github.com: Service Unavailable",
            "transient, attempt 1 of 3",
            Some(1.7),
        ),
        failed(
            8,
            2,
            63,
            FaultClass::Timeout,
            "github.create_hook gave no answer within 1000 ms",
            "timeout, attempt 2 of 3",
            Some(3.9),
        ),
        failed(
            9,
            3,
            58,
            FaultClass::Transient,
            "503 from api.github.com: Service Unavailable",
            "not retried: attempt 3 of 3 was the last",
            None,
        ),
    ]
}

pub(crate) fn onboarding(n: usize, phase: Option<Phase>, state: State) -> OnboardingRow {
    const REPOS: [(&str, &str); 5] = [
        ("acme", "payments"),
        ("acme", "ledger"),
        ("globex", "checkout"),
        ("initech", "tps-reports"),
        ("umbrella", "research-infrastructure"),
    ];
    let (tenant, repo) = REPOS[n % REPOS.len()];
    let status = phase.map_or(Status::Failed, Phase::status);
    let failing = matches!(phase, Some(Phase::Failed | Phase::Waiting | Phase::Stuck) | None);
    OnboardingRow {
        id: format!("on-{n:04}").into(),
        tenant_id: safe(tenant),
        repo_url: safe(&format!("https://github.com/{tenant}/{repo}")),
        workspace_id: Some(safe("ws-a1b2c3d4")),
        status,
        phase,
        current_state: Some(state.name()),
        attempt: if failing { 3 } else { 1 },
        error: failing.then(|| safe("503 from api.github.com: Service Unavailable")),
        run_at: (phase == Some(Phase::Waiting)).then(|| noon() + TimeDelta::seconds(4)),
        parked_by: (phase == Some(Phase::Parked)).then(|| safe("github.create_hook")),
        owner: (phase == Some(Phase::Running)).then(|| "worker-a".into()),
        lease_until: (phase == Some(Phase::Running)).then(|| noon() + TimeDelta::seconds(22)),
        letter: (phase == Some(Phase::Failed)).then(|| format!("lt-{n:04}").into()),
        created_at: before(75 + n as i64 * 13),
        updated_at: before(5 + n as i64 * 11),
        failed_at: failing.then(|| before(57 + n as i64 * 11)),
        version: 3,
        last_action: (n == 2).then(|| LastAction {
            operator: "ana".to_owned(),
            kind: ActionKind::Resume,
            at: before(40),
        }),
    }
}

fn key(n: usize, phase: Option<KeyPhase>, stuck: bool) -> KeyRow {
    KeyRow {
        key: format!("github.create_hook/on-{n:04}:hook").into(),
        operation: phase.map(|_| safe("github.create_hook")),
        status: phase.map_or(KeyStatus::Completed, KeyPhase::status),
        phase,
        request_hash: safe("5f2c9a1be0"),
        conflicts: i32::from(n == 2),
        attempts: 1 + (n % 3) as i32,
        response_code: (phase == Some(KeyPhase::Completed)).then_some(201),
        created_at: before(111_700 + n as i64),
        locked_at: (phase == Some(KeyPhase::Started)).then(|| before(if stuck { 111_630 } else { 8 })),
        locked_by: (phase == Some(KeyPhase::Started)).then(|| safe("worker-a")),
        lease_until: (phase == Some(KeyPhase::Started))
            .then(|| if stuck { before(111_600) } else { noon() + TimeDelta::seconds(22) }),
        holder_alive: phase == Some(KeyPhase::Started) && !stuck,
        life: match phase {
            Some(KeyPhase::Started) if stuck => KeyLife::LeaseOver,
            Some(KeyPhase::Started) => KeyLife::InFlight,
            Some(KeyPhase::Completed) | None => KeyLife::Completed,
            Some(KeyPhase::Failed) => KeyLife::Failed,
            Some(KeyPhase::Freed) => KeyLife::Freed,
            Some(KeyPhase::FailedStorage) => KeyLife::FailedStorage,
        },
        stuck,
        expires_at: (phase.is_some() && phase != Some(KeyPhase::Started))
            .then(|| noon() + TimeDelta::seconds(2_480_300)),
        onboarding: Some(format!("on-{n:04}").into()),
        version: 2,
        last_action: (phase == Some(KeyPhase::Freed)).then(|| LastAction {
            operator: "ben".to_owned(),
            kind: ActionKind::Release,
            at: before(95),
        }),
    }
}

fn letter(n: usize, group: &str, error: &str) -> LetterRow {
    LetterRow {
        id: format!("lt-{n:04}").into(),
        onboarding: format!("on-{n:04}").into(),
        label: safe(["acme/payments", "acme/ledger", "globex/checkout"][n % 3]),
        state: State::ConfiguringSync.name(),
        operation: Some(safe("github.create_hook")),
        error: safe(error),
        error_fingerprint: group.to_owned(),
        reason: if group == "b0" { LetterReason::Permanent } else { LetterReason::Exhausted },
        status: if n == 3 { LetterStatus::Closed } else { LetterStatus::Open },
        outcome: (n == 3).then_some(LetterOutcome::Succeeded),
        replays: i32::from(n == 3),
        created_at: before(57 + n as i64 * 7),
        version: 1,
        last_action: None,
    }
}

fn group(fingerprint: &str, open: i64, error: &str, new: bool) -> LetterGroup {
    LetterGroup {
        fingerprint: fingerprint.to_owned(),
        error: safe(error),
        operation: Some(safe("github.create_hook")),
        open,
        replaying: 0,
        first_seen: before(if new { 300 } else { 90_000 }),
        last_seen: before(12),
        new,
        last_action: (!new).then(|| LastAction {
            operator: "ana".to_owned(),
            kind: ActionKind::Replay,
            at: before(600),
        }),
    }
}

fn circuit(operation: &str, state: CircuitState, rate: Option<f64>, holds: i64) -> CircuitRow {
    CircuitRow {
        operation: safe(operation),
        state,
        forced: None,
        forced_by: None,
        paused: None,
        instances: (2, 2),
        failure_rate: rate,
        opens_at: Some(0.5),
        calls: 40,
        probe_at: (state == CircuitState::Open).then(|| noon() + TimeDelta::seconds(12)),
        holds: Count(holds),
        budget_left: Some(if holds > 0 { 0.04 } else { 1.0 }),
        denied: match holds {
            0 => BTreeMap::new(),
            _ => BTreeMap::from([(Denial::Budget, 31), (Denial::Circuit, 1_204)]),
        },
        reported_at: before(1),
        version: 3,
        last_action: None,
        reports: ["worker-a", "worker-b"].map(|worker| report(worker, state, rate)).to_vec(),
    }
}

/// The circuit as one worker computed it.
pub(crate) fn report(worker: &str, state: CircuitState, rate: Option<f64>) -> CircuitReportRow {
    CircuitReportRow {
        worker: worker.into(),
        state,
        failure_rate: rate,
        slow_rate: None,
        slow_opens_at: None,
        calls: 20,
        probe_at: (state == CircuitState::Open).then(|| noon() + TimeDelta::seconds(12)),
        budget_left: Some(1.0),
        first_tries: 40,
        retries: 3,
        in_flight: None,
        reported_at: before(1),
    }
}

/// What an operator decided ten minutes ago, for half an hour.
pub(crate) fn decision(operator: &str, reason: &str) -> Decision {
    Decision {
        until: Some(noon() + TimeDelta::minutes(20)),
        operator: safe(operator),
        at: before(600),
        reason: Some(safe(reason)),
    }
}

fn action(n: i64, kind: ActionKind, applied: i64, left_out: i64, reason: Option<&str>) -> AuditRow {
    AuditRow {
        how: None,
        id: format!("ac-{n:04}").into(),
        at: before(40 + n * 95),
        operator: safe(if n % 2 == 0 { "ana" } else { "ben" }),
        kind,
        reason: reason.map(safe),
        applied,
        left_out,
        targets: (0..applied.min(4)).map(|n| safe(&format!("on-{n:04}"))).collect(),
    }
}

fn signals(kind: VerdictKind) -> Signals {
    let storm = kind == VerdictKind::Storm;
    let operation = |name: &str, caller: &str, first: f64, retry: f64, verdict| OperationSignal {
        operation: safe(name),
        caller: safe(caller),
        first_rate: Some(first),
        retry_rate: Some(retry),
        attempt_rate: Some(first + retry),
        retry_ratio: Some(retry / (first + retry)),
        amplification: Some((first + retry) / first),
        efficacy: (retry > 1.0).then_some(0.02),
        budget_remaining: (caller != "legacy-crm").then_some(if storm { 0.0 } else { 0.94 }),
        verdict,
    };
    let target = |name: &str| TargetStatus {
        name: safe(name),
        url: safe("http://127.0.0.1:9090/metrics"),
        last_ok: Some(before(1)),
        error: None,
        warnings: 0,
        samples: 128,
        preset: Some(safe(if name == "worker-a" { "redrive" } else { "http_client" })),
        took: Duration::from_millis(4),
    };
    let point = |second: i64| {
        let at = before(900 - second);
        // A hole of a minute: the target did not answer.
        let hole = (400..460).contains(&second);
        let rising = ((second - 620).clamp(0, 120) as f64) / 120.0;
        let first = 18.0 + ((second as f64) / 40.0).sin() * 3.0;
        let retries = if storm { rising * 78.0 } else { 0.4 };
        Point {
            at,
            first: (!hole).then_some(first),
            retries: (!hole).then_some(retries),
            amplification: (!hole).then_some((first + retries) / first),
            efficacy: (!hole && storm).then_some(0.9 - rising * 0.88),
        }
    };
    Signals {
        verdict: Verdict {
            kind,
            operation: storm.then(|| safe("github.create_hook")),
            sentence: safe(if storm {
                "2.7× load · 63 % of requests are retries · 2 % of retries help · budget 0"
            } else {
                "4 operations, 22 calls/s: 2 % of requests are retries"
            }),
            callers: if storm {
                vec![(safe("legacy-crm"), 0.81), (safe("worker-a"), 0.19)]
            } else {
                Vec::new()
            },
            since: Some(before(45)),
            began: Some(before(52)),
            root: storm.then(|| safe("github")),
            levers: if storm {
                vec![
                    Lever { ours: true, text: safe("pause onboardings 2.7×→1.9×"), key: Some('P') },
                    Lever { ours: false, text: safe("cap legacy-crm's retries →1.2×"), key: None },
                ]
            } else {
                Vec::new()
            },
        },
        operations: vec![
            operation("github.create_hook", "legacy-crm", 11.0, 40.5, kind),
            operation("github.create_hook", "worker-a", 7.0, 5.6, kind),
            operation("tfc.create_notification", "worker-a", 7.1, 0.2, VerdictKind::Calm),
        ],
        circuits: if storm { foreign_circuits() } else { Vec::new() },
        keys: Some(key_signals(storm)),
        chart: (0..=180).map(|n| point(n * 5)).collect(),
        targets: vec![target("worker-a"), target("legacy-crm")],
    }
}

fn foreign_circuits() -> Vec<CircuitSignal> {
    let circuit =
        |name: &str, process: &str, state: &str, severity: u8, failing: Option<f64>| CircuitSignal {
            circuit: safe(name),
            process: safe(process),
            state: safe(state),
            severity,
            failure_rate: failing,
            ours: process == "worker-a",
            read_at: before(1),
        };
    vec![
        circuit("github.create_hook", "worker-a", "open", 5, None),
        circuit("payments-api", "edge-envoy", "at capacity", 4, None),
        circuit("payments", "checkout", "open", 5, Some(0.78)),
        circuit("payments-http.charge", "billing", "last seen open 14:01, unconfirmed", 4, None),
    ]
}

fn key_signals(storm: bool) -> KeySignals {
    let signal = |name: &str, asked: u64, hits: f64| KeySignal {
        operation: safe(name),
        asked,
        hit_ratio: Some(hits),
        in_progress: if storm { 31 } else { 0 },
        mismatch: u64::from(storm),
        recovered: if storm { 4 } else { 0 },
        error: 0,
        unprotected: 0,
    };
    let mut operations = vec![signal("github.create_hook", 1_204, 0.41), signal("intake", 412, 0.083)];
    if storm {
        operations.push(KeySignal { error: 3, unprotected: 7, ..signal("payments.charge", 90, 0.2) });
        operations.push(KeySignal { hit_ratio: None, asked: 0, ..signal("reports.send", 0, 0.0) });
        operations.push(signal("tfc.create_notification", 88, 0.0));
    }
    KeySignals { operations, not_stored: u64::from(storm) }
}

fn board(counts: Counts) -> Board {
    Board {
        read_only: None,
        at: noon(),
        counts,
        workers: Vec::new(),
        unclaimed: Vec::new(),
        poison: None,
        circuits: Vec::new(),
        pauses: Vec::new(),
        letter_groups: Vec::new(),
        replays: Vec::new(),
        rows: Rows::None,
        matching: Count(0),
        page: None,
    }
}

/// A database in which nothing has happened, without metrics.
pub(crate) fn empty() -> World {
    World {
        name: "empty",
        board: Some(board(Counts::default())),
        onboardings: Vec::new(),
        keys: Vec::new(),
        letters: Vec::new(),
        audit: Vec::new(),
        signals: None,
        error: None,
        last_ok: Some(noon() - TimeDelta::milliseconds(300)),
        number: 1,
        more_attempts: Vec::new(),
        retouch: |_| {},
    }
}

/// Everything works.
pub(crate) fn calm() -> World {
    let worker = WorkerRow {
        id: "worker-a".into(),
        beat_at: before(1),
        running: 2,
        metrics_url: None,
        runs: None,
        alive: true,
    };
    let counts = Counts {
        onboardings: Count(9_214),
        in_progress: Count(2),
        completed: Count(9_212),
        keys: Count(4_100),
        ..Counts::default()
    };
    World {
        name: "calm",
        board: Some(Board {
            workers: vec![worker.clone(), WorkerRow { id: "worker-b".into(), ..worker }],
            circuits: vec![
                circuit("github.create_hook", CircuitState::Closed, Some(0.0), 0),
                circuit("tfc.create_notification", CircuitState::Closed, Some(0.03), 0),
            ],
            ..board(counts)
        }),
        onboardings: vec![
            onboarding(0, Some(Phase::Running), State::Extracting),
            onboarding(1, Some(Phase::Queued), State::Received),
            onboarding(2, Some(Phase::Completed), State::Notifying),
        ],
        keys: vec![key(0, Some(KeyPhase::Started), false), key(1, Some(KeyPhase::Completed), false)],
        signals: Some(signals(VerdictKind::Calm)),
        ..empty()
    }
}

/// GitHub is down: a storm, an open circuit, failed onboardings and dead letters.
pub(crate) fn storm() -> World {
    let counts = Counts {
        onboardings: Count(128),
        in_progress: Count(41),
        parked: Count(38),
        failed: Count(12),
        rolling_back: Count(1),
        stuck: Count(1),
        completed: Count(9_214),
        keys: Count(4_100),
        keys_stuck: Count(3),
        keys_failed_storage: Count(1),
        oldest_stuck_key: Some(before(111_600)),
        letters: Count(37),
        letter_groups: Count(3),
        replaying: Count(0),
        letters_arrived: Count(12),
        oldest_letter: Some(before(90_000)),
        actions: Count(3),
        ..Counts::default()
    };
    let calm = calm();
    let mut onboardings = vec![
        onboarding(0, Some(Phase::Failed), State::ConfiguringSync),
        onboarding(1, Some(Phase::Parked), State::ConfiguringSync),
        onboarding(2, Some(Phase::Waiting), State::Discovering),
        onboarding(3, Some(Phase::Running), State::Extracting),
        onboarding(4, None, State::Registering),
        onboarding(5, Some(Phase::RollingBack), State::RollingBack),
        onboarding(6, Some(Phase::Stuck), State::RollingBack),
        onboarding(7, Some(Phase::Completed), State::Notifying),
    ];
    onboardings.extend((8..40).map(|n| onboarding(n, Some(Phase::Parked), State::ConfiguringSync)));
    let letters = (0..4).map(|n| letter(n, "a0", "503 from api.github.com: Service Unavailable"));
    let permanent = letter(4, "b0", "422 from app.terraform.io: invalid workspace ws-a1b2c3");
    World {
        name: "storm",
        board: Some(Board {
            circuits: vec![
                circuit("github.create_hook", CircuitState::Open, Some(0.92), 38),
                circuit("github.tree", CircuitState::HalfOpen, Some(0.55), 0),
                circuit("notify.outcome", CircuitState::Closed, None, 0),
                circuit("tfc.create_notification", CircuitState::Closed, Some(0.03), 0),
            ],
            letter_groups: vec![
                group("a0", 29, "503 from api.github.com: Service Unavailable", true),
                group("b0", 6, "422 from app.terraform.io: invalid workspace ws-a1b2c3", false),
                group("c0", 2, "github.create_hook gave no answer within 1000 ms", false),
            ],
            counts,
            ..calm.board.clone().expect("a calm world has a board")
        }),
        onboardings,
        keys: vec![
            key(0, Some(KeyPhase::Started), true),
            key(1, Some(KeyPhase::FailedStorage), false),
            key(2, Some(KeyPhase::Started), false),
            key(3, Some(KeyPhase::Freed), false),
            key(4, Some(KeyPhase::Completed), false),
            key(5, None, false),
        ],
        letters: letters.chain([permanent]).collect(),
        audit: vec![
            action(0, ActionKind::Resume, 1, 0, Some("GitHub is back, see the status page")),
            action(1, ActionKind::Replay, 371, 41, None),
            action(2, ActionKind::RollBack, 1, 0, Some("wrong workspace")),
        ],
        signals: Some(signals(VerdictKind::Storm)),
        ..calm
    }
    .named("storm")
}

/// The storm, seen 14 s ago; since then the database is gone.
pub(crate) fn stale() -> World {
    World {
        last_ok: Some(before(14)),
        error: Some("cannot reach the database postgres://ana:***@db/redrive: connection refused; check that it runs and that the URL is right"),
        ..storm()
    }
    .named("stale")
}

/// What a hostile field holds: a cleared screen, a window title, a clipboard (OSC 52), a link (OSC 8), C1 controls, bidi,
/// zero width, tags, line ends and tabs, a secret, a heap of marks, wide letters and emoji.
pub(crate) const EVIL: &str = concat!(
    "\u{1b}[2J\u{1b}]0;owned\u{7}\u{1b}]52;c;b3duZWQ=\u{7}\u{1b}]8;;http://evil.example\u{1b}\\\u{9b}31m\u{9d}",
    "\u{202e}gpj.exe\u{2066}\u{200b}\u{200d}\u{feff}\u{e0041}\u{e007f}\r\n\tpassword=hunter2 e\u{301}\u{301}\u{301}\u{301}",
    "\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301} 東京東京東京 👩\u{200d}👩\u{200d}👧 🏴 \u{2028}end",
);

/// Everything from outside is hostile.
pub(crate) fn hostile() -> World {
    let evil = EVIL;
    let long = "x".repeat(9_000);
    let marks = format!("e{}", "\u{301}".repeat(1_000));
    let mut world = storm();
    world.retouch = |page| {
        page.subtasks.iter_mut().for_each(|(state, name, _)| (*state, *name) = (EVIL.into(), safe(EVIL)));
        page.entities = vec![safe(EVIL); 7];
        page.context = mask::payload(&json!({ EVIL: EVIL, "name": EVIL, "id": EVIL.repeat(100) }));
        page.compensations.iter_mut().for_each(|one| {
            (one.name, one.operation) = (safe(EVIL), EVIL.to_owned());
        });
        for attempt in &mut page.attempts {
            attempt.worker = EVIL.into();
            (attempt.error, attempt.reason) = (Some(EVIL.to_owned()), Some(EVIL.to_owned()));
            attempt.operation = Some(EVIL.to_owned());
        }
    };
    for (n, row) in world.onboardings.iter_mut().enumerate() {
        row.tenant_id = safe(evil);
        row.repo_url = safe(&format!("https://bob:hunter2@evil.example/{evil}"));
        row.error = Some(safe([evil, long.as_str(), marks.as_str()][n % 3]));
        row.workspace_id = Some(safe(evil));
        row.parked_by = row.parked_by.as_ref().map(|_| safe(evil));
        row.owner = row.owner.as_ref().map(|_| evil.into());
        row.id = format!("on-{n:04}{evil}").into();
        row.current_state = Some(evil.into());
        row.last_action = Some(LastAction {
            operator: evil.to_owned(),
            kind: ActionKind::Replay,
            at: noon() + TimeDelta::seconds(90),
        });
    }
    for row in &mut world.letters {
        row.label = safe(evil);
        row.error = safe(&long);
    }
    for row in &mut world.keys {
        row.key = format!("{evil}/{}/{long}", row.key).into();
        row.operation = row.operation.as_ref().map(|_| safe(evil));
        row.request_hash = safe(evil);
        row.locked_by = Some(safe(evil));
    }
    for row in &mut world.audit {
        row.operator = safe(evil);
        row.reason = Some(safe(&long));
        row.targets = vec![safe(evil); 20];
    }
    if let Some(board) = &mut world.board {
        board.circuits.iter_mut().for_each(|row| row.operation = safe(&format!("{}{evil}", row.operation)));
        for group in &mut board.letter_groups {
            (group.error, group.operation) = (safe(evil), Some(safe(evil)));
        }
        for circuit in &mut board.circuits {
            circuit.reports.iter_mut().for_each(|report| report.worker = evil.into());
            circuit.forced_by = Some(decision(evil, &long));
        }
        board.workers.iter_mut().for_each(|worker| worker.id = evil.into());
    }
    if let Some(signals) = &mut world.signals {
        signals.verdict.sentence = safe(&long);
        signals.verdict.callers = vec![(safe(evil), f64::NAN), (safe(&long), 1e300)];
        signals.targets[0].error = Some(safe(evil));
        if let Some(keys) = &mut signals.keys {
            keys.operations.iter_mut().for_each(|key| key.operation = safe(evil));
            keys.operations[0].hit_ratio = Some(f64::NAN);
            keys.not_stored = u64::MAX;
        }
        signals.chart.iter_mut().step_by(7).for_each(|point| point.first = Some(f64::INFINITY));
        signals.chart.iter_mut().step_by(11).for_each(|point| point.retries = Some(f64::NAN));
    }
    world.named("hostile")
}

impl World {
    fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }
}

/// Everything hangs: nothing fails, and nothing moves.
pub(crate) fn stuck() -> World {
    let counts = Counts {
        onboardings: Count(412),
        in_progress: Count(41),
        stuck: Count(7),
        completed: Count(364),
        keys: Count(1_200),
        keys_stuck: Count(41),
        oldest_stuck_key: Some(before(5_400)),
        ..Counts::default()
    };
    let calm = calm();
    let mut signals = signals(VerdictKind::Stuck);
    signals.verdict.sentence =
        safe("41 onboardings under way and none has ended for 21 min · no call fails, none answers");
    signals.verdict.since = Some(before(1_260));
    signals.verdict.began = Some(before(1_260));
    for point in &mut signals.chart {
        (point.first, point.retries) = (Some(0.0), Some(0.0));
    }
    World {
        board: Some(Board { counts, ..calm.board.clone().expect("a calm world has a board") }),
        onboardings: (0..7)
            .map(|n| onboarding(n, Some(Phase::Stuck), State::RollingBack))
            .chain((7..41).map(|n| onboarding(n, Some(Phase::Running), State::ConfiguringSync)))
            .collect(),
        keys: (0..41).map(|n| key(n, Some(KeyPhase::Started), true)).collect(),
        signals: Some(signals),
        ..calm
    }
    .named("stuck")
}

/// More of everything than a screen, a list or a count holds.
pub(crate) fn huge() -> World {
    const ROWS: usize = 10_000;
    let storm = storm();
    let most = Count(Query::COUNT_CAP);
    let counts = Counts {
        onboardings: most,
        in_progress: most,
        parked: most,
        failed: most,
        keys: most,
        keys_stuck: most,
        letters: most,
        letter_groups: most,
        actions: most,
        ..storm.board.as_ref().expect("the storm has a board").counts.clone()
    };
    let phases = [Phase::Failed, Phase::Parked, Phase::Waiting, Phase::Running];
    let error = "503 from api.github.com: Service Unavailable";
    World {
        board: Some(Board {
            counts,
            letter_groups: (0..200).map(|n| group(&format!("a{n}"), 29 + n, error, n % 5 == 0)).collect(),
            circuits: (0..60)
                .map(|n| circuit(&format!("service_{n:02}.call"), CircuitState::Closed, Some(0.01), 0))
                .collect(),
            ..storm.board.clone().expect("the storm has a board")
        }),
        onboardings: (0..ROWS)
            .map(|n| onboarding(n, Some(phases[n % phases.len()]), State::ConfiguringSync))
            .collect(),
        keys: (0..ROWS).map(|n| key(n, Some(KeyPhase::Started), n % 2 == 0)).collect(),
        letters: (0..ROWS).map(|n| letter(n, "a0", error)).collect(),
        audit: (0..200).map(|n| action(n, ActionKind::Replay, 371, 41, None)).collect(),
        ..storm
    }
    .named("huge")
}

/// One more attempt that failed, `seq` in order.
pub(crate) fn failed_attempt(seq: i32) -> AttemptRow {
    let newest = attempts().pop().expect("there are some");
    AttemptRow { seq, started_at: before(20), ended_at: Some(before(19)), ..newest }
}

/// Every world.
pub(crate) fn all() -> [World; 7] {
    [empty(), calm(), storm(), stale(), hostile(), stuck(), huge()]
}

/// The keys that lead to every place there is.
pub(crate) const PLACES: [&str; 15] = [
    "1",
    "2",
    "3",
    "4",
    "4 z",
    "5",
    "6",
    "2 Enter",
    "3 Enter",
    "4 z Enter",
    "2 Enter v",
    "3 Enter v",
    "4 z Enter v",
    "?",
    ": 'the'",
];
