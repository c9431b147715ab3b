//! The stories, each on both databases.

use std::time::Duration;

use redrive::{
    config,
    domain::{
        attempt::{AttemptOutcome, CompensationStatus},
        circuit::Forced,
        fault::Fault,
        id::LetterId,
        letter::{LetterOutcome, LetterReason, LetterStatus, ReplayOutcome},
        onboarding::{Phase, Status},
    },
    engine::{
        command::{Command, LeftOut, Pace, Refusal, Target},
        injection::Injections,
        policies::OperationPolicy,
        reader::{Detail, LetterPage, Page, Query},
        workflow::{OnExhaustion, StepPolicy},
    },
    resilience::backoff::{Backoff, Jitter},
    store::{self, OpenOptions},
};

use super::{
    noop::{self, Noop},
    script::{PATIENCE, Script, Turn, World},
};
use crate::support::{stores::column, wait::eventually};

fn transient() -> Turn {
    Turn::Fail(Fault::transient("503 from api.github"))
}

pub(super) async fn letter(world: &World, id: &LetterId) -> LetterPage {
    let query = Query { detail: Some(Detail::Letter(id.clone())), ..Query::default() };
    match world.engine.reader().read(&query).await.unwrap().page {
        Some(Page::Letter(page)) => *page,
        other => panic!("no page of {id}: {other:?}"),
    }
}

async fn an_onboarding_runs_its_states_in_order_and_completes(url: &str) {
    let world = World::open(url, Script::new()).await;
    let id = world.trigger().await;
    let _hand = world.hire("one");
    let page = world.until(&id, Phase::Completed).await;
    assert_eq!(world.script.log(), ["RECEIVED", "REGISTERING", "CONFIGURING_SYNC", "NOTIFYING"]);
    assert_eq!(page.row.status, Status::Completed);
    assert!(page.attempts.iter().all(|a| a.outcome == Some(AttemptOutcome::Succeeded)));
    assert_eq!(page.attempts.len(), 4, "one attempt a state");
    assert_eq!(page.context["NOTIFYING"], "‹true or false›", "a page shows its shape");
    assert_eq!(world.context(&id).await["NOTIFYING"], true);
}

async fn a_transient_fault_is_retried_and_every_attempt_is_kept(url: &str) {
    let world = World::open(url, Script::new().then("REGISTERING", [transient(), transient()])).await;
    let id = world.trigger().await;
    let _hand = world.hire("one");
    let page = world.until(&id, Phase::Completed).await;
    let tried: Vec<_> = page
        .attempts
        .iter()
        .filter(|a| a.state.as_str() == "REGISTERING")
        .map(|a| (a.attempt, a.outcome.unwrap(), a.error.clone(), a.delay_seconds.is_some()))
        .collect();
    let error = Some("503 from api.github".to_owned());
    assert_eq!(
        tried,
        [
            (1, AttemptOutcome::Failed, error.clone(), true),
            (2, AttemptOutcome::Failed, error, true),
            (3, AttemptOutcome::Succeeded, None, false),
        ]
    );
}

async fn used_up_attempts_end_in_a_letter_that_tells_the_whole_story(url: &str) {
    let world = World::open(url, Script::new().then("CONFIGURING_SYNC", vec![transient(); 3])).await;
    let id = world.trigger().await;
    let _hand = world.hire("one");
    let page = world.until(&id, Phase::Failed).await;
    assert_eq!(page.row.current_state.as_ref().map(|s| s.as_str()), Some("CONFIGURING_SYNC"));
    let told = letter(&world, &page.row.letter.expect("it has a letter")).await;
    assert_eq!(told.row.status, LetterStatus::Open);
    assert_eq!(told.row.reason, LetterReason::Exhausted);
    assert_eq!(told.request["tenantId"], "acme");
    let failures = told.history.iter().filter(|a| a.error.is_some()).count();
    assert_eq!(failures, 3, "the letter keeps every error");
}

async fn a_permanent_fault_is_not_retried(url: &str) {
    let script = Script::new().then("REGISTERING", [Turn::Fail(Fault::permanent("422 no"))]);
    let world = World::open(url, script).await;
    let id = world.trigger().await;
    let _hand = world.hire("one");
    let page = world.until(&id, Phase::Failed).await;
    assert_eq!(world.script.log(), ["RECEIVED", "REGISTERING"]);
    let told = letter(&world, &page.row.letter.unwrap()).await;
    assert_eq!(told.row.reason, LetterReason::Permanent);
}

