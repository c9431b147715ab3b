//! Rows that cannot be taken, because of what others wrote or of what their triggers refuse: such a row goes aside and
//! says why, and the others are claimed.

use std::time::Duration;

use redrive::{
    domain::{
        attempt::AttemptOutcome,
        id::{LetterId, OnboardingId},
        onboarding::{Phase, Status},
    },
    engine::{
        reader::{Detail, Page, Query},
        store::{Heartbeat, Opening, Recorded, StepOutcome},
    },
};

use crate::support::stores::{TestStore, advanced, anything, done};

laws!(
    whatever_others_wrote_into_one_row_the_others_are_claimed_and_the_board_is_read,
    a_row_that_cannot_be_taken_ends_in_a_letter_after_its_attempts_and_can_be_resumed,
    a_roll_back_that_cannot_be_taken_is_stuck_after_its_attempts_and_can_be_tried_again,
    a_row_that_takes_no_word_is_told_of_among_its_attempts_and_put_aside,
    a_row_of_which_nothing_can_be_told_is_put_aside,
);

const SLOWLY: Duration = Duration::from_secs(60);
const ATTEMPTS: i32 = 5;

/// From now on the database refuses, for one onboarding, to do `what` to `table`.
async fn refuse(store: &TestStore, what: &str, table: &str, row: &str) {
    store
        .sql(&match store.is_sqlite() {
            true => format!(
                "CREATE TRIGGER refused BEFORE {what} ON {table} WHEN {row} BEGIN SELECT RAISE(ABORT, 'not this one'); END"
            ),
            false => format!(
                "CREATE FUNCTION refused() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this one'; END $$; \
                 CREATE TRIGGER refused BEFORE {what} ON {table} FOR EACH ROW WHEN ({row}) EXECUTE FUNCTION refused()"
            ),
        })
        .await;
}

async fn allow(store: &TestStore, table: &str) {
    let on = if store.is_sqlite() { String::new() } else { format!(" ON {table}") };
    store.sql(&format!("DROP TRIGGER refused{on}")).await;
}

/// Claims everything due; what came of the bad row is not among it.
async fn claims(store: &TestStore, bad: &OnboardingId) -> Vec<OnboardingId> {
    let claimed = store.claim("worker-a", 100).await;
    let ids: Vec<_> = claimed.into_iter().map(|claimed| claimed.lease.onboarding).collect();
    assert!(!ids.contains(bad), "it cannot be taken");
    ids
}

/// What cannot be taken, `what` happening to `table` where `row`, with a good one before and one after it.
async fn refused(store: &TestStore, what: &str, table: &str, row: &str) -> OnboardingId {
    let (before, bad, after) =
        (store.trigger("before").await, store.trigger("bad").await, store.trigger("after").await);
    refuse(store, what, table, &row.replace("{bad}", bad.as_str())).await;
    let mut claimed = claims(store, &bad).await;
    claimed.sort();
    let mut good = [before, after];
    good.sort();
    assert_eq!(claimed, good, "the others are claimed");
    bad
}

