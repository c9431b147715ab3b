//! Releasing keys: at once where the holder shows no sign of life, else with a reason; fenced, audited, once.

use std::time::Duration;

use redrive::{
    domain::{
        id::KeyId,
        key::{KeyLife, KeyPhase, KeyRun},
    },
    engine::{
        command::{Command, LeftOut, LifeSign, Reasoned, Receipt, Refusal, Submission, Target},
        key::{Answer, Hold, KeyBegun, KeyEnd, KeyIntent},
        plan,
        reader::{Detail, KeyPage, Page, Query},
        store::Heartbeat,
    },
};

use crate::support::stores::{LEASE, TestStore, anything, noon, submission};

laws!(
    a_stale_key_is_released_and_the_next_request_runs,
    a_live_one_takes_a_reason_and_its_holder_is_fenced,
    a_holder_that_beats_is_not_robbed_without_a_reason,
    what_others_hold_without_a_lease_takes_a_reason,
    what_nobody_holds_is_left_out_with_the_word_for_it,
    a_key_that_changed_since_it_was_seen_is_left_alone,
    the_second_operator_is_told_who_was_first,
    the_same_release_twice_applies_once,
    a_release_is_audited_with_its_reason,
    without_an_audit_nothing_is_released,
    a_preview_judges_a_release_as_the_action_does,
    an_onboardings_key_comes_back_with_its_next_attempt,
    an_onboardings_key_that_a_caller_took_is_the_callers,
    of_a_release_and_an_end_at_the_same_moment_one_wins,
);

const RETENTION: Duration = Duration::from_secs(3_600);

fn key(name: &str) -> KeyIntent {
    KeyIntent::new("payments.charge", name, "ab".repeat(32)).expect("a key")
}

fn hold(owner: &str) -> Hold {
    Hold::new(owner, LEASE, RETENTION)
}

async fn begin(store: &TestStore, name: &str, hold: &Hold) -> KeyBegun {
    store.opened.store.begin(&key(name), hold).await.expect("it answers")
}

async fn end(store: &TestStore, name: &str, hold: &Hold, end: &KeyEnd) -> bool {
    store.opened.store.end(&key(name).key, hold, end).await.expect("it answers")
}

fn release(keys: &[&str], reason: Option<&str>) -> Submission {
    let keys = keys.iter().map(|name| Target { id: key(name).key, seen: None }).collect();
    Submission { reason: reason.map(str::to_owned), ..submission(Command::Release { keys }) }
}

async fn act(store: &TestStore, submission: &Submission) -> Result<Receipt, Refusal> {
    store.opened.store.act(submission).await
}

#[track_caller]
fn left_out(answer: Result<Receipt, Refusal>) -> LeftOut {
    match answer {
        Err(Refusal::Nothing(mut outcomes)) => {
            outcomes.pop().and_then(|outcome| outcome.left_out).expect("a reason")
        }
        other => panic!("it is left out, not {other:?}"),
    }
}

async fn page(store: &TestStore, id: &KeyId) -> KeyPage {
    let query = Query { detail: Some(Detail::Key(id.clone())), ..Query::default() };
    match store.board(query).await.page {
        Some(Page::Key(page)) => *page,
        other => panic!("{id} has a page, not {other:?}"),
    }
}

async fn beat(store: &TestStore, worker: &str) {
    let beat = Heartbeat {
        worker: worker.into(),
        running: 0,
        runs: anything().newest(),
        metrics_url: None,
        circuits: Vec::new(),
    };
    store.opened.store.beat(&beat).await.expect("it beats");
}

async fn a_stale_key_is_released_and_the_next_request_runs(store: TestStore) {
    let zombie = hold("worker-a");
    begin(&store, "k", &zombie).await;
    store.time.advance(LEASE);
    let receipt = act(&store, &release(&["k"], None)).await.expect("nobody shows a sign of life");
    assert_eq!((receipt.applied(), receipt.kind.as_str()), (1, "release"));
    let row = page(&store, &key("k").key).await.row;
    assert_eq!((row.phase, row.life), (Some(KeyPhase::Freed), KeyLife::Freed));
    assert_eq!((row.locked_at, row.locked_by, row.lease_until), (None, None, None));
    assert!(!end(&store, "k", &zombie, &KeyEnd::Completed(Answer::new(200, "late"))).await);
    assert_eq!(begin(&store, "k", &hold("worker-b")).await, KeyBegun::Run(KeyRun::Again));
}

