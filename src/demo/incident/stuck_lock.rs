//! `stuck-lock`: two payments were begun 24 hours ago by a process that died holding their keys. One key had a lease of
//! half a minute, as it should: it shows as stuck, and the next request takes it over. The other was held for two days,
//! as a lock without a heartbeat is: whoever asks is told to wait, until an operator releases it, which takes a reason
//! because its holder might still be at work.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use super::{
    Ground, Incident, listed,
    payments::{self, OPERATION, operation},
};
use crate::{
    clock,
    demo::{
        DemoError,
        report::{Expectation, Figure},
        seen::Seen,
        stage::{Operator, Stage},
        traffic::serve,
    },
    domain::{
        id::ActionId,
        key::{KeyRun, key_id},
    },
    engine::{
        Engine,
        command::{Asker, Command, Submission, Target as Aim},
        idempotency::{Held, Keys, Operation, Source, Worked},
        key::Answer,
    },
    metrics::{export::Metrics, scrape::Target},
    store::{self, BoundTime, OpenOptions},
};

/// How long ago the process died.
const AGO: Duration = Duration::from_secs(24 * 3_600);
const SHORT: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(48 * 3_600);

/// The keys: one whose lease is long over, and one whose lease is not.
const LEASED: &str = "order-leased";
const HELD: &str = "order-held";

/// How long what lasts, in the scenario's time.
const SHOWN: Duration = Duration::from_secs(20);
const ASKING: Duration = Duration::from_secs(15);
const AFTER: Duration = Duration::from_secs(10);
/// Requests come this often.
const EVERY: Duration = Duration::from_secs(3);

/// The service that asks for the two keys today.
pub(super) struct StuckLock {
    keys: Keys,
    metrics: std::net::SocketAddr,
    engine: Engine,
    told: Mutex<Told>,
}

/// What was answered.
#[derive(Default)]
struct Told {
    /// Under each key, in order: why it ran, or that it did not.
    leased: Vec<String>,
    held: Vec<String>,
    /// What became of a release without a reason, and of one with it.
    unreasoned: Option<bool>,
    released: Option<bool>,
}

impl StuckLock {
    pub(super) async fn set_up(ground: &Ground<'_>) -> Result<Self, DemoError> {
        let Ground { engine, tracker, cancel, .. } = *ground;
        let metrics = Arc::new(Metrics::new());
        let keys = payments::keys(ground, Vec::new(), &metrics).await?;
        let page = move || metrics.encode();
        let metrics = serve(Arc::new(page), tracker, cancel).await?;
        die(ground).await?;
        Ok(Self { keys, metrics, engine: engine.clone(), told: Mutex::default() })
    }

    /// Asks once under the key; tells how that went.
    async fn ask(&self, key: &str) -> String {
        let work = async || Worked::Completed(Answer::new(201, "charged"));
        match self.keys.once(&operation(), key, &key, work).await {
            Ok(done) => match done.source {
                Source::Ran(KeyRun::TakenOver) => "taken over".to_owned(),
                Source::Ran(run) => run.to_string(),
                Source::Stored => "replayed".to_owned(),
                Source::Unprotected => "unprotected".to_owned(),
            },
            Err(Held::InFlight { .. }) => "in flight".to_owned(),
            Err(other) => other.to_string(),
        }
    }

    /// Asks for one key until an answer is replayed or patience is over.
    async fn keep_asking(&self, key: &str, stage: &Stage, at_most: Duration) {
        let rounds = (at_most.as_secs_f64() / EVERY.as_secs_f64()) as u32;
        for _ in 0..rounds.max(2) {
            let answer = self.ask(key).await;
            let done = answer == "replayed";
            self.note(key, answer);
            if done {
                return;
            }
            clock::sleep(stage.real(EVERY)).await;
        }
    }

    /// Notes what was answered, unless it was answered the same before.
    fn note(&self, key: &str, answer: String) {
        let mut told = self.told();
        let answers = if key == LEASED { &mut told.leased } else { &mut told.held };
        if answers.last() != Some(&answer) {
            answers.push(answer);
        }
    }