async fn whatever_others_wrote_into_one_row_the_others_are_claimed_and_the_board_is_read(store: TestStore) {
    const HUGE: &str = "9223372036854775807";
    let mut garbage: Vec<(&str, &str, &str)> = vec![
        ("redrive_work", "attempt", HUGE),
        ("redrive_work", "attempt", "-5"),
        ("redrive_work", "lost", HUGE),
        ("redrive_work", "epoch", HUGE),
        ("redrive_work", "elsewhere", HUGE),
        ("redrive_work", "replay_id", "'no such replay'"),
        ("onboarding_history", "attempt", HUGE),
        ("onboarding_history", "revision", HUGE),
        ("onboarding_history", "version", HUGE),
        ("onboarding_history", "elsewhere", HUGE),
        ("onboarding_history", "workflow_version", HUGE),
        ("onboarding_history", "workflow", "'no such workflow'"),
        ("onboarding_history", "entities_created", "'{\"n\": 1e999}'"),
        ("onboarding_history", "fingerprint", "'not a hash'"),
        ("onboarding_state", "version", HUGE),
        ("onboarding_state", "context", "'[1e999]'"),
        ("onboarding_state", "last_checkpoint", "'2026-01-01'"),
        ("onboarding_state", "current_state", "'DREAMING'"),
    ];
    match store.is_sqlite() {
        // Where a column takes anything. (Not the times of work: what is no time there is not due.)
        true => garbage.extend([
            ("redrive_work", "attempt", "'many'"),
            ("redrive_work", "lost", "x'ff00'"),
            ("redrive_work", "epoch", "'soon'"),
            ("redrive_work", "owner", "x'ff00'"),
            ("redrive_work", "run_at", "''"),
            ("onboarding_history", "attempt", "'many'"),
            ("onboarding_history", "revision", "'new'"),
            ("onboarding_history", "workflow_version", "'two'"),
            ("onboarding_history", "entities_created", "'[not json'"),
            ("onboarding_history", "created_at", "'yesterday'"),
            ("onboarding_history", "failed_at", "x'ff00'"),
            ("onboarding_history", "repo_url", "x'ff00'"),
            ("onboarding_state", "context", "x'ff00'"),
            ("onboarding_state", "current_state", "x'ff00'"),
            ("onboarding_state", "updated_at", "'yesterday'"),
        ]),
        false => garbage.extend([
            ("onboarding_history", "created_at", "'infinity'"),
            ("onboarding_state", "updated_at", "'-infinity'"),
            ("redrive_work", "run_at", "'-infinity'"),
        ]),
    }
    let mut bad = Vec::new();
    for (n, (table, column, value)) in garbage.into_iter().enumerate() {
        let id = store.trigger(&format!("bad-{n}")).await;
        let key = match table {
            "redrive_work" => "subject_id",
            "onboarding_state" => "onboarding_id",
            _ => "id",
        };
        // Numbers that no trigger of ours would let pass are there all the same.
        let write = format!("UPDATE {table} SET {column} = {value} WHERE {key} = '{id}'");
        store.try_sql(&write).await.unwrap_or_else(|error| panic!("{write}: {error}"));
        bad.push((id, write));
    }
    let good = [store.trigger("one").await, store.trigger("two").await];
    let claimed = store.claim("worker-a", 100).await;
    let is_claimed = |id: &OnboardingId| claimed.iter().any(|claimed| claimed.lease.onboarding == *id);
    assert!(good.iter().all(is_claimed), "the good ones are claimed");
    // What it cannot run is told while it is alive.
    let beat = Heartbeat {
        worker: "worker-a".into(),
        metrics_url: None,
        running: 0,
        runs: anything().newest(),
        circuits: Vec::new(),
    };
    store.opened.store.beat(&beat).await.expect("it beats");
    store.board(Query::default()).await;
    for (id, write) in bad {
        let page = store.page(&id).await;
        let told = page.row.error.is_some() || page.attempts.iter().any(|a| a.error.is_some());
        assert!(is_claimed(&id) || told, "{write}: claimed, or told why not: {:?}", page.row);
    }
}