async fn a_live_one_takes_a_reason_and_its_holder_is_fenced(store: TestStore) {
    let holder = hold("worker-a");
    begin(&store, "k", &holder).await;
    for nothing in [None, Some(""), Some(" \t ")] {
        let why = left_out(act(&store, &release(&["k"], nothing)).await);
        let until = noon() + LEASE;
        let expected =
            LeftOut::NeedsReason { holder: Some("worker-a".into()), sign: LifeSign::Lease { until } };
        assert_eq!(why, expected);
        assert_eq!(
            why.to_string(),
            "worker-a holds it, with a lease until 12:00:30 UTC: give a reason to release it all the same"
        );
    }
    act(&store, &release(&["k"], Some("its host is on fire"))).await.expect("with a reason it is released");
    assert!(!store.opened.store.keep(&key("k").key, &holder).await.expect("it answers"));
    for late in [KeyEnd::Completed(Answer::new(200, "late")), KeyEnd::Freed, KeyEnd::FailedStorage] {
        assert!(!end(&store, "k", &holder, &late).await, "the old holder is fenced");
    }
    let next = hold("worker-b");
    assert_eq!(begin(&store, "k", &next).await, KeyBegun::Run(KeyRun::Again));
    assert!(!end(&store, "k", &holder, &KeyEnd::Freed).await, "and stays so");
    assert!(end(&store, "k", &next, &KeyEnd::Completed(Answer::new(201, "done"))).await);
}

async fn a_holder_that_beats_is_not_robbed_without_a_reason(store: TestStore) {
    begin(&store, "k", &hold("worker-a")).await;
    store.time.advance(LEASE);
    beat(&store, "worker-b").await;
    beat(&store, "worker-a").await;
    assert!(page(&store, &key("k").key).await.row.holder_alive);
    let why = left_out(act(&store, &release(&["k"], None)).await);
    let expected = LeftOut::NeedsReason { holder: Some("worker-a".into()), sign: LifeSign::Heartbeat };
    assert_eq!(why, expected);
    store.time.advance(Duration::from_secs(16));
    beat(&store, "worker-b").await;
    assert!(!page(&store, &key("k").key).await.row.holder_alive);
    act(&store, &release(&["k"], None)).await.expect("its heart stands still, another's does not count");
}

async fn what_others_hold_without_a_lease_takes_a_reason(store: TestStore) {
    let theirs = |name: &str, status: &str, rest: &str| {
        format!(
            "INSERT INTO idempotency_keys (key, request_hash, status, created_at, locked_at, locked_by) \
             VALUES ('payments.charge/{name}', '{}', '{status}', '2026-03-01 12:00:00+00:00', {rest});",
            "ab".repeat(32)
        )
    };
    let locked = "'2026-02-28 05:00:00+00:00', 'python-1'";
    store.sql(&theirs("locked", "STARTED", locked)).await;
    store.sql(&theirs("unlocked", "STARTED", "NULL, NULL")).await;
    store.sql(&theirs("word", "ARCHIVED", locked)).await;
    for (name, holder) in [("locked", Some("python-1")), ("unlocked", None), ("word", Some("python-1"))] {
        let why = left_out(act(&store, &release(&[name], None)).await);
        let holder = holder.map(Into::into);
        assert_eq!(why, LeftOut::NeedsReason { holder, sign: LifeSign::NoLease }, "{name}");
        assert!(matches!(begin(&store, name, &hold("worker-b")).await, KeyBegun::InFlight { .. }));
        act(&store, &release(&[name], Some("python-1 was switched off"))).await.expect("it is released");
        let row = page(&store, &key(name).key).await.row;
        assert_eq!((row.phase, row.status.as_str()), (Some(KeyPhase::Freed), "FAILED"));
        assert!(row.expires_at.is_some(), "what is ours now is forgotten some day");
        assert_eq!(begin(&store, name, &hold("worker-b")).await, KeyBegun::Run(KeyRun::Again), "{name}");
    }
}

