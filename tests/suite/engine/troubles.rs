//! The database's own troubles (those of a file are in `file`): each is named in words, and once it is over every onboarding completes, with each of
//! its states recorded once. Calls may happen again; that is what is promised.

use std::time::Duration;

use redrive::{
    domain::{fault::FaultClass, id::OnboardingId, onboarding::Phase},
    engine::{
        command::Command,
        store::StoreError,
        workflow::{OnExhaustion, StepPolicy},
    },
    resilience::{
        backoff::{Backoff, Jitter},
        classify::Classify as _,
    },
    store::OpenOptions,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::script::{Script, Turn, World};
use crate::support::{
    postgres::database,
    proxy::{Lost, Proxy},
    stores::{TestStore, column, done, request, submission, try_sql},
};

/// Each trouble strikes so often: more than a transaction is repeated by itself.
const TIMES: usize = 8;
const STATES: [&str; 4] = ["RECEIVED", "REGISTERING", "CONFIGURING_SYNC", "NOTIFYING"];
const BUSY: &str = "the database was too busy for recording a step: trouble; nothing was changed, try again";
const FULL: &str = "the database has no room for recording a step: the disk is full (trouble); nothing was changed, make \
                    room and try again";
const AWAY: &str = "cannot reach the database {label}: {why}; check that it runs and that the URL is right";
const UNKNOWN: &str = "the connection was lost while recording a step was being committed: it may or may not have \
                       happened; ask again";

/// What the server does, and what whoever recorded is told when it does so inside of the transaction and at its COMMIT.
const TROUBLES: [(&str, &str, &str); 8] = [
    ("40001", BUSY, BUSY),
    ("40P01", BUSY, BUSY),
    ("53100", FULL, FULL),
    ("53300", BUSY, BUSY),
    ("57P01", AWAY, UNKNOWN),
    ("08007", AWAY, UNKNOWN),
    ("40003", BUSY, UNKNOWN),
    ("its process ends", AWAY, UNKNOWN),
];

/// When it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Inside,
    Committing,
}

/// From now on `trouble` strikes the next `times` transactions that write an attempt. A sequence is not rolled back.
async fn arm(url: &str, when: When, trouble: &str, times: usize) {
    let strike = match trouble {
        // The signal comes at the latest while it would sleep.
        "its process ends" => "PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(60);".to_owned(),
        code => format!("RAISE 'trouble' USING ERRCODE = '{code}';"),
    };
    let kind = match when {
        When::Inside => ("TRIGGER", ""),
        When::Committing => ("CONSTRAINT TRIGGER", "DEFERRABLE INITIALLY DEFERRED"),
    };
    let sql = format!(
        "DROP TRIGGER IF EXISTS trouble ON redrive_attempts; DROP SEQUENCE IF EXISTS strikes; CREATE SEQUENCE strikes; \
         CREATE OR REPLACE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF nextval('strikes') <= {times} THEN {strike} END IF; RETURN NULL; END $$; \
         CREATE {} trouble AFTER INSERT OR UPDATE ON redrive_attempts {} FOR EACH ROW EXECUTE FUNCTION trouble()",
        kind.0, kind.1
    );
    try_sql(url, &sql).await.expect("it is armed");
}

pub(super) async fn trigger(world: &World, many: usize, name: &str) -> Vec<OnboardingId> {
    let mut ids = Vec::new();
    for n in 0..many {
        ids.push(world.trigger_of(&format!("{name}-{n}")).await);
    }
    ids
}

