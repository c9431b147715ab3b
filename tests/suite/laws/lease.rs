//! Leases: one holder at a time, by the database's clock, fenced by a fresh id at each claim.

use std::{collections::HashSet, time::Duration};

use chrono::TimeDelta;
use redrive::{
    domain::id::{LeaseId, WorkerId},
    engine::store::{Conflict, Lease, Opening, Recorded, StepOutcome},
};
use tokio::task::JoinSet;

use crate::support::stores::{LEASE, TestStore, advanced, anything, done, parked};

laws!(
    eight_claimers_share_no_work,
    leased_work_is_not_claimed_until_its_lease_is_over,
    a_late_holder_is_fenced_and_writes_nothing,
    what_was_done_under_a_lease_that_is_over_counts_while_nobody_took_over,
    a_lost_attempt_is_closed_and_counted,
    renewing_keeps_a_lease_and_tells_what_is_lost,
    others_rows_are_never_claimed,
    a_write_by_others_fences_the_holder,
    what_others_ended_is_not_run_any_more,
    the_same_record_is_taken_once,
    next_due_is_the_earliest_of_all,
    waiting_ends_when_another_connection_brings_work,
);

async fn eight_claimers_share_no_work(store: TestStore) {
    for n in 0..40 {
        store.trigger(&format!("repo-{n}")).await;
    }
    let mut claiming = JoinSet::new();
    for n in 0..8 {
        let handle = store.again().await;
        claiming.spawn(async move {
            let worker = WorkerId::from(format!("worker-{n}"));
            let mut mine = Vec::new();
            loop {
                let claimed = handle.store.claim(&worker, &anything(), 3, LEASE).await.expect("it claims");
                if claimed.is_empty() {
                    return mine;
                }
                mine.extend(claimed.into_iter().map(|c| c.lease));
            }
        });
    }
    let claimed: Vec<Lease> = claiming.join_all().await.into_iter().flatten().collect();
    let distinct: HashSet<_> = claimed.iter().map(|lease| lease.onboarding.clone()).collect();
    assert_eq!(distinct.len(), claimed.len(), "nothing was claimed twice");
    // A claimer may have skipped rows another one had locked and was about to take; none is lost.
    let rest = store.claim("late", 100).await.len();
    assert_eq!(claimed.len() + rest, 40);
}

async fn leased_work_is_not_claimed_until_its_lease_is_over(store: TestStore) {
    store.trigger("ledger").await;
    let first = store.claim_one().await;
    store.time.advance(LEASE - Duration::from_millis(1));
    assert!(store.claim("worker-b", 10).await.is_empty());
    store.time.advance(Duration::from_millis(1));
    let second = store.claim("worker-b", 10).await;
    assert_eq!(second.len(), 1, "a lease that is over is taken over");
    assert_ne!(second[0].lease.id, first.lease.id);
}

async fn a_late_holder_is_fenced_and_writes_nothing(store: TestStore) {
    store.trigger("ledger").await;
    let late = store.claim_one().await;
    store.time.advance(LEASE);
    let holder = store.claim("worker-b", 1).await.pop().expect("it is taken over");
    let before = store.everything().await;
    let outcomes = [
        advanced("VALIDATING", Opening::default()),
        StepOutcome::Completed { done: done() },
        StepOutcome::HandedBack,
        parked("github.tree", LEASE),
    ];
    for outcome in outcomes {
        assert_eq!(store.record(&late, outcome).await, Err(Conflict::Fenced));
    }
    let opened = store.opened.store.open(&late.lease, &late.state, &Opening::default()).await;
    assert_eq!(opened.expect("it answers"), Err(Conflict::Fenced));
    assert_eq!(store.everything().await, before);
    let going_on = store.record(&holder, advanced("VALIDATING", Opening::default())).await;
    assert_eq!(going_on, Ok(Recorded::GoOn));
}

async fn what_was_done_under_a_lease_that_is_over_counts_while_nobody_took_over(store: TestStore) {
    let id = store.trigger("ledger").await;
    let late = store.claim_one().await;
    store.time.advance(2 * LEASE);
    let answer = store.record(&late, advanced("VALIDATING", Opening::default())).await;
    assert_eq!(answer, Ok(Recorded::GoOn), "better than doing it again");
    assert!(store.claim("worker-b", 1).await.is_empty(), "its lease is renewed with it");
    assert_eq!(store.page(&id).await.attempts[0].outcome.map(|o| o.as_str()), Some("succeeded"));
}

async fn a_lost_attempt_is_closed_and_counted(store: TestStore) {
    let id = store.trigger("ledger").await;
    let first = store.claim_one().await;
    assert_eq!((first.attempt, first.lost), (1, 0));
    store.time.advance(LEASE);
    let second = store.claim_one().await;
    assert_eq!((second.attempt, second.lost), (2, 1));
    let attempts = store.page(&id).await.attempts;
    let outcomes: Vec<_> = attempts.iter().map(|a| a.outcome.map(|o| o.as_str())).collect();
    assert_eq!(outcomes, [Some("lost"), None]);
}