    /// Whether a release for this reason is done.
    async fn release(&self, reason: Option<&str>) -> bool {
        let Ok(id) = key_id(OPERATION, HELD) else { return false };
        let submission = Submission {
            action: ActionId(clock::new_id()),
            asker: Asker::Operator("demo".to_owned()),
            reason: reason.map(str::to_owned),
            command: Command::Release { keys: vec![Aim { id, seen: None }] },
        };
        self.engine.submit(&submission).await.is_ok_and(|receipt| receipt.applied() == 1)
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        // What was told before a panic elsewhere is still right.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What happened a day ago: work begins under both keys, and whoever does it is gone in the middle of it. That day's
/// clock is bound for a connection of its own; everybody else lives today.
async fn die(ground: &Ground<'_>) -> Result<(), DemoError> {
    let time = BoundTime::default();
    time.set(clock::now() - AGO);
    let options = OpenOptions { connections: 1, time, ..OpenOptions::default() };
    let opened = store::open(ground.database, options).await?;
    let keys = Keys::new(opened.store, "payments-7f9c");
    let leases: [(&str, Operation); 2] =
        [(LEASED, operation().leased_for(SHORT)), (HELD, operation().leased_for(LONG))];
    for (key, operation) in leases {
        let (begun, working) = tokio::sync::oneshot::channel::<()>();
        let work = async || {
            let _ = begun.send(());
            std::future::pending::<Worked>().await
        };
        tokio::select! {
            answer = keys.once(&operation, key, &key, work) => {
                answer.map_err(|held| DemoError::Refused(held.to_string()))?;
            }
            _ = working => {}
        }
    }
    Ok(())
}

#[async_trait]
impl Incident for StuckLock {
    fn targets(&self) -> Result<Vec<Target>, DemoError> {
        Ok(vec![Target::parse(&format!("http://{}/metrics", self.metrics))?.named("payments-api")])
    }

    async fn play(&self, stage: &Stage) {
        stage.phase("two keys are locked since a process died a day ago", SHOWN).await;
        stage.begin("the one whose lease is over is asked for");
        self.keep_asking(LEASED, stage, ASKING).await;
        stage.begin("the one that is held for two days is asked for");
        self.keep_asking(HELD, stage, ASKING).await;
        if stage.operator == Operator::Played {
            stage.begin("an operator releases it");
            let unreasoned = self.release(None).await;
            let released = self.release(Some("payments-7f9c died yesterday, see its pod's log")).await;
            {
                let mut told = self.told();
                (told.unreasoned, told.released) = (Some(unreasoned), Some(released));
            }
            self.keep_asking(HELD, stage, ASKING).await;
        } else {
            // An operator may take as long as he likes.
            self.keep_asking(HELD, stage, Duration::from_secs(3_600)).await;
        }
        stage.phase("both are answered", AFTER).await;
    }

    fn figures(&self, _: &Stage) -> Vec<Figure> {
        vec![
            Figure::new("locked for", "", AGO.as_secs_f64() / 3_600.0, "h"),
            Figure::new("lease", "stuck", SHORT.as_secs_f64(), "s"),
            Figure::new("lease", "held", LONG.as_secs_f64() / 3_600.0, "h"),
        ]
    }

    fn expectations(&self, _: &Stage, seen: &Seen) -> Vec<Expectation> {
        let told = self.told();
        let hours = seen.most.overdue as f64 / 3_600.0;
        let recovered = seen.recovered.get(OPERATION).copied().unwrap_or(0);
        vec![
            Expectation::new(
                "the dashboard shows a stuck key and its lock's age over its lease",
                seen.most.keys_stuck == 1 && (23.9..25.0).contains(&hours),
                format!("{} stuck, {hours:.1} h over", seen.most.keys_stuck),
            ),
            Expectation::new(
                "with its lease over it is taken over by the next request",
                told.leased == ["taken over", "replayed"] && recovered >= 1,
                listed(&told.leased),
            ),
            Expectation::new(
                "a live lease is respected, and released with a reason only",
                told.unreasoned == Some(false) && told.released == Some(true),
                format!(
                    "released without a reason: {}, with one: {}",
                    yes(told.unreasoned),
                    yes(told.released)
                ),
            ),
            Expectation::new(
                "after that the next request runs",
                told.held == ["in flight", "again", "replayed"],
                listed(&told.held),
            ),
            Expectation::new("no key is stuck at the end", seen.last.keys_stuck == 0, seen.last.keys_stuck),
        ]
    }
}

fn yes(done: Option<bool>) -> &'static str {
    if done == Some(true) { "yes" } else { "no" }
}
