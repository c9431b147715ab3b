//! `heavy-endpoint`: a service calls a light operation often and a heavy one rarely, and all its retries share one
//! budget of 5 %. The heavy calls fail ten times as often and take over a third of the budget, so that light calls, whose
//! retries would nearly all succeed, are denied theirs. Beside it the same with a roof that keeps each its part by weight.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;

use super::{Ground, Incident, millis, words};
use crate::{
    demo::{
        DemoError,
        lab::{Capacity, Effect},
        random,
        report::{Expectation, Figure},
        seen::Seen,
        stage::Stage,
        traffic::{Arrivals, Caller, Guarding, Manner, Service, Tally, post},
    },
    metrics::{
        scrape::Target,
        signals::VerdictKind::{Elevated, Storm, Stuck},
    },
    resilience::{
        backoff::{Backoff, Jitter},
        budget::{BudgetPolicy, RatioPolicy, RoofPolicy},
    },
};

/// How long what lasts, in the scenario's time.
const WELL: Duration = Duration::from_secs(60);
const FAILING: Duration = Duration::from_secs(110);

/// 4 % of the calls are heavy; in real time.
const LIGHT_EVERY: Duration = Duration::from_micros(8_333);
const HEAVY_EVERY: Duration = millis(200);
const SERVICE: Capacity = Capacity { slots: 8, service: millis(10), queue: 50 };
const HEAVY_COST: f64 = 10.0;
/// How many of the attempts fail; the heavy ones at first as few as the light ones.
const LIGHT_FAILS: f64 = 0.04;
const HEAVY_FAILS: f64 = 0.45;
const WEIGHT: f64 = 24.0;

const ROOF: RoofPolicy = RoofPolicy { share: 0.05, floor: 0.0, window: Duration::from_secs(10), kept: 0.0 };
/// An operation's own budget affords whatever it asks for: the roof alone decides.
const OWN: RatioPolicy = RatioPolicy { share: 2.0, floor: 0.0, window: Duration::from_secs(10) };
const MANNER: Manner = Manner {
    budget: Some(BudgetPolicy::Ratio(OWN)),
    ..Manner::unprotected(
        3,
        Backoff { base: millis(50), cap: millis(200), jitter: Jitter::Full },
        Duration::from_secs(2),
    )
};

/// The places of the two operations in each caller's list.
const LIGHT: usize = 0;
const HEAVY: usize = 1;
const UNIFORM: [&str; 2] = ["search.suggest", "reports.export"];
const WEIGHTED: [&str; 2] = ["search_weighted.suggest", "reports_weighted.export"];

/// A caller and its service.
struct Side {
    operations: [&'static str; 2],
    service: Service,
    caller: Arc<Caller>,
    /// Since its caller began, in real time: when the heavy calls began to fail.
    failing_from: OnceLock<Duration>,
}

/// The two callers.
pub(super) struct HeavyEndpoint {
    uniform: Side,
    weighted: Side,
}

impl Side {
    fn fail(&self, heavy: f64) {
        let [light, at] = self.operations;
        self.service.set(&[(Some(light), Effect::Failing(LIGHT_FAILS)), (Some(at), Effect::Failing(heavy))]);
        if heavy > LIGHT_FAILS {
            self.failing_from.get_or_init(|| self.caller.elapsed());
        }
    }

