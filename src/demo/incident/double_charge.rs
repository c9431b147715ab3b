//! `double-charge`: replies get lost, and checkouts ask again. Without a key each lost reply is one more charge; with one
//! the stored response is replayed. Two checkouts beside each other, at the same payment service.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
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
        traffic::{Arrivals, Caller, Guarding, Manner},
    },
    metrics::scrape::Target,
    resilience::backoff::{Backoff, Jitter},
};

/// How long what lasts, in the scenario's time.
const WELL: Duration = Duration::from_secs(20);
const LOSING: Duration = Duration::from_secs(60);
const AFTER: Duration = Duration::from_secs(20);
/// How many replies get lost.
const LOST: f64 = 0.3;

/// One order after the other, at each checkout; in real time.
const EVERY: Duration = millis(200);
const MANNER: Manner = Manner::unprotected(
    5,
    Backoff { base: millis(20), cap: millis(100), jitter: Jitter::Full },
    Duration::from_secs(2),
);

/// A checkout.
struct Side {
    name: &'static str,
    caller: Arc<Caller>,
    answers: Arc<Answers>,
}

/// The two of them.
pub(super) struct DoubleCharge {
    payments: Payments,
    without: Side,
    with: Side,
}

impl DoubleCharge {
    pub(super) async fn set_up(ground: &Ground<'_>) -> Result<Self, DemoError> {
        let payments = Payments::start(ground, Vec::new()).await?;
        Ok(Self {
            without: side(ground, &payments, "checkout", "payments_unkeyed.charge", false).await?,
            with: side(ground, &payments, "checkout-keyed", OPERATION, true).await?,
            payments,
        })
    }

    /// How often an order was charged at most, and how many more than once.
    fn charged(&self, side: &Side) -> (u64, usize) {
        let charges = self.payments.charges(&prefix(side.name));
        (charges.first().copied().unwrap_or(0), charges.iter().filter(|charges| **charges > 1).count())
    }
}

async fn side(
    ground: &Ground<'_>,
    payments: &Payments,
    name: &'static str,
    operation: &'static str,
    keyed: bool,
) -> Result<Side, DemoError> {
    let Ground { plan, tracker, cancel, .. } = *ground;
    let part = 80 + 10 * u64::from(keyed);
    let manner = [(operation, MANNER)];
    let caller = Caller::start(name, &manner, Guarding::Plain, random(plan, part), tracker, cancel).await?;
    let answers = Arc::new(Answers::default());
    let side = Side { name, caller: Arc::clone(&caller), answers: Arc::clone(&answers) };
    let (url, numbers) = (payments.url(keyed), Arc::new(AtomicU64::new(0)));
    Arrivals { every: EVERY, random: random(plan, part + 1) }.start(tracker, cancel, move || {
        let (caller, answers, url) = (Arc::clone(&caller), Arc::clone(&answers), url.clone());
        let order = format!("{}{}", prefix(name), numbers.fetch_add(1, Ordering::Relaxed));
        async move {
            caller.call(0, |_| answers.pay(&caller.client, &url, &order)).await;
        }
    });
    Ok(side)
}

/// How the orders of a checkout begin.
fn prefix(name: &str) -> String {
    format!("{name}/order-")
}

#[async_trait]
impl Incident for DoubleCharge {
    fn targets(&self) -> Result<Vec<Target>, DemoError> {
        Ok(vec![self.payments.target()?, self.without.caller.target()?, self.with.caller.target()?])
    }

    async fn play(&self, stage: &Stage) {
        stage.phase("orders are paid", WELL).await;
        self.payments.lose(LOST);
        stage.phase("replies get lost; checkouts ask again", LOSING).await;
        self.payments.lose(0.0);
        stage.phase("replies arrive again", AFTER).await;
    }

    fn figures(&self, _: &Stage) -> Vec<Figure> {
        let of = |word: &'static str, side: &Side| {
            let charges = self.payments.charges(&prefix(side.name));
            let (most, twice) = self.charged(side);
            [
                Figure::new("orders", word, charges.len() as f64, "orders"),
                Figure::new("charges", word, charges.iter().sum::<u64>() as f64, "charges"),
                Figure::new("orders charged more than once", word, twice as f64, "orders"),
                Figure::new("most charges of one order", word, most as f64, "charges"),
                Figure::new("responses replayed", word, side.answers.replayed() as f64, "responses"),
            ]
        };
        [of("without a key", &self.without), of("with a key", &self.with)].concat()
    }

    fn expectations(&self, _: &Stage, seen: &Seen) -> Vec<Expectation> {
        let (most, twice) = self.charged(&self.without);
        let (most_keyed, twice_keyed) = self.charged(&self.with);
        let replayed = seen.replayed.get(OPERATION).copied().unwrap_or(0.0);
        let told = self.with.answers.most_told();
        let orders = |most: u64, twice: usize| format!("{twice} orders more than once, one {most} times");
        vec![
            Expectation::new("without a key orders are charged twice", most >= 2, orders(most, twice)),
            Expectation::new(
                "with a key there is one effect for each order",
                most_keyed == 1,
                orders(most_keyed, twice_keyed),
            ),
            Expectation::new(
                "the stored response is replayed, always the same for an order",
                self.with.answers.replayed() > 0 && told == 1 && self.with.answers.broken() == 0,
                format!("{} replayed, at most {told} different for an order", self.with.answers.replayed()),
            ),
            Expectation::new(
                format!("the dashboard shows {OPERATION} answered by stored responses"),
                replayed >= 1.0,
                format!("{replayed} replayed"),
            ),
        ]
    }
}
