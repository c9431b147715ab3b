//! `yandex`: a bad release, rolled back after ten minutes, keeps the order service down for an hour, because every
//! caller keeps retrying. The service has a long queue, and works on for callers that have left: with five attempts for
//! each order it is always full of requests nobody waits for any more, and nothing brings it out of that but fewer
//! requests. At last somebody switches the retries off.
//!
//! Beside it stands the same service with the same orders, whose caller has a budget and a circuit.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{Ground, Incident, millis, words, words_of};
use crate::{
    demo::{
        DemoError,
        lab::{Capacity, Effect},
        random,
        report::{Expectation, Figure},
        seen::Seen,
        stage::Stage,
        traffic::{Arrivals, Caller, Guarding, Manner, Service, post},
    },
    metrics::{
        scrape::Target,
        signals::VerdictKind::{Storm, Stuck},
    },
    resilience::{
        backoff::{Backoff, Jitter},
        budget::{BudgetPolicy, RatioPolicy},
        circuit::CircuitPolicy,
    },
};

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// How long what lasts, in the scenario's time.
const WELL: Duration = minutes(5);
const RELEASE: Duration = minutes(10);
const DOWN: Duration = minutes(50);
const AFTER: Duration = minutes(7);

/// Half of what the service can do is used on a good day. In real time, like every rate here.
const EVERY: Duration = millis(33);
/// A full queue takes twice as long as a caller waits.
const SERVICE: Capacity = Capacity { slots: 3, service: millis(50), queue: 60 };
const TIMEOUT: Duration = millis(500);
const SOON: Backoff = Backoff { base: millis(20), cap: millis(100), jitter: Jitter::Full };
const CARELESS: Manner = Manner::unprotected(5, SOON, TIMEOUT);

/// One shop: its service, and its orders.
struct Side {
    operation: &'static str,
    service: Service,
    caller: Arc<Caller>,
}

/// The two shops.
pub(super) struct Yandex {
    unprotected: Side,
    protected: Side,
}

const OPERATION: &str = "orders.create";
const GUARDED: &str = "orders_guarded.create";

impl Yandex {
    pub(super) async fn set_up(ground: &Ground<'_>) -> Result<Self, DemoError> {
        let ratio = RatioPolicy { share: 0.1, floor: 0.1, ..RatioPolicy::default() };
        let careful = Manner {
            budget: Some(BudgetPolicy::Ratio(ratio)),
            circuit: Some(CircuitPolicy::default().scaled(ground.plan.time_factor)),
            ..CARELESS
        };
        Ok(Self {
            unprotected: side(ground, "shop", OPERATION, CARELESS, Guarding::Plain).await?,
            protected: side(ground, "shop-guarded", GUARDED, careful, Guarding::Ours).await?,
        })
    }

    fn down(&self, side: &Side, stage: &Stage) -> f64 {
        stage.scenario(side.caller.tally().down(stage.real(minutes(1)).max(millis(200))))
    }
}

async fn side(
    ground: &Ground<'_>,
    name: &'static str,
    operation: &'static str,
    manner: Manner,
    guarding: Guarding,
) -> Result<Side, DemoError> {
    let Ground { plan, tracker, cancel, .. } = *ground;
    let part = operation.len() as u64;
    let service = Service::start(SERVICE, &[], random(plan, part), tracker, cancel).await?;
    let manners = [(operation, manner)];
    let caller = Caller::start(name, &manners, guarding, random(plan, part + 1), tracker, cancel).await?;
    let (orders, url) = (Arc::clone(&caller), service.url(operation));
    let arrivals = Arrivals { every: EVERY, random: random(plan, part + 2) };
    arrivals.start(tracker, cancel, move || {
        let (caller, url) = (Arc::clone(&orders), url.clone());
        async move {
            caller.call(0, |_| post(&caller.client, &url, "")).await;
        }
    });
    Ok(Side { operation, service, caller })
}

#[async_trait]
impl Incident for Yandex {
    fn targets(&self) -> Result<Vec<Target>, DemoError> {
        Ok(vec![self.unprotected.caller.target()?, self.protected.caller.target()?])
    }

    async fn play(&self, stage: &Stage) {
        let both = [&self.unprotected, &self.protected];
        stage.phase("orders go through", WELL).await;
        both.iter().for_each(|side| side.service.set(&[(None, Effect::Failing(1.0))]));
        stage.phase("a bad release fails every order", RELEASE).await;
        both.iter().for_each(|side| side.service.set(&[]));
        stage.phase("rolled back; the retries keep the service full", DOWN).await;
        self.unprotected.caller.at_most(1);
        stage.phase("somebody has switched the retries off", AFTER).await;
    }

    fn figures(&self, stage: &Stage) -> Vec<Figure> {
        let of = |side: &'static str, shop: &Side| {
            let tally = shop.caller.tally();
            let amplification = tally.attempts() as f64 / tally.calls().max(1) as f64;
            [
                Figure::new("down for", side, self.down(shop, stage), "s"),
                Figure::new("orders that went through", side, tally.goodput(), "share"),
                Figure::new("requests for each order", side, amplification, "requests"),
                Figure::new("requests at the service", side, shop.service.requests() as f64, "requests"),
            ]
        };
        [of("unprotected", &self.unprotected), of("budget and circuit", &self.protected)].concat()
    }

    fn expectations(&self, stage: &Stage, seen: &Seen) -> Vec<Expectation> {
        let stuck = seen.headline(self.unprotected.operation, &[Stuck]);
        let found = stuck.map_or_else(|| format!("it said {}", words(seen)), |said| said.sentence.clone());
        let (long, short) = (self.down(&self.unprotected, stage), self.down(&self.protected, stage));
        let release = RELEASE.as_secs_f64();
        let as_long = (0.6 * release..=1.6 * release).contains(&short);
        let calm = !seen.was(self.protected.operation, &[Storm, Stuck]);
        let whole = (RELEASE + DOWN).as_secs_f64();
        vec![
            Expectation::new(format!("STUCK on {OPERATION}"), stuck.is_some(), found),
            // Longer than that by the orders that were under way when the retries were switched off.
            Expectation::new(
                "unprotected it is down from the release until the retries are switched off",
                (0.9 * whole..1.25 * whole).contains(&long),
                in_minutes(long),
            ),
            Expectation::new("protected it is down about as long as the release", as_long, in_minutes(short)),
            Expectation::new(
                format!("{GUARDED} is never STUCK nor in a STORM"),
                calm,
                words_of(seen, GUARDED),
            ),
        ]
    }
}

fn in_minutes(seconds: f64) -> String {
    format!("{:.1} min", seconds / 60.0)
}