async fn renewing_keeps_a_lease_and_tells_what_is_lost(store: TestStore) {
    store.trigger("ledger").await;
    let claimed = store.claim_one().await;
    let gone = Lease { onboarding: claimed.lease.onboarding.clone(), id: LeaseId::from("of-old") };
    store.time.advance(LEASE / 2);
    let lost = store.opened.store.renew(&[claimed.lease.clone(), gone.clone()], LEASE).await;
    assert_eq!(lost.expect("it renews"), [gone]);
    store.time.advance(LEASE / 2 + Duration::from_secs(1));
    assert!(store.claim("worker-b", 1).await.is_empty(), "the lease was renewed");
    store.time.advance(LEASE);
    let renew = async || store.opened.store.renew(std::slice::from_ref(&claimed.lease), LEASE).await;
    assert_eq!(renew().await.expect("it renews"), [], "what is over and nobody took is renewed");
    store.time.advance(LEASE);
    assert_eq!(store.claim("worker-b", 1).await.len(), 1);
    assert_eq!(
        renew().await.expect("it renews"),
        std::slice::from_ref(&claimed.lease),
        "what was taken over is lost"
    );
}

async fn others_rows_are_never_claimed(store: TestStore) {
    store
        .sql(
            "INSERT INTO onboarding_history (id, tenant_id, repo_url, fingerprint, status, created_at) \
             VALUES ('theirs', 'acme', 'r', 'f', 'in_progress', '2020-01-01 00:00:00+00')",
        )
        .await;
    assert!(store.claim("worker-a", 10).await.is_empty());
    assert_eq!(store.cell("SELECT count(*) FROM redrive_work").await, "0");
}

async fn a_write_by_others_fences_the_holder(store: TestStore) {
    for table_write in [
        "UPDATE onboarding_history SET repo_url = 'https://github.com/acme/moved'",
        "UPDATE onboarding_state SET context = '{\"theirs\": 1}'",
    ] {
        let name = if table_write.contains("history") { "one" } else { "two" };
        let id = store.trigger(name).await;
        let claimed = store.claim_one().await;
        let key = if name == "one" { "id" } else { "onboarding_id" };
        store.sql(&format!("{table_write} WHERE {key} = '{id}'")).await;
        let lost = store.opened.store.renew(std::slice::from_ref(&claimed.lease), LEASE).await;
        assert_eq!(lost.expect("it renews").len(), 1);
        let answer = store.record(&claimed, advanced("VALIDATING", Opening::default())).await;
        assert_eq!(answer, Err(Conflict::Fenced), "{table_write}");
        store.time.advance(LEASE);
        let again = store.claim_one().await;
        assert_eq!(
            store.record(&again, StepOutcome::Completed { done: done() }).await,
            Ok(Recorded::Released)
        );
    }
}

async fn what_others_ended_is_not_run_any_more(store: TestStore) {
    let id = store.trigger("ledger").await;
    store.sql(&format!("UPDATE onboarding_history SET status = 'completed' WHERE id = '{id}'")).await;
    assert!(store.claim("worker-a", 10).await.is_empty());
    assert_eq!(store.cell("SELECT count(*) FROM redrive_work").await, "0");
    assert_eq!(store.page(&id).await.row.phase, None, "it is elsewhere now");
}

async fn the_same_record_is_taken_once(store: TestStore) {
    let id = store.trigger("ledger").await;
    let claimed = store.claim_one().await;
    let outcome = advanced("VALIDATING", Opening::default());
    assert_eq!(store.record(&claimed, outcome.clone()).await, Ok(Recorded::GoOn));
    let before = store.everything().await;
    assert_eq!(store.record(&claimed, outcome).await, Err(Conflict::Fenced));
    assert_eq!(store.everything().await, before);
    assert_eq!(store.page(&id).await.attempts.len(), 2);
}

async fn next_due_is_the_earliest_of_all(store: TestStore) {
    let due = || async { store.opened.store.next_due(&anything()).await.expect("it answers") };
    assert_eq!(due().await, None);
    store.trigger("ledger").await;
    assert_eq!(due().await, Some(TimeDelta::zero()));
    store.time.advance(Duration::from_secs(3));
    assert_eq!(due().await, Some(TimeDelta::seconds(-3)), "for so long it has waited");
    let claimed = store.claim_one().await;
    assert_eq!(due().await, TimeDelta::from_std(LEASE).ok(), "then it could be taken over");
    let delay = Duration::from_secs(7);
    let outcome = StepOutcome::Retry {
        fault: redrive::domain::fault::Fault::transient("503"),
        delay,
        reason: "transient".to_owned(),
    };
    store.record(&claimed, outcome).await.expect("it records");
    assert_eq!(due().await, TimeDelta::from_std(delay).ok());
}

async fn waiting_ends_when_another_connection_brings_work(store: TestStore) {
    let other = store.again().await;
    let patience = Duration::from_secs(20);
    // Whatever was left over from opening is heard first.
    for _ in 0..3 {
        other.store.wait(Duration::from_millis(300)).await;
    }
    let waiting = {
        let store = other.store.clone();
        let mut waiting = JoinSet::new();
        waiting.spawn(async move { store.wait(patience * 10).await });
        waiting
    };
    tokio::task::yield_now().await;
    store.trigger("ledger").await;
    let woken = tokio::time::timeout(patience, waiting.join_all()).await;
    assert!(woken.is_ok(), "the wait ended long before its end");
}
