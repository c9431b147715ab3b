//! A workflow of your own: an order is reserved, charged, shipped and confirmed, and what was done can be undone.
//!
//! ```text
//! cargo run --example order_saga
//! ```
//! A definition says which states there are, what each does ([`Workflow::run`]), what each may leave behind
//! ([`Workflow::opening`], written before the state runs) and how that is undone ([`Workflow::undo`]). The engine does
//! the rest: it records each state in one commit, tries again, guards every call by its operation's circuit and budget,
//! keeps failures as dead letters, and undoes last-in first-out when an operator says so. The database is a temporary file.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use redrive::{
    clock, config,
    domain::{
        fault::Fault,
        id::{ActionId, OnboardingId, StateName},
        onboarding::{Phase, Request},
    },
    engine::{
        Access, Engine,
        call::{Calls, StepCalls},
        command::{Asker, Command, Elsewhere, Receipt, Submission, Target},
        policies::Policies,
        reader::{Detail, Page, Query},
        store::{Compensation, Intent, Opening, StepDone},
        worker::Worker,
        workflow::{Step, StepPolicy, Undone, Workflow},
    },
    resilience::backoff::{Backoff, Jitter},
    store::{OpenOptions, Opened, migrate, open},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The context: what an order begins with, and what each state leaves for the next. It is stored as JSON, so what a later
/// version adds has a default, for the rows that began without it.
#[derive(Serialize, Deserialize)]
struct Order {
    article: String,
    cents: u32,
    #[serde(default)]
    parcel: Option<String>,
    #[serde(default)]
    points: u32,
}

/// The definition. Version 2 gives points for what was bought.
struct OrderSaga {
    version: i32,
    states: Vec<StateName>,
    shop: Arc<Shop>,
}

fn order_saga(version: i32, shop: &Arc<Shop>) -> Arc<dyn Workflow> {
    let states = ["RESERVING", "CHARGING", "SHIPPING", "CONFIRMING", "REWARDING"];
    let states = &states[..if version == 1 { 4 } else { 5 }];
    let states = states.iter().copied().map(StateName::from).collect();
    Arc::new(OrderSaga { version, states, shop: Arc::clone(shop) })
}

#[async_trait]
impl Workflow for OrderSaga {
    fn name(&self) -> &'static str {
        "order"
    }

    fn version(&self) -> i32 {
        self.version
    }

    fn states(&self) -> &[StateName] {
        &self.states
    }

    /// One attempt of one state. A call is made again when its answer was lost, so each carries the row's id as its key;
    /// its fault says whether another attempt makes sense.
    async fn run(&self, step: Step<'_>) -> Result<StepDone, Fault> {
        let mut order: Order = step.read()?;
        let ask = async |operation, what| {
            let call = self.shop.does(step.onboarding, step.request.subject(), what);
            step.calls.call(operation, call).await
        };
        match step.state.as_str() {
            "RESERVING" => ask("stock.reserve", "reserved").await?,
            "CHARGING" => ask("card.charge", "charged").await?,
            "SHIPPING" => {
                ask("parcel.ship", "shipped").await?;
                order.parcel = Some(format!("parcel with a {}", order.article));
            }
            "CONFIRMING" => ask("mail.send", "confirmed").await?,
            "REWARDING" => {
                ask("points.give", "rewarded").await?;
                order.points = order.cents / 100;
            }
            other => return Err(Fault::permanent(format!("an order has no state {other}"))),
        }
        step.finish(&order)
    }

    /// What would undo a state. It is written before the state runs, so that nothing stays behind unknown, whatever
    /// becomes of the worker.
    fn opening(&self, _: &OnboardingId, _: &Request, state: &StateName, _: &Value) -> Opening {
        let intents = match state.as_str() {
            "RESERVING" => vec![Intent::new("stock.release", "reserved", json!({}))],
            "CHARGING" => vec![Intent::new("card.refund", "charged", json!({}))],
            "SHIPPING" => vec![Intent::new("parcel.cancel", "shipped", json!({}))],
            _ => Vec::new(),
        };
        Opening { intents, ..Opening::default() }
    }

    /// Undoes one of those. It may be asked twice, and for what never happened.
    async fn undo(
        &self,
        row: &OnboardingId,
        request: &Request,
        compensation: &Compensation,
        calls: &StepCalls,
    ) -> Result<Undone, Fault> {
        let (operation, what) = (&compensation.operation, &compensation.name);
        let was_there =
            calls.call(operation, self.shop.undoes(row, request.subject(), what, operation)).await?;
        Ok(if was_there { Undone::Undone(Vec::new()) } else { Undone::NothingToUndo })
    }

    /// How a state is tried. Unsaid: five times, up to a minute apart. This one is in a hurry.
    fn policy(&self, _: &StateName) -> StepPolicy {
        let short = Duration::from_millis(20);
        StepPolicy {
            attempts: 3,
            backoff: Backoff { base: short, cap: short, jitter: Jitter::Full },
            ..StepPolicy::default()
        }
    }
}

