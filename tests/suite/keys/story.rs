//! `Keys::once` where the store does not do its part: what is tried again, what is refused, what is counted.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use redrive::{
    domain::{id::KeyId, key::KeyRun},
    engine::{
        idempotency::{Held, Keys, Operation, Outcome, Source, WhenDown, Worked},
        key::{Answer, Hold, KeyBegun, KeyEnd, KeyIntent, KeyStore},
        store::StoreError,
    },
    metrics::export::Metrics,
};
use tokio::sync::Notify;

/// Answers what it was told to, and notes what it was asked.
#[derive(Default)]
struct Script {
    begins: Mutex<VecDeque<Result<KeyBegun, StoreError>>>,
    keeps: Mutex<VecDeque<Result<bool, StoreError>>>,
    ends: Mutex<VecDeque<Result<bool, StoreError>>>,
    asked: Mutex<Vec<String>>,
    leases: Mutex<Vec<String>>,
    kept: Notify,
}

impl Script {
    fn note(&self, what: impl Into<String>, hold: &Hold) {
        self.asked.lock().unwrap().push(what.into());
        self.leases.lock().unwrap().push(hold.lease.to_string());
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl KeyStore for Script {
    async fn begin(&self, _: &KeyIntent, hold: &Hold) -> Result<KeyBegun, StoreError> {
        self.note("begin", hold);
        self.begins.lock().unwrap().pop_front().unwrap_or(Ok(KeyBegun::Run(KeyRun::New)))
    }
    async fn keep(&self, _: &KeyId, hold: &Hold) -> Result<bool, StoreError> {
        self.note("keep", hold);
        let answer = self.keeps.lock().unwrap().pop_front().unwrap_or(Ok(true));
        self.kept.notify_one();
        answer
    }
    async fn end(&self, _: &KeyId, hold: &Hold, end: &KeyEnd) -> Result<bool, StoreError> {
        self.note(format!("end {}", end.phase()), hold);
        self.ends.lock().unwrap().pop_front().unwrap_or(Ok(true))
    }
    async fn sweep(&self, _: u32) -> Result<u64, StoreError> {
        unreachable!("nobody asked for it")
    }
}

fn busy() -> StoreError {
    StoreError::Busy { doing: "a test", why: "told to".to_owned() }
}

fn down() -> StoreError {
    StoreError::Unreachable { database: "a test's".to_owned(), why: "told to".to_owned() }
}

fn lost() -> StoreError {
    StoreError::UnknownOutcome { doing: "a test" }
}

struct Place {
    script: Arc<Script>,
    metrics: Arc<Metrics>,
    keys: Keys,
    ran: AtomicUsize,
}

impl Place {
    fn new(script: Script) -> Self {
        let (script, metrics) = (Arc::new(script), Arc::new(Metrics::new()));
        let keys = Keys::new(script.clone(), "caller").observed_by(metrics.clone());
        Self { script, metrics, keys, ran: AtomicUsize::new(0) }
    }

    async fn once(&self, operation: &Operation) -> Result<Outcome, Held> {
        let work = || async {
            self.ran.fetch_add(1, Ordering::Relaxed);
            Worked::Completed(Answer::new(201, "done"))
        };
        self.keys.once(operation, "charge-7-of-may", &"a request", work).await
    }

    fn ran(&self) -> usize {
        self.ran.load(Ordering::Relaxed)
    }

    fn says(&self, line: &str) -> bool {
        self.metrics.encode().lines().any(|said| said == line)
    }
}

fn operation() -> Operation {
    Operation::new("payments.charge")
}

#[tokio::test]
async fn an_answer_that_cannot_be_stored_is_tried_five_times_then_marked_and_given_all_the_same() {
    let script = Script { ends: Mutex::new((0..5).map(|_| Err(busy())).collect()), ..Script::default() };
    let place = Place::new(script);
    let done = place.once(&operation()).await.expect("the work was done");
    assert_eq!(done.answer, Answer::new(201, "done"));
    assert_eq!(
        place.script.asked(),
        [&["begin"][..], &["end completed"; 5], &["end failed_storage"]].concat()
    );
    assert!(
        place.says("idempotency_storage_failure_total{key=\"charge-7\"} 1"),
        "{}",
        place.metrics.encode()
    );
}

#[tokio::test]
async fn an_answer_that_is_stored_at_the_second_try_is_no_failure() {
    let script = Script { ends: Mutex::new(VecDeque::from([Err(lost())])), ..Script::default() };
    let place = Place::new(script);
    assert!(place.once(&operation()).await.is_ok());
    assert_eq!(place.script.asked(), ["begin", "end completed", "end completed"]);
    assert!(!place.metrics.encode().contains("idempotency_storage_failure_total{"));
}

#[tokio::test]
async fn a_beginning_whose_answer_was_lost_is_said_again_under_the_same_lease() {
    let script = Script { begins: Mutex::new(VecDeque::from([Err(lost())])), ..Script::default() };
    let place = Place::new(script);
    assert!(place.once(&operation()).await.is_ok());
    assert_eq!(place.script.asked(), ["begin", "begin", "end completed"]);
    let leases = place.script.leases.lock().unwrap();
    assert!(leases.iter().all(|lease| *lease == leases[0]), "{leases:?}");
    assert_eq!(place.ran(), 1);
}

#[tokio::test]
async fn without_a_store_nothing_runs_unless_the_operation_allows_it_and_then_it_is_counted() {
    let place =
        |error| Place::new(Script { begins: Mutex::new(VecDeque::from([Err(error)])), ..Script::default() });
    let counted = |place: &Place, outcome: &str| {
        let labels = format!("operation=\"payments.charge\",outcome=\"{outcome}\"");
        place.says(&format!("redrive_idempotency_requests_total{{{labels}}} 1"))
    };
    let refusing = place(down());
    assert_eq!(refusing.once(&operation()).await, Err(Held::Store(down())));
    assert_eq!(refusing.ran(), 0);
    assert!(counted(&refusing, "error"));

    let open_handed = place(down());
    let done = open_handed.once(&operation().when_down(WhenDown::RunUnprotected)).await.expect("it runs");
    assert_eq!((done.source, open_handed.ran()), (Source::Unprotected, 1));
    assert_eq!(open_handed.script.asked(), ["begin"], "there is nothing to end");
    assert!(counted(&open_handed, "unprotected"));

    let merely_busy = place(busy());
    let held = merely_busy.once(&operation().when_down(WhenDown::RunUnprotected)).await;
    assert_eq!((held, merely_busy.ran()), (Err(Held::Store(busy())), 0), "somebody may hold the key");
}

#[tokio::test]
async fn a_long_handler_keeps_its_lease_and_is_dropped_where_it_waits_when_the_lease_is_lost() {
    let script =
        Script { keeps: Mutex::new(VecDeque::from([Ok(true), Err(busy()), Ok(false)])), ..Script::default() };
    let place = Place::new(script);
    let operation = operation().leased_for(Duration::from_millis(30));
    let reached = AtomicUsize::new(0);
    let work = || async {
        std::future::pending::<()>().await;
        reached.fetch_add(1, Ordering::Relaxed);
        Worked::Completed(Answer::default())
    };
    let held = place.keys.once(&operation, "k", &(), work).await;
    assert_eq!(held, Err(Held::Lost));
    assert_eq!(place.script.asked(), ["begin", "keep", "keep", "keep"], "nothing is ended that is not ours");
    assert_eq!(reached.load(Ordering::Relaxed), 0);
    assert!(place.says("redrive_lease_lost_total 1"));
}

#[tokio::test]
async fn a_lease_of_no_length_does_not_wear_the_store_out() {
    let place = Place::new(Script::default());
    let began = redrive::clock::instant();
    let work = || async {
        for _ in 0..10 {
            place.script.kept.notified().await;
        }
        Worked::Completed(Answer::default())
    };
    let operation = operation().leased_for(Duration::ZERO);
    assert!(place.keys.once(&operation, "k", &(), work).await.is_ok());
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(100), "ten signs of life within {took:?}");
}

#[test]
fn who_waits_as_long_as_it_is_told_is_not_too_early() {
    for (milliseconds, said) in [(1, "1 s"), (29_000, "29 s"), (29_001, "30 s"), (0, "1 s")] {
        let retry_after = Some(Duration::from_millis(milliseconds));
        let text = Held::InFlight { retry_after }.to_string();
        assert!(text.ends_with(&format!("try again in {said}")), "{text}");
    }
}

#[tokio::test]
async fn who_ends_after_a_take_over_is_told_and_counted() {
    let script = Script { ends: Mutex::new(VecDeque::from([Ok(false)])), ..Script::default() };
    let place = Place::new(script);
    assert_eq!(place.once(&operation()).await, Err(Held::Lost));
    assert!(place.says("redrive_lease_lost_total 1"));
}

#[tokio::test]
async fn how_the_work_ends_is_how_the_key_ends_and_the_caller_has_the_answer() {
    for (worked, said) in [
        (Worked::Completed(Answer::new(201, "a")), "end completed"),
        (Worked::Failed(Answer::new(402, "b")), "end failed"),
        (Worked::Freed(Answer::new(503, "c")), "end freed"),
    ] {
        let place = Place::new(Script::default());
        let (Worked::Completed(answer) | Worked::Failed(answer) | Worked::Freed(answer)) = worked.clone();
        let done = place.keys.once(&operation(), "k", &(), || async { worked }).await.expect("it ran");
        assert_eq!((done.answer, done.source), (answer, Source::Ran(KeyRun::New)));
        assert_eq!(place.script.asked(), ["begin", said]);
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_refused_before_the_store_is_asked() {
    let place = Place::new(Script::default());
    for (key, why) in [
        ("", "the idempotency key is empty: send a unique value, for example a UUID"),
        ("naïve", "the idempotency key holds a character that is not printable ASCII"),
        (
            &"k".repeat(255),
            "the idempotency key makes 271 bytes together with its operation: at most 255 fit",
        ),
    ] {
        let held = place.keys.once(&operation(), key, &(), || async { unreachable!("nothing runs") }).await;
        assert_eq!(held.map_err(|held| held.to_string()), Err(why.to_owned()));
    }
    assert!(place.script.asked().is_empty());
}