async fn a_panic_in_a_step_is_a_failed_attempt_and_the_worker_lives_on(url: &str) {
    let world = World::open(url, Script::new().then("REGISTERING", [Turn::Panic])).await;
    let id = world.trigger().await;
    let _hand = world.hire("one");
    let page = world.until(&id, Phase::Completed).await;
    let panicked = page.attempts.iter().find_map(|a| a.error.clone()).unwrap();
    assert_eq!(panicked, "the step panicked: the story panics");
}

async fn what_notifying_could_not_say_is_noted_and_the_onboarding_completes(url: &str) {
    let world = World::open(url, Script::new().then("NOTIFYING", vec![transient(); 2])).await;
    let id = world.trigger().await;
    let _hand = world.hire("one");
    let page = world.until(&id, Phase::Completed).await;
    assert_eq!(page.row.status, Status::Completed);
    assert!(page.row.letter.is_none());
}

async fn a_resume_goes_on_from_the_checkpoint_with_fresh_attempts(url: &str) {
    let world = World::open(url, Script::new().then("CONFIGURING_SYNC", vec![transient(); 4])).await;
    let id = world.trigger().await;
    let _hand = world.hire("one");
    let failed = world.until(&id, Phase::Failed).await;
    world.resume(&id).await.unwrap();
    let page = world.until(&id, Phase::Completed).await;
    let log = world.script.log();
    assert_eq!(log.iter().filter(|s| *s == "REGISTERING").count(), 1, "what was done is not done again");
    assert_eq!(log.iter().filter(|s| *s == "CONFIGURING_SYNC").count(), 5);
    assert!(page.attempts.len() > failed.attempts.len(), "the history is kept");
    let told = letter(&world, &failed.row.letter.unwrap()).await;
    assert_eq!((told.row.status, told.row.outcome), (LetterStatus::Closed, Some(LetterOutcome::Resumed)));
}

async fn a_roll_back_undoes_last_in_first_out(url: &str) {
    let world = World::open(url, Script::new().then("NOTIFYING", [Turn::Hold])).await;
    let id = world.trigger().await;
    let hand = world.hire("one");
    world.until_run("NOTIFYING", 1).await;
    world.script.go_on();
    world.until(&id, Phase::Completed).await;
    world.roll_back(&id).await.unwrap();
    let page = world.until(&id, Phase::RolledBack).await;
    let undone: Vec<_> = world.script.log().into_iter().filter(|s| s.starts_with("undo")).collect();
    assert_eq!(undone, ["undo hook", "undo notification", "undo entities"]);
    assert_eq!(page.row.status, Status::FailedCleanedUp);
    assert!(page.compensations.iter().all(|c| c.status == CompensationStatus::Undone));
    hand.stop().await;
}

async fn leased_work_obeys_a_roll_back_at_its_next_boundary(url: &str) {
    let world = World::open(url, Script::new().then("CONFIGURING_SYNC", [Turn::Hold])).await;
    let id = world.trigger().await;
    let _hand = world.hire("one");
    world.until_run("CONFIGURING_SYNC", 1).await;
    world.roll_back(&id).await.unwrap();
    assert!(!world.script.log().iter().any(|s| s.starts_with("undo")), "no rug is pulled");
    world.script.go_on();
    world.until(&id, Phase::RolledBack).await;
    let log = world.script.log();
    assert!(!log.contains(&"NOTIFYING".to_owned()), "it does not go forward any more");
    assert!(log.contains(&"undo hook".to_owned()), "what the step did meanwhile is undone too");
}

async fn a_compensation_that_fails_for_good_does_not_stop_the_others_and_can_be_tried_again(url: &str) {
    let script = Script::new()
        .then("CONFIGURING_SYNC", [Turn::Fail(Fault::permanent("422 no"))])
        .then("undo notification", [Turn::Fail(Fault::permanent("401 token revoked"))]);
    let world = World::open(url, script).await;
    let id = world.trigger().await;
    let _hand = world.hire("one");
    world.until(&id, Phase::Failed).await;
    world.roll_back(&id).await.unwrap();
    let page = world.until(&id, Phase::Stuck).await;
    assert_eq!(page.row.status, Status::Failed);
    let undone: Vec<_> = world.script.log().into_iter().filter(|s| s.starts_with("undo")).collect();
    assert_eq!(undone, ["undo hook", "undo notification", "undo entities"]);
    let forward = world.resume(&id).await.unwrap_err();
    assert!(
        matches!(&forward, Refusal::Nothing(o) if o[0].left_out == Some(LeftOut::RollingBack)),
        "never forward again: {forward:?}"
    );
    world.roll_back(&id).await.unwrap();
    world.until(&id, Phase::RolledBack).await;
    let again: Vec<_> = world.script.log().into_iter().filter(|s| s.starts_with("undo")).skip(3).collect();
    assert_eq!(again, ["undo notification"], "only what was left is undone");
}

