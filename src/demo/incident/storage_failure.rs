//! `storage-failure`: for a while no response can be stored. Each of those payments was made, its response sent, and its
//! key marked FAILED_STORAGE after five tries. Who asks again with the same key gets a new run, whose response is
//! stored and replayed from then on; nothing half-stored is ever replayed. An effect happens at least once here: where
//! it must be exactly once, it belongs into the transaction of the key (`once_in`).

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use super::{
    Ground, Incident, millis,
    payments::{Answers, OPERATION, Payments},
};
use crate::{
    demo::{
        DemoError, random,
        report::{Expectation, Figure},
        seen::Seen,
        stage::Stage,
        traffic::{Caller, Guarding, Manner},
    },
    domain::key::KeyPhase,
    engine::{
        Engine,
        injection::{BadInjection, Injection},
        reader::{List, Query, Rows},
    },
    metrics::scrape::Target,
    resilience::backoff::{Backoff, Jitter},
};

/// Payments before it, and payments whose response cannot be stored.
const WELL: u32 = 8;
const FAILING: u32 = 3;
/// So often is storing one response tried.
const TRIES: u32 = 5;
/// How long what lasts at least, in the scenario's time.
const BEFORE: Duration = Duration::from_secs(10);
const MARKED: Duration = Duration::from_secs(10);
const AFTER: Duration = Duration::from_secs(10);

const MANNER: Manner = Manner::unprotected(
    3,
    Backoff { base: millis(50), cap: millis(200), jitter: Jitter::Full },
    Duration::from_secs(30),
);

/// A payment service with a store that fails, and one who pays.
pub(super) struct StorageFailure {
    payments: Payments,
    payer: Arc<Caller>,
    answers: Answers,
    engine: Engine,
    /// Keys that were marked when the marks were looked for.
    marked: Mutex<Vec<String>>,
}

impl StorageFailure {
    pub(super) async fn set_up(ground: &Ground<'_>) -> Result<Self, DemoError> {
        let Ground { plan, engine, tracker, cancel, .. } = *ground;
        // Storing fails as often as it is tried, and the mark that is set then is stored; once for each payment.
        let fault = |payment| format!("end.before=fail@{}*{TRIES}", WELL + 1 + payment).parse();
        let faults = (0..FAILING).map(fault).collect::<Result<Vec<Injection>, BadInjection>>();
        let faults = faults.map_err(|bad| DemoError::Refused(bad.to_string()))?;
        let payments = Payments::start(ground, faults).await?;
        let manner = [(OPERATION, MANNER)];
        let payer =
            Caller::start("checkout", &manner, Guarding::Plain, random(plan, 80), tracker, cancel).await?;
        let (answers, engine, marked) = (Answers::default(), engine.clone(), Mutex::default());
        Ok(Self { payments, payer, answers, engine, marked })
    }

    /// Pays these orders, one after the other.
    async fn pay(&self, kind: &str, orders: u32) {
        let url = self.payments.url(true);
        for order in 0..orders {
            let order = format!("{kind}-{order}");
            self.payer.call(0, |_| self.answers.pay(&self.payer.client, &url, &order)).await;
        }
    }

    /// The keys that are marked in the database.
    async fn look_for_marks(&self) {
        let query = Query { list: List::Keys, limit: 1_000, ..Query::default() };
        let Ok(board) = self.engine.reader().read(&query).await else { return };
        let Rows::Keys(keys) = board.rows else { return };
        let marked = keys.into_iter().filter(|key| key.phase == Some(KeyPhase::FailedStorage));
        *self.marked.lock().unwrap_or_else(PoisonError::into_inner) =
            marked.map(|key| key.key.0.clone()).collect();
    }

    fn marked(&self) -> usize {
        self.marked.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[async_trait]
impl Incident for StorageFailure {
    fn targets(&self) -> Result<Vec<Target>, DemoError> {
        Ok(vec![self.payments.target()?, self.payer.target()?])
    }

    async fn play(&self, stage: &Stage) {
        stage.begin("responses are stored");
        self.pay("well", WELL).await;
        // Asked again, they are replayed.
        self.pay("well", WELL).await;
        stage.phase("responses are stored and replayed", BEFORE).await;
        stage.begin("responses cannot be stored");
        self.pay("marked", FAILING).await;
        self.look_for_marks().await;
        stage.phase("their keys are marked FAILED_STORAGE", MARKED).await;
        stage.begin("they are asked for again: the handler runs again");
        self.pay("marked", FAILING).await;
        self.pay("marked", FAILING).await;
        stage.phase("responses are stored again", AFTER).await;
    }

    fn figures(&self, _: &Stage) -> Vec<Figure> {
        let runs = |kind| self.payments.charges(kind).first().copied().unwrap_or(0) as f64;
        vec![
            Figure::new("keys marked FAILED_STORAGE", "", self.marked() as f64, "keys"),
            Figure::new("runs of one key at most", "stored at once", runs("well-"), "runs"),
            Figure::new("runs of one key at most", "marked", runs("marked-"), "runs"),
            Figure::new("responses replayed", "", self.answers.replayed() as f64, "responses"),
            Figure::new("broken responses", "", self.answers.broken() as f64, "responses"),
        ]
    }

    fn expectations(&self, _: &Stage, seen: &Seen) -> Vec<Expectation> {
        let again = self.payments.charges("marked-");
        let recovered = seen.recovered.get(OPERATION).copied().unwrap_or(0);
        let shown = seen.most.keys_failed_storage;
        vec![
            Expectation::new(
                "the dashboard shows keys whose response could not be stored, and counts the failures",
                shown == i64::from(FAILING) && seen.not_stored == u64::from(FAILING),
                format!("{shown} keys, {} failures", seen.not_stored),
            ),
            Expectation::new(
                "the keys are FAILED_STORAGE",
                self.marked() == FAILING as usize,
                format!("{} are", self.marked()),
            ),
            Expectation::new(
                "asked again, the handler runs again, once for each",
                again.iter().all(|runs| *runs == 2) && recovered == u64::from(FAILING),
                format!("runs {again:?}, {recovered} recovered"),
            ),
            Expectation::new(
                "no key is left marked",
                seen.last.keys_failed_storage == 0,
                format!("{} left", seen.last.keys_failed_storage),
            ),
            Expectation::new(
                "nothing broken is replayed, and the new response is",
                self.answers.broken() == 0 && self.answers.replayed() == u64::from(WELL + FAILING),
                format!("{} broken, {} replayed", self.answers.broken(), self.answers.replayed()),
            ),
        ]
    }
}