async fn a_row_that_cannot_be_taken_ends_in_a_letter_after_its_attempts_and_can_be_resumed(store: TestStore) {
    let bad = refused(&store, "UPDATE OF epoch", "redrive_work", "NEW.subject_id = '{bad}'").await;
    for attempt in 1..ATTEMPTS {
        let page = store.page(&bad).await;
        assert_eq!((page.row.phase, page.row.attempt), (Some(Phase::Waiting), attempt));
        assert!(claims(&store, &bad).await.is_empty(), "it is not due");
        store.time.advance(SLOWLY);
        claims(&store, &bad).await;
    }
    let page = store.page(&bad).await;
    let tried: Vec<_> = page.attempts.iter().map(|a| (a.attempt, a.outcome)).collect();
    assert_eq!(tried, (1..=ATTEMPTS).map(|n| (n, Some(AttemptOutcome::Failed))).collect::<Vec<_>>());
    assert_eq!((page.row.phase, page.row.status), (Some(Phase::Failed), Status::Failed));
    let letter: LetterId = page.row.letter.expect("it has a letter");
    let query = Query { detail: Some(Detail::Letter(letter)), ..Query::default() };
    let Some(Page::Letter(letter)) = store.board(query).await.page else { panic!("it has a page") };
    let says = format!(
        "{bad} cannot be taken as it stands in the database: not this one; mend its row, then resume it or roll it back"
    );
    assert_eq!(letter.row.error.as_str(), says);
    allow(&store, "redrive_work").await;
    store.resume(&bad, None).await.expect("it is resumed");
    let claimed = store.claim("worker-a", 100).await;
    assert!(claimed.iter().any(|claimed| claimed.lease.onboarding == bad && claimed.attempt == 1));
}

async fn a_roll_back_that_cannot_be_taken_is_stuck_after_its_attempts_and_can_be_tried_again(
    store: TestStore,
) {
    let bad = store.trigger("bad").await;
    let claimed = store.claim_one().await;
    let next = advanced("VALIDATING", Opening::default());
    assert_eq!(store.record(&claimed, next).await, Ok(Recorded::GoOn));
    let claimed = redrive::engine::store::Claimed { state: "VALIDATING".into(), ..claimed };
    assert_eq!(store.record(&claimed, StepOutcome::Completed { done: done() }).await, Ok(Recorded::Released));
    store.roll_back(&bad, None).await.expect("it is rolled back");
    refuse(&store, "UPDATE OF epoch", "redrive_work", &format!("NEW.subject_id = '{bad}'")).await;
    for _ in 1..ATTEMPTS {
        claims(&store, &bad).await;
        assert_eq!(store.page(&bad).await.row.phase, Some(Phase::RollingBack));
        store.time.advance(SLOWLY);
    }
    claims(&store, &bad).await;
    let page = store.page(&bad).await;
    let error = page.row.error.map(|error| error.to_string()).unwrap_or_default();
    assert_eq!(page.row.phase, Some(Phase::Stuck));
    assert!(error.starts_with(&format!("stuck: {bad} cannot be taken as it stands")), "{error}");
    allow(&store, "redrive_work").await;
    store.roll_back(&bad, None).await.expect("it is tried again");
    assert_eq!(store.claim_one().await.lease.onboarding, bad);
}

async fn a_row_that_takes_no_word_is_told_of_among_its_attempts_and_put_aside(store: TestStore) {
    let bad = refused(&store, "UPDATE", "onboarding_history", "NEW.id = '{bad}'").await;
    assert!(claims(&store, &bad).await.is_empty(), "it is not due");
    let page = store.page(&bad).await;
    let told = page.attempts.last().and_then(|a| a.error.clone()).expect("it says why");
    assert!(told.contains("not this one"), "{told}");
    allow(&store, "onboarding_history").await;
    store.time.advance(SLOWLY);
    let claimed = store.claim("worker-a", 100).await;
    assert!(claimed.iter().any(|claimed| claimed.lease.onboarding == bad), "it goes on once it can");
}

async fn a_row_of_which_nothing_can_be_told_is_put_aside(store: TestStore) {
    let bad = refused(&store, "INSERT", "redrive_attempts", "NEW.onboarding_id = '{bad}'").await;
    assert!(claims(&store, &bad).await.is_empty(), "it is not due");
    allow(&store, "redrive_attempts").await;
    store.time.advance(SLOWLY);
    let claimed = store.claim("worker-a", 100).await;
    assert!(claimed.iter().any(|claimed| claimed.lease.onboarding == bad), "it goes on once it can");
}