async fn an_open_circuit_parks_instead_of_spending_attempts(url: &str) {
    let script = Script::new().then("REGISTERING", vec![transient(); 2]);
    let world = World::open(url, script).await.with_touchy_circuits(Duration::from_millis(1_500));
    let id = world.trigger().await;
    let _hand = world.hire("one");
    let page = world.until(&id, Phase::Parked).await;
    assert_eq!(page.row.parked_by.as_ref().map(|p| p.as_str()), Some("story.registering"));
    assert_eq!(page.attempts.last().unwrap().outcome, Some(AttemptOutcome::Parked));
    let page = world.until(&id, Phase::Completed).await;
    let spent = page.attempts.iter().filter(|a| a.state.as_str() == "REGISTERING");
    let spent = spent.filter(|a| a.outcome != Some(AttemptOutcome::Parked)).map(|a| a.attempt);
    assert_eq!(spent.collect::<Vec<_>>(), [1, 2, 3], "the parked one gave its number back");
}

async fn a_killed_workers_onboarding_is_finished_by_another_after_the_lease(url: &str) {
    let world = World::open(url, Script::new().then("CONFIGURING_SYNC", [Turn::Hold])).await;
    let id = world.trigger().await;
    let victim = world.hire("victim");
    world.until_run("CONFIGURING_SYNC", 1).await;
    let heir = world.hire("heir");
    assert_eq!(world.page(&id).await.row.owner.as_ref().map(|o| o.as_str()), Some("victim"));
    victim.kill();
    let page = world.until(&id, Phase::Completed).await;
    let lost =
        page.attempts.iter().find(|a| a.outcome == Some(AttemptOutcome::Lost)).expect("a lost attempt");
    assert_eq!(lost.worker.as_str(), "victim");
    assert_eq!(world.script.log().iter().filter(|s| *s == "REGISTERING").count(), 1);
    drop(heir);
}

async fn a_stopping_worker_finishes_its_step_and_hands_the_rest_back(url: &str) {
    let world = World::open(url, Script::new().then("REGISTERING", [Turn::Hold])).await;
    let id = world.trigger().await;
    let first = world.hire("first");
    world.until_run("REGISTERING", 1).await;
    world.script.go_on();
    first.stop().await;
    let page = world.page(&id).await;
    assert!(page.attempts.iter().all(|a| a.outcome != Some(AttemptOutcome::Lost)));
    let _second = world.hire("second");
    let page = world.until(&id, Phase::Completed).await;
    assert!(page.attempts.iter().all(|a| a.outcome != Some(AttemptOutcome::Lost)), "nothing was lost");
}

async fn a_replay_closes_its_letter_and_a_second_failure_writes_a_new_one(url: &str) {
    // Three attempts, a replay that fails three times again, and one that goes through.
    let world = World::open(url, Script::new().then("REGISTERING", vec![transient(); 6])).await;
    let id = world.trigger().await;
    let _hand = world.hire("one");
    let first = world.until(&id, Phase::Failed).await.row.letter.unwrap();
    let replay = |letter: &LetterId| Command::Replay {
        letters: vec![Target { id: letter.clone(), seen: None }],
        pace: Pace { per_second: 100.0, ..Pace::default() },
    };
    world.submit("ana", replay(&first)).await.unwrap();
    let second =
        super::super::support::wait::eventually("a second letter", super::script::PATIENCE, async || {
            world.page(&id).await.row.letter.filter(|letter| *letter != first)
        })
        .await;
    let told = letter(&world, &first).await;
    assert_eq!((told.row.status, told.row.outcome), (LetterStatus::Closed, Some(LetterOutcome::FailedAgain)));
    assert_eq!(told.replays[0].outcome, ReplayOutcome::FailedAgain);
    assert_eq!(told.replays[0].became.as_ref(), Some(&second));
    world.submit("ben", replay(&second)).await.unwrap();
    world.until(&id, Phase::Completed).await;
    let told = letter(&world, &second).await;
    assert_eq!((told.row.status, told.row.outcome), (LetterStatus::Closed, Some(LetterOutcome::Succeeded)));
    let late = world.submit("eva", replay(&second)).await.unwrap_err().to_string();
    assert!(late.contains("already closed") && late.contains("by ben at"), "{late}");
}