/// Stands in for the warehouse, the bank and the post. It knows requests by their keys, and has its troubles.
#[derive(Default)]
struct Shop {
    stands: Mutex<BTreeSet<(String, String)>>,
    troubles: Mutex<Vec<(&'static str, &'static str, Trouble)>>,
    calls: Mutex<u32>,
}

/// What goes wrong with one call.
#[derive(Clone, Copy)]
enum Trouble {
    AnswerLost,
    Busy,
    Refused,
}

impl Shop {
    async fn does(&self, row: &OnboardingId, subject: &str, what: &str) -> Result<(), Fault> {
        *lock(&self.calls) += 1;
        let trouble = self.trouble(subject, what);
        let said = match trouble {
            Some(Trouble::Busy) => "not now: 503".to_owned(),
            Some(Trouble::Refused) => "never: 422".to_owned(),
            _ if !lock(&self.stands).insert((row.to_string(), what.to_owned())) => format!("{what} already"),
            Some(Trouble::AnswerLost) => format!("{what}, but the answer is lost"),
            None => what.to_owned(),
        };
        println!("  {subject:8} {said}");
        match trouble {
            None => Ok(()),
            Some(Trouble::Refused) => Err(Fault::permanent(format!("{subject} cannot be {what}: 422"))),
            Some(_) => Err(Fault::transient(format!("{subject} cannot be {what} now: 503"))),
        }
    }

    async fn undoes(&self, row: &OnboardingId, subject: &str, what: &str, undo: &str) -> Result<bool, Fault> {
        let was_there = lock(&self.stands).remove(&(row.to_string(), what.to_owned()));
        let said = if was_there { "no longer" } else { "never was" };
        println!("  {subject:8} {undo}: {said} {what}");
        Ok(was_there)
    }