async fn what_nobody_holds_is_left_out_with_the_word_for_it(store: TestStore) {
    let ends = [
        ("completed", KeyEnd::Completed(Answer::new(200, "ok")), KeyLife::Completed),
        ("failed", KeyEnd::Failed(Answer::new(422, "no")), KeyLife::Failed),
        ("freed", KeyEnd::Freed, KeyLife::Freed),
        ("failed storage", KeyEnd::FailedStorage, KeyLife::FailedStorage),
    ];
    let before = async |store: &TestStore| store.everything().await;
    for (name, how, life) in ends {
        let holder = hold("worker-a");
        begin(&store, name, &holder).await;
        assert!(end(&store, name, &holder, &how).await);
        let untouched = before(&store).await;
        let why = left_out(act(&store, &release(&[name], Some("I want it"))).await);
        assert_eq!(why, LeftOut::NotHeld { life, last: None }, "{name}");
        assert_eq!(before(&store).await, untouched, "{name}");
    }
    let words = |name| async move { left_out(act(name, &release(&["completed"], None)).await).to_string() };
    assert_eq!(words(&store).await, "not held: completed, its stored response is replayed");
    assert_eq!(left_out(act(&store, &release(&["nobody's"], None)).await), LeftOut::NotFound);
    begin(&store, "forgotten", &hold("worker-a")).await;
    store.time.advance(RETENTION);
    let why = left_out(act(&store, &release(&["forgotten"], None)).await);
    assert_eq!(why, LeftOut::NotHeld { life: KeyLife::Fresh, last: None });
}

async fn a_key_that_changed_since_it_was_seen_is_left_alone(store: TestStore) {
    begin(&store, "k", &hold("worker-a")).await;
    store.time.advance(LEASE);
    let seen = page(&store, &key("k").key).await.row.version;
    let another = hold("worker-b");
    assert_eq!(begin(&store, "k", &another).await, KeyBegun::Run(KeyRun::TakenOver));
    let keys = vec![Target { id: key("k").key, seen: Some(seen) }];
    let stale = submission(Command::Release { keys });
    assert_eq!(left_out(act(&store, &stale).await), LeftOut::Changed { last: None });
    assert!(end(&store, "k", &another, &KeyEnd::Freed).await, "its new holder goes on");
}

async fn the_second_operator_is_told_who_was_first(store: TestStore) {
    begin(&store, "k", &hold("worker-a")).await;
    store.time.advance(LEASE);
    let seen = Some(page(&store, &key("k").key).await.row.version);
    let release = || submission(Command::Release { keys: vec![Target { id: key("k").key, seen }] });
    act(&store, &release()).await.expect("ana is first");
    match left_out(act(&store, &release()).await) {
        LeftOut::NotHeld { life: KeyLife::Freed, last: Some(last) } => {
            assert_eq!((last.operator.as_str(), last.kind.as_str()), ("ana", "release"));
        }
        other => panic!("it was released, not {other:?}"),
    }
    let row = page(&store, &key("k").key).await.row;
    assert_eq!(row.last_action.map(|last| last.operator).as_deref(), Some("ana"));
}

async fn the_same_release_twice_applies_once(store: TestStore) {
    begin(&store, "k", &hold("worker-a")).await;
    let submission = release(&["k"], Some("why not"));
    let first = act(&store, &submission).await.expect("it acts");
    begin(&store, "k", &hold("worker-b")).await;
    let before = store.everything().await;
    let second = act(&store, &submission).await.expect("it answers");
    assert!(!first.repeated && second.repeated);
    assert_eq!(store.everything().await, before, "the new holder is left alone");
}

async fn a_release_is_audited_with_its_reason(store: TestStore) {
    begin(&store, "live", &hold("worker-a")).await;
    let keys = release(&["live", "nobody's"], Some("the outage is over"));
    act(&store, &keys).await.expect("one of them is released");
    let page = page(&store, &key("live").key).await;
    let [audit] = page.audit.as_slice() else { panic!("one action, not {:?}", page.audit) };
    assert_eq!((audit.kind.as_str(), audit.applied, audit.left_out), ("release", 1, 1));
    assert_eq!(audit.reason.as_ref().map(|reason| reason.as_str()), Some("the outage is over"));
    let kinds = "SELECT target_kind || ' ' || target_id || ' ' || coalesce(left_out, '-') FROM redrive_operator_action_targets ORDER BY 1";
    assert_eq!(
        store.column(kinds).await,
        ["key payments.charge/live -", "key payments.charge/nobody's not found"]
    );
}

async fn without_an_audit_nothing_is_released(store: TestStore) {
    begin(&store, "k", &hold("worker-a")).await;
    store.time.advance(LEASE);
    store.sql("ALTER TABLE redrive_operator_action_targets RENAME TO elsewhere").await;
    assert!(matches!(act(&store, &release(&["k"], None)).await, Err(Refusal::Store(_))));
    store.sql("ALTER TABLE elsewhere RENAME TO redrive_operator_action_targets").await;
    assert_eq!(page(&store, &key("k").key).await.row.life, KeyLife::LeaseOver);
    assert_eq!(store.cell("SELECT count(*) FROM redrive_operator_actions").await, "0");
}