    /// What was called since the heavy calls fail.
    fn tally(&self) -> Tally {
        self.caller.tally().since(self.failing_from.get().copied().unwrap_or_default())
    }
}

impl HeavyEndpoint {
    pub(super) async fn set_up(ground: &Ground<'_>) -> Result<Self, DemoError> {
        Ok(Self {
            uniform: side(ground, "api-uniform", UNIFORM, ROOF).await?,
            weighted: side(ground, "api-weighted", WEIGHTED, RoofPolicy { kept: 1.0, ..ROOF }).await?,
        })
    }
}

async fn side(
    ground: &Ground<'_>,
    name: &'static str,
    operations: [&'static str; 2],
    roof: RoofPolicy,
) -> Result<Side, DemoError> {
    let Ground { plan, tracker, cancel, .. } = *ground;
    let [light, heavy] = operations;
    let part = 20 + 10 * u64::from(roof.kept > 0.0);
    let service =
        Service::start(SERVICE, &[(heavy, HEAVY_COST)], random(plan, part), tracker, cancel).await?;
    let manners = [(light, Manner { weight: WEIGHT, ..MANNER }), (heavy, MANNER)];
    let under = Guarding::Under(roof);
    let caller = Caller::start(name, &manners, under, random(plan, part + 1), tracker, cancel).await?;
    for (place, every) in [(LIGHT, LIGHT_EVERY), (HEAVY, HEAVY_EVERY)] {
        let (calling, url) = (Arc::clone(&caller), service.url(operations[place]));
        let arrivals = Arrivals { every, random: random(plan, part + 2 + place as u64) };
        arrivals.start(tracker, cancel, move || {
            let (caller, url) = (Arc::clone(&calling), url.clone());
            async move {
                caller.call(place, |_| post(&caller.client, &url, "")).await;
            }
        });
    }
    let side = Side { operations, service, caller, failing_from: OnceLock::new() };
    side.fail(LIGHT_FAILS);
    Ok(side)
}

/// The heavy operation's share of all retries that were made.
fn heavy_share(side: &Side) -> f64 {
    let tally = side.tally();
    tally.of(HEAVY).retries() as f64 / tally.retries().max(1) as f64
}

/// The share of the light calls in need of a retry that were denied it.
fn starved(side: &Side) -> f64 {
    let light = side.tally().of(LIGHT);
    let in_need = light.needing_more();
    light.denied() * light.calls() as f64 / in_need.max(1) as f64
}

#[async_trait]
impl Incident for HeavyEndpoint {
    fn targets(&self) -> Result<Vec<Target>, DemoError> {
        Ok(vec![self.uniform.caller.target()?, self.weighted.caller.target()?])
    }

    async fn play(&self, stage: &Stage) {
        stage.phase("few calls fail", WELL).await;
        [&self.uniform, &self.weighted].into_iter().for_each(|side| side.fail(HEAVY_FAILS));
        stage.phase("heavy calls fail often, light ones as seldom as before", FAILING).await;
    }

    fn figures(&self, _: &Stage) -> Vec<Figure> {
        let of = |side: &'static str, at: &Side| {
            let tally = at.tally();
            [
                Figure::new("heavy calls among all", side, share(&tally, HEAVY), "share"),
                Figure::new("the heavy operation's part of the retries", side, heavy_share(at), "share"),
                Figure::new("light calls denied the retry they needed", side, starved(at), "share"),
                Figure::new("light calls that succeeded", side, tally.of(LIGHT).goodput(), "share"),
                Figure::new("heavy calls that succeeded", side, tally.of(HEAVY).goodput(), "share"),
            ]
        };
        [of("uniform", &self.uniform), of("weighted", &self.weighted)].concat()
    }

    fn expectations(&self, _: &Stage, seen: &Seen) -> Vec<Expectation> {
        let percent = |uniform: f64, weighted: f64| {
            format!("uniform {:.1} %, weighted {:.1} %", 100.0 * uniform, 100.0 * weighted)
        };
        let said = seen.headline(UNIFORM[HEAVY], &[Elevated, Storm, Stuck]);
        let found = said.map_or_else(|| format!("it said {}", words(seen)), |said| said.sentence.clone());
        let shares = [heavy_share(&self.uniform), heavy_share(&self.weighted)];
        let starved = [starved(&self.uniform), starved(&self.weighted)];
        let left = [(UNIFORM, "api-uniform"), (WEIGHTED, "api-weighted")].map(|(operations, caller)| {
            seen.extremes(operations[LIGHT], caller).usual_budget().unwrap_or(0.0)
        });
        let good = [&self.uniform, &self.weighted].map(|side| side.tally().of(LIGHT).goodput());
        vec![
            Expectation::new(format!("{} is named", UNIFORM[HEAVY]), said.is_some(), found),
            Expectation::new(
                "4 % of the calls take a third of a uniform budget, hardly any of a weighted one",
                (0.25..0.55).contains(&shares[0]) && shares[1] < 0.15,
                percent(shares[0], shares[1]),
            ),
            Expectation::new(
                "light calls are starved by the uniform budget and not by the weighted one",
                starved[0] > 0.08 && starved[1] < 0.5 * starved[0] && good[1] > good[0],
                percent(starved[0], starved[1]),
            ),
            Expectation::new(
                "the dashboard shows the light operation's budget spent, or left",
                left[0] < 0.1 && left[1] > 0.1,
                percent(left[0], left[1]),
            ),
        ]
    }
}

fn share(tally: &Tally, operation: usize) -> f64 {
    tally.of(operation).calls() as f64 / tally.calls().max(1) as f64
}