async fn a_read_only_engine_refuses_every_command(url: &str) {
    let world = World::open(url, Script::new()).await;
    let id = world.trigger().await;
    let engine = world.engine.clone().read_only();
    let submission = redrive::engine::command::Submission {
        action: "a".into(),
        asker: redrive::engine::command::Asker::Operator("ana".to_owned()),
        reason: None,
        command: Command::RollBack {
            onboarding: Target { id: id.clone(), seen: None },
            elsewhere: redrive::engine::command::Elsewhere::Leave,
        },
    };
    assert_eq!(engine.submit(&submission).await, Err(Refusal::ReadOnly));
    assert_eq!(world.page(&id).await.row.phase, Some(Phase::Queued));
}

const REGISTERING: &str = "story.registering";

fn target(operation: &str) -> Target<redrive::domain::id::OperationName> {
    Target { id: operation.into(), seen: None }
}

/// Waits until a worker has told of its circuit for `operation`.
async fn reported(world: &World, operation: &str) {
    eventually("the circuit is reported", PATIENCE, async || {
        let board = world.engine.reader().read(&Query::default()).await.unwrap();
        board.circuits.iter().any(|row| row.operation.as_str() == operation).then_some(())
    })
    .await;
}

async fn a_circuit_forced_open_is_obeyed_by_every_worker_and_let_go_again(url: &str) {
    let world = World::open(url, Script::new()).await;
    let first = world.trigger_of("first").await;
    let (_one, _two) = (world.hire("one"), world.hire("two"));
    world.until(&first, Phase::Completed).await;
    reported(&world, REGISTERING).await;
    let force = |to| Command::Force { circuit: target(REGISTERING), to, seconds: to.map(|_| 600) };
    world.submit("ana", force(Some(Forced::Open))).await.expect("it is forced");
    let forced = redrive::clock::instant();
    eventually("a second has passed", PATIENCE, async || {
        (redrive::clock::instant() - forced >= Duration::from_secs(1)).then_some(())
    })
    .await;
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(world.trigger_of(&format!("held-{n}")).await);
    }
    for id in &ids {
        let page = world.until(id, Phase::Parked).await;
        let last = page.attempts.last().expect("an attempt");
        assert_eq!((last.outcome, last.attempt), (Some(AttemptOutcome::Parked), 1));
        let why = "circuit story.registering is forced open by ana: the story says so";
        assert_eq!(last.reason.as_deref(), Some(why));
        assert!(page.row.run_at.is_some_and(|due| due > page.row.created_at + Duration::from_secs(500)));
    }
    assert_eq!(world.script.log().iter().filter(|ran| *ran == "REGISTERING").count(), 1, "nobody called");
    world.submit("ana", force(None)).await.expect("it is taken back");
    for id in &ids {
        let page = world.until(id, Phase::Completed).await;
        let tried = page.attempts.iter().filter(|a| a.state.as_str() == "REGISTERING");
        assert!(tried.map(|a| a.attempt).all(|attempt| attempt == 1), "no attempt was spent");
    }
}

async fn a_paused_workflow_stands_still_until_it_is_let_go(url: &str) {
    let world = World::open(url, Script::new()).await;
    let _hand = world.hire("one");
    let pause = Command::Pause { operation: target("onboarding"), seconds: None };
    world.submit("ana", pause).await.expect("it is paused");
    let held = world.trigger_of("held").await;
    let undone = world.trigger_of("undone").await;
    world.roll_back(&undone).await.expect("it rolls back");
    world.until(&undone, Phase::RolledBack).await;
    assert_eq!(world.page(&held).await.row.phase, Some(Phase::Queued));
    assert_eq!(world.script.log(), Vec::<String>::new(), "nothing went forward meanwhile");
    let unpause = Command::Unpause { operation: target("onboarding") };
    world.submit("ana", unpause).await.expect("it goes on");
    world.until(&held, Phase::Completed).await;
}

async fn beyond_its_places_an_operation_takes_no_more_and_nobody_pays_for_it(url: &str) {
    let script = Script::new().then("REGISTERING", [Turn::Hold]);
    let world = World::open(url, script).await.with_policies(|policies| {
        let one = OperationPolicy { concurrency: Some(1), ..policies.otherwise.clone() };
        policies.operations.insert(REGISTERING.to_owned(), one);
    });
    let first = world.trigger_of("first").await;
    let _hand = world.hire("one");
    world.until_run("REGISTERING", 1).await;
    let second = world.trigger_of("second").await;
    let page = world.until(&second, Phase::Parked).await;
    let why = "1 call is under way at story.registering, as many as may be";
    assert_eq!(page.attempts.last().and_then(|a| a.reason.as_deref()), Some(why));
    assert_eq!(world.script.log().iter().filter(|ran| *ran == "REGISTERING").count(), 1);
    world.script.go_on();
    world.until(&first, Phase::Completed).await;
    let page = world.until(&second, Phase::Completed).await;
    let spent = page.attempts.iter().filter(|a| a.state.as_str() == "REGISTERING");
    assert!(spent.map(|a| a.attempt).all(|attempt| attempt == 1), "no attempt was spent");
}