async fn a_preview_judges_a_release_as_the_action_does(store: TestStore) {
    begin(&store, "stale", &hold("worker-a")).await;
    store.time.advance(LEASE);
    begin(&store, "live", &hold("worker-a")).await;
    let done = hold("worker-a");
    begin(&store, "done", &done).await;
    end(&store, "done", &done, &KeyEnd::Completed(Answer::new(200, "ok"))).await;
    let submission = release(&["stale", "live", "done", "nobody's"], None);
    let standing = store.opened.reader.standing(&submission.command).await.expect("it looks");
    let plan = plan::draw(&submission.command, &standing);
    assert_eq!((plan.will_run(), plan.needs_reason()), (1, 1));
    assert_eq!(plan.clone().reasoned(Reasoned::Yes).will_run(), 2);
    let receipt = act(&store, &submission).await.expect("one of them is released");
    let planned: Vec<_> = plan.lines.iter().map(|l| (l.id.clone(), l.left_out.clone())).collect();
    let done: Vec<_> = receipt.outcomes.iter().map(|o| (o.id.clone(), o.left_out.clone())).collect();
    assert_eq!(planned, done);
}

async fn an_onboardings_key_comes_back_with_its_next_attempt(store: TestStore) {
    let id = store.trigger("ledger").await;
    let claimed = store.claim_one().await;
    let opening = redrive::engine::store::Opening { keys: vec![key("hook")], ..Default::default() };
    let opened = store.opened.store.open(&claimed.lease, &claimed.state, &opening).await;
    assert_eq!(opened.expect("it answers"), Ok(()));
    store.time.advance(LEASE);
    act(&store, &release(&["hook"], None)).await.expect("its worker is gone");
    assert_eq!(store.page(&id).await.audit.iter().filter(|row| row.kind.as_str() == "release").count(), 1);
    assert_eq!(page(&store, &key("hook").key).await.row.life, KeyLife::Freed);
    store.claim_one().await;
    let row = page(&store, &key("hook").key).await.row;
    assert_eq!((row.life, row.attempts), (KeyLife::InFlight, 2));
}

async fn an_onboardings_key_that_a_caller_took_is_the_callers(store: TestStore) {
    let id = store.trigger("ledger").await;
    let claimed = store.claim_one().await;
    let opening = redrive::engine::store::Opening { keys: vec![key("hook")], ..Default::default() };
    let opened = store.opened.store.open(&claimed.lease, &claimed.state, &opening).await;
    assert_eq!(opened.expect("it answers"), Ok(()));
    store.time.advance(LEASE);
    let caller = hold("caller");
    assert_eq!(begin(&store, "hook", &caller).await, KeyBegun::Run(KeyRun::TakenOver));
    let again = store.claim_one().await;
    let opened = store.opened.store.open(&again.lease, &again.state, &opening).await;
    assert_eq!(opened.expect("it answers"), Ok(()));
    let wait = begin(&store, "hook", &hold("another")).await;
    assert_eq!(wait, KeyBegun::InFlight { retry_after: Some(LEASE) }, "the caller's lease stands");
    assert_eq!(
        page(&store, &key("hook").key).await.row.locked_by.map(|by| by.to_string()),
        Some("caller".to_owned())
    );
    store.fail(&again, redrive::domain::fault::Fault::transient("503").of("payments.charge")).await;
    let done = Answer::new(200, "done");
    assert!(end(&store, "hook", &caller, &KeyEnd::Completed(done.clone())).await, "{id} has no part in it");
    assert_eq!(begin(&store, "hook", &hold("another")).await, KeyBegun::Replay(done));
}

async fn of_a_release_and_an_end_at_the_same_moment_one_wins(store: TestStore) {
    for round in 0..20 {
        let (name, ours) = (format!("k{round}"), hold("caller"));
        begin(&store, &name, &ours).await;
        let submission = release(&[&name], Some("it hangs"));
        let done = KeyEnd::Completed(Answer::new(200, "done"));
        let (released, ended) = tokio::join!(act(&store, &submission), end(&store, &name, &ours, &done));
        assert_ne!(released.is_ok(), ended, "round {round}");
        let life = if ended { KeyLife::Completed } else { KeyLife::Freed };
        assert_eq!(page(&store, &key(&name).key).await.row.life, life, "round {round}");
    }
}