    /// The next trouble of that order there, once.
    fn trouble(&self, subject: &str, what: &str) -> Option<Trouble> {
        let mut troubles = lock(&self.troubles);
        let at = troubles.iter().position(|(of, place, _)| (*of, *place) == (subject, what))?;
        Some(troubles.remove(at).2)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A worker that runs these definitions until it is told to stop: its steps in hand are finished first.
struct Hired(TaskTracker, CancellationToken);

impl Hired {
    fn new(opened: &Opened, workflows: Vec<Arc<dyn Workflow>>) -> Self {
        let calls = Calls::new(Policies::default(), Arc::new(()));
        let config = config::Engine { poll: Duration::from_millis(50), ..config::Engine::default() };
        let random = clock::Random::system();
        let worker = Worker::new("shop".into(), opened.store.clone(), workflows, calls, config, random);
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        tracker.spawn(Arc::new(worker).run(stop.clone()));
        Self(tracker, stop)
    }

    async fn stop(self) {
        self.1.cancel();
        self.0.close();
        self.0.wait().await;
    }
}

async fn submit(engine: &Engine, asker: Asker, command: Command) -> Result<Receipt> {
    let action = ActionId(clock::new_id());
    Ok(engine.submit(&Submission { action, asker, reason: None, command }).await?)
}

/// An order is placed: asking twice gives the same row.
async fn order(engine: &Engine, saga: &dyn Workflow, article: &str, cents: u32) -> Result<OnboardingId> {
    let order = Order { article: article.to_owned(), cents, parcel: None, points: 0 };
    let command = Command::begin(saga, "shop", article, &order)?;
    let receipt = submit(engine, Asker::Caller("shop".to_owned()), command).await?;
    Ok(receipt.triggered.context("a beginning is answered")?.onboarding_id)
}

/// Waits until the row has ended in one way or another, and says how.
async fn ended(engine: &Engine, row: &OnboardingId) -> Result<()> {
    loop {
        let query = Query { detail: Some(Detail::Onboarding(row.clone())), ..Query::default() };
        let Some(Page::Onboarding(page)) = engine.reader().read(&query).await?.page else {
            bail!("{row} is gone")
        };
        match page.row.phase {
            Some(phase) if !phase.is_live() => {
                let why = page.row.error.as_ref().filter(|_| phase == Phase::Failed);
                let why = why.map(|error| format!(", its letter says: {error}")).unwrap_or_default();
                println!("  {:8} {phase} after {} attempts{why}", page.row.repo_url, page.attempts.len());
                return Ok(());
            }
            _ => clock::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// What the row's states found out. A page shows no payload but its shape: the context is revealed, which is audited.
async fn context(engine: &Engine, row: &OnboardingId) -> Result<Order> {
    let (action, asker) = (ActionId(clock::new_id()), Asker::Operator("ana".to_owned()));
    let command = Command::Reveal { of: Detail::Onboarding(row.clone()) };
    let reason = Some("which points were earned?".to_owned());
    let receipt = engine.submit(&Submission { action, asker, reason, command }).await?;
    Ok(serde_json::from_value(receipt.revealed.context("there is a context")?.json())?)
}

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite:{}", folder.path().join("orders.db").display());
    migrate(&url).await?;
    let opened = open(&url, OpenOptions::default()).await?;
    let engine = Engine::new(opened.store.clone(), opened.reader.clone(), Access::ReadWrite);
    let ana = || Asker::Operator("ana".to_owned());
    let shop = Arc::new(Shop::default());
    *lock(&shop.troubles) = vec![
        ("lamp", "reserved", Trouble::Busy),
        ("lamp", "charged", Trouble::AnswerLost),
        ("piano", "shipped", Trouble::Refused),
        ("vase", "shipped", Trouble::Busy),
        ("vase", "shipped", Trouble::Busy),
        ("vase", "shipped", Trouble::Busy),
    ];
    let (one, two) = (order_saga(1, &shop), order_saga(2, &shop));
    let worker = Hired::new(&opened, vec![Arc::clone(&one)]);

    println!("A lamp is ordered:");
    let lamp = order(&engine, &*one, "lamp", 4_900).await?;
    ended(&engine, &lamp).await?;

    println!("A piano is ordered:");
    let piano = order(&engine, &*one, "piano", 900_000).await?;
    ended(&engine, &piano).await?;
    println!("An operator rolls it back, last-in first-out:");
    let onboarding = Target { id: piano.clone(), seen: None };
    submit(&engine, ana(), Command::RollBack { onboarding, elsewhere: Elsewhere::Leave }).await?;
    ended(&engine, &piano).await?;

    println!("A vase is ordered, while the post is on strike:");
    let vase = order(&engine, &*one, "vase", 2_500).await?;
    ended(&engine, &vase).await?;
    println!("Version 2 is deployed in the place of version 1, and the vase is resumed:");
    worker.stop().await;
    let worker = Hired::new(&opened, vec![two]);
    let onboardings = vec![Target { id: vase.clone(), seen: None }];
    submit(&engine, ana(), Command::Resume { onboardings, elsewhere: Elsewhere::Leave }).await?;
    ended(&engine, &vase).await?;
    let Order { parcel, points, .. } = context(&engine, &vase).await?;
    worker.stop().await;

    let again = order(&engine, &*one, "lamp", 4_900).await?;
    let charged = lock(&shop.stands).iter().filter(|(_, what)| what == "charged").count();
    println!(
        "proven: ordered twice the lamp is one row: {}; {} calls left {charged} orders charged; a {} earned {points} points",
        again == lamp,
        lock(&shop.calls),
        parcel.context("a parcel was shipped")?,
    );
    Ok(())
}