/// Every one completed, with each state recorded once, whatever was tried in between.
pub(super) async fn recorded_once(world: &World, url: &str, ids: &[OnboardingId], name: &str) {
    for id in ids {
        world.until(id, Phase::Completed).await;
        let of = |what: &str, table: &str, and: &str| {
            format!("SELECT {what} FROM {table} WHERE onboarding_id = '{id}' {and} ORDER BY 1")
        };
        let mut once: Vec<String> = STATES.map(str::to_owned).to_vec();
        once.sort();
        let succeeded = of("state", "redrive_attempts", "AND outcome = 'succeeded'");
        assert_eq!(column(url, &succeeded).await, once, "{name}");
        assert_eq!(column(url, &of("state", "onboarding_progress", "")).await, once, "{name}");
        let compensations = column(url, &of("name", "redrive_compensations", "")).await;
        assert_eq!(compensations, ["entities", "hook", "notification"], "{name}");
        assert_eq!(column(url, &of("error", "redrive_dead_letters", "")).await, [""; 0], "{name}");
    }
    assert_eq!(
        column(url, "SELECT subject_id FROM redrive_work").await,
        [""; 0],
        "{name}: nobody waits for anything"
    );
}

async fn postgres_troubles_pass(when: When) {
    let database = database().await;
    let url = database.url.as_str();
    let world = World::open(url, Script::new()).await;
    let _hand = world.hire("one");
    for (trouble, ..) in TROUBLES {
        arm(url, when, trouble, TIMES).await;
        let ids = trigger(&world, 4, &trouble.replace(' ', "-")).await;
        recorded_once(&world, url, &ids, trouble).await;
        let strikes: usize = column(url, "SELECT last_value FROM strikes").await[0].parse().unwrap();
        assert!(strikes > TIMES, "{trouble}: it struck as often as it was to: {strikes}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_postgres_refuses_for_a_while_inside_of_a_transaction_is_recorded_once_it_does_not() {
    postgres_troubles_pass(When::Inside).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_postgres_refuses_for_a_while_at_a_commit_is_recorded_once_it_does_not() {
    postgres_troubles_pass(When::Committing).await;
}

#[tokio::test]
async fn each_trouble_of_postgres_is_named_in_words_and_worth_another_attempt() {
    let store = TestStore::postgres().await;
    store.trigger("ledger").await;
    let claimed = store.claim_one().await;
    for when in [When::Inside, When::Committing] {
        for (trouble, inside, committing) in TROUBLES {
            arm(&store.url, when, trouble, usize::MAX >> 1).await;
            let record = redrive::engine::store::StepRecord {
                lease: claimed.lease.clone(),
                state: claimed.state.clone(),
                attempt: claimed.attempt,
                outcome: redrive::engine::store::StepOutcome::Completed { done: done() },
            };
            let lease = crate::support::stores::LEASE;
            let error = store.opened.store.record(&[record], lease).await.expect_err(trouble);
            let says = if when == When::Inside { inside } else { committing };
            let ended = trouble == "its process ends";
            let why = if ended { "terminating connection due to administrator command" } else { "trouble" };
            let says = says.replace("{label}", &store.opened.label).replace("{why}", why);
            assert_eq!(error.to_string(), says, "{trouble} {when:?}");
            let class = match error {
                StoreError::UnknownOutcome { .. } => FaultClass::Timeout,
                _ => FaultClass::Transient,
            };
            assert_eq!(error.class(), class, "{trouble} {when:?}");
        }
    }
    assert_eq!(
        store.page(&claimed.lease.onboarding).await.row.phase,
        Some(Phase::Running),
        "nothing was written"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wire_that_is_cut_at_a_commit_loses_nothing_and_records_nothing_twice() {
    let database = database().await;
    let url = database.url.as_str();
    let (login, place) = url.split_once('@').expect("a URL with a user");
    let (server, name) = place.split_once('/').expect("a database");
    let proxy = Proxy::to(server);
    let wired = format!("{login}@{}/{name}?sslmode=disable", proxy.address);
    let world = World::open(&wired, Script::new()).await;
    let _hand = world.hire("one");
    for lost in [Lost::Before, Lost::After] {
        for state in STATES {
            // What is recorded with this state, and with no other.
            proxy.cut_commit_of(&format!("did {state}"), lost);
            let ids = trigger(&world, 3, &format!("{state}-{lost:?}")).await;
            recorded_once(&world, url, &ids, &format!("{state} {lost:?}")).await;
            assert!(proxy.was_cut(), "{state} {lost:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_all_connections_are_in_use_it_is_said_so_and_the_work_waits() {
    let database = database().await;
    let url = database.url.as_str();
    let options =
        OpenOptions { connections: 2, connect_timeout: Duration::from_millis(300), ..OpenOptions::default() };
    let script = Script::new().then("REGISTERING", vec![Turn::Hold; 4]);
    let world = World::open_with(url, options, script).await;
    let ids = trigger(&world, 4, "waits").await;
    let _hand = world.hire("one");
    world.until_run("REGISTERING", 4).await;
    let mut stranger = PgConnection::connect(url).await.expect("it connects");
    let lock = "BEGIN; LOCK TABLE redrive_operator_actions IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut stranger).await.expect("it locks");
    let submit = async |n: usize| {
        let command = Command::Trigger { request: request(&format!("held-{n}")) };
        world.engine.submit(&submission(command)).await
    };
    world.script.go_on_by(4);
    // Those that wait for the lock have all there is; each lets go after the longest wait for a lock.
    let told = async { tokio::join!(submit(0), submit(1), submit(2), submit(3), submit(4), submit(5)) };
    let told = told.await;
    let told =
        [told.0, told.1, told.2, told.3, told.4, told.5].map(|told| told.expect_err("locked").to_string());
    let all_in_use = "the database was too busy for waiting for a connection: no connection came free in time; nothing \
                      was changed, try again";
    assert!(told.iter().any(|told| told.contains(all_in_use)), "{told:#?}");
    let locked = "the database was too busy for the action: canceling statement due to lock timeout";
    // Which of them got a connection, and so waited for the lock, is up to the machine.
    assert!(told.iter().all(|told| told.contains(all_in_use) || told.contains(locked)), "{told:#?}");
    stranger.close().await.expect("the stranger leaves");
    recorded_once(&world, url, &ids, "all in use").await;
}

async fn a_record_that_the_database_refuses_is_a_failed_attempt_in_words_and_is_made_once_it_does_not(
    url: &str,
) {
    let slow = Backoff { base: Duration::from_secs(2), cap: Duration::from_secs(2), jitter: Jitter::None };
    let policy = StepPolicy {
        attempts: 3,
        backoff: slow,
        timeout: Duration::from_secs(10),
        on_exhaustion: OnExhaustion::Fail,
    };
    let world = World::open(url, Script::new()).await.with_policies(|policies| {
        policies.states.insert("REGISTERING".into(), policy);
    });
    let row = "NEW.state = 'REGISTERING'";
    let sql = match url.starts_with("sqlite:") {
        // As a full disk does: the whole transaction is gone.
        true => format!(
            "CREATE TRIGGER trouble BEFORE INSERT ON onboarding_progress WHEN {row} BEGIN SELECT RAISE(ROLLBACK, 'not \
             now'); END"
        ),
        false => format!(
            "CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; END $$; CREATE TRIGGER \
             trouble BEFORE INSERT ON onboarding_progress FOR EACH ROW WHEN ({row}) EXECUTE FUNCTION trouble()"
        ),
    };
    try_sql(url, &sql).await.expect("it is armed");
    let ids = trigger(&world, 4, "refused").await;
    let _hand = world.hire("one");
    for id in &ids {
        let page = world.until(id, Phase::Waiting).await;
        let why = page.attempts.last().and_then(|a| a.error.clone()).expect("it says why");
        let says = format!(
            "cannot record what REGISTERING of {id} came to: the database failed at recording a step: not now"
        );
        assert_eq!(why, says);
    }
    let on = if url.starts_with("sqlite:") { "" } else { " ON onboarding_progress" };
    try_sql(url, &format!("DROP TRIGGER trouble{on}")).await.expect("it is over");
    recorded_once(&world, url, &ids, "refused").await;
}

stories! {
    a_record_that_the_database_refuses_is_a_failed_attempt_in_words_and_is_made_once_it_does_not,
}