async fn a_worker_knows_how_far_it_is_behind(url: &str) {
    let world = World::open(url, Script::new().then("REGISTERING", [Turn::Hold])).await.one_at_a_time();
    let first = world.trigger_of("first").await;
    let hand = world.hire("one");
    world.until_run("REGISTERING", 1).await;
    eventually("nobody waits", PATIENCE, async || hand.backlog.late().is_zero().then_some(())).await;
    let second = world.trigger_of("second").await;
    eventually("the second waits", PATIENCE, async || {
        (hand.backlog.late() > Duration::from_millis(100)).then_some(())
    })
    .await;
    world.script.go_on();
    world.until(&first, Phase::Completed).await;
    world.until(&second, Phase::Completed).await;
    eventually("it has caught up", PATIENCE, async || hand.backlog.late().is_zero().then_some(())).await;
}

async fn a_states_configured_policy_takes_the_place_of_its_workflows(url: &str) {
    let script = Script::new().then("REGISTERING", [transient()]);
    let world = World::open(url, script).await.with_policies(|policies| {
        let once = StepPolicy {
            attempts: 1,
            backoff: Backoff {
                base: Duration::from_secs(1),
                cap: Duration::from_secs(1),
                jitter: Jitter::Full,
            },
            timeout: Duration::from_secs(5),
            on_exhaustion: OnExhaustion::Fail,
        };
        policies.states.insert("REGISTERING".into(), once);
    });
    let id = world.trigger().await;
    let _hand = world.hire("one");
    let page = world.until(&id, Phase::Failed).await;
    assert_eq!(
        page.attempts.last().and_then(|a| a.reason.as_deref()),
        Some("transient: this state has one attempt")
    );
}

/// The clean-up, the counting and the regrouping never come to an end here.
async fn a_slow_chore_holds_up_no_other(url: &str) {
    let slow =
        ["clean_up", "gauges", "regroup"].map(|verb| format!("{verb}.before=delay:1h").parse().unwrap());
    let opened = store::open(url, OpenOptions::default()).await.unwrap();
    let slow = Injections::new(slow.into()).around_store(opened.store);
    let quick = config::Engine { poll: Duration::from_millis(50), ..config::Engine::default() };
    let workflow = Noop::hanging(1, 1);
    let mut crew = noop::hire(&[slow], &quick, &workflow);
    let beat = "SELECT CAST(beat_at AS text) FROM redrive_workers";
    let mut seen = std::collections::BTreeSet::new();
    eventually("several signs of life", PATIENCE, async || {
        seen.extend(column(url, beat).await);
        (seen.len() > 2).then_some(())
    })
    .await;
    crew.shutdown().await;
}

stories! {
    a_slow_chore_holds_up_no_other,
    an_onboarding_runs_its_states_in_order_and_completes,
    a_transient_fault_is_retried_and_every_attempt_is_kept,
    used_up_attempts_end_in_a_letter_that_tells_the_whole_story,
    a_permanent_fault_is_not_retried,
    a_panic_in_a_step_is_a_failed_attempt_and_the_worker_lives_on,
    what_notifying_could_not_say_is_noted_and_the_onboarding_completes,
    a_resume_goes_on_from_the_checkpoint_with_fresh_attempts,
    a_roll_back_undoes_last_in_first_out,
    leased_work_obeys_a_roll_back_at_its_next_boundary,
    a_compensation_that_fails_for_good_does_not_stop_the_others_and_can_be_tried_again,
    an_open_circuit_parks_instead_of_spending_attempts,
    a_killed_workers_onboarding_is_finished_by_another_after_the_lease,
    a_stopping_worker_finishes_its_step_and_hands_the_rest_back,
    a_replay_closes_its_letter_and_a_second_failure_writes_a_new_one,
    a_read_only_engine_refuses_every_command,
    a_circuit_forced_open_is_obeyed_by_every_worker_and_let_go_again,
    a_paused_workflow_stands_still_until_it_is_let_go,
    beyond_its_places_an_operation_takes_no_more_and_nobody_pays_for_it,
    a_worker_knows_how_far_it_is_behind,
    a_states_configured_policy_takes_the_place_of_its_workflows,
}
