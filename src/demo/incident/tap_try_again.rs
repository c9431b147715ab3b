//! `tap-try-again`: a service answers 503. A person who wants a ride taps once and four times on "Try again"; the load
//! balancer between sends each tap once and five times again: 5 × 6 = 30 requests from one person. Beside it the same
//! with a balancer that does not retry.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
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
        scaled,
        seen::Seen,
        stage::Stage,
        traffic::{Arrivals, Caller, Guarding, Manner, Service, post, relay},
    },
    metrics::{
        scrape::Target,
        signals::VerdictKind::{Storm, Stuck},
    },
    resilience::backoff::{Backoff, Jitter},
};

/// How long what lasts, in the scenario's time.
const WELL: Duration = Duration::from_secs(90);
const REFUSING: Duration = Duration::from_secs(300);
const AFTER: Duration = Duration::from_secs(120);
/// Between two taps.
const TAP: Duration = Duration::from_secs(3);

/// One person after the other wants a ride; in real time.
const EVERY: Duration = millis(333);
const SERVICE: Capacity = Capacity { slots: 10, service: millis(20), queue: 20 };
const TAPS: u32 = 5;
const SENDS: u32 = 6;
const AT_THE_EDGE: Backoff = Backoff { base: millis(5), cap: millis(20), jitter: Jitter::Full };
const PATIENCE: Duration = Duration::from_secs(5);

const OPERATION: &str = "rides.order";
const BALANCER: &str = "balancer";

/// People, a balancer and a service in a row.
struct Chain {
    people: Arc<Caller>,
    balancer: Arc<Caller>,
    service: Service,
}

/// The two of them.
pub(super) struct TapTryAgain {
    both: Chain,
    once: Chain,
}

impl TapTryAgain {
    pub(super) async fn set_up(ground: &Ground<'_>) -> Result<Self, DemoError> {
        Ok(Self {
            both: chain(ground, ["people", BALANCER], ["balancer.order", OPERATION], SENDS).await?,
            once: chain(ground, ["people-2", "balancer-2"], ["balancer_2.order", "rides_2.order"], 1).await?,
        })
    }
}

async fn chain(
    ground: &Ground<'_>,
    [people, balancer]: [&'static str; 2],
    [outer, inner]: [&'static str; 2],
    sends: u32,
) -> Result<Chain, DemoError> {
    let Ground { plan, tracker, cancel, .. } = *ground;
    let part = 10 * u64::from(sends);
    let service = Service::start(SERVICE, &[], random(plan, part), tracker, cancel).await?;
    let edge = [(inner, Manner::unprotected(sends, AT_THE_EDGE, PATIENCE))];
    let balancer =
        Caller::start(balancer, &edge, Guarding::Plain, random(plan, part + 1), tracker, cancel).await?;
    let at = relay(Arc::clone(&balancer), service.url(inner), tracker, cancel).await?;
    let wait = scaled(plan, TAP).max(millis(1));
    let taps = Backoff { base: wait, cap: wait, jitter: Jitter::Equal };
    let taps = [(outer, Manner::unprotected(TAPS, taps, PATIENCE))];
    let people =
        Caller::start(people, &taps, Guarding::Plain, random(plan, part + 2), tracker, cancel).await?;
    let (caller, numbers) = (Arc::clone(&people), Arc::new(AtomicU64::new(0)));
    Arrivals { every: EVERY, random: random(plan, part + 3) }.start(tracker, cancel, move || {
        let (caller, url) = (Arc::clone(&caller), format!("http://{at}/{outer}"));
        let person = format!("person-{}", numbers.fetch_add(1, Ordering::Relaxed));
        async move {
            caller.call(0, |_| post(&caller.client, &url, &person)).await;
        }
    });
    Ok(Chain { people, balancer, service })
}

#[async_trait]
impl Incident for TapTryAgain {
    fn targets(&self) -> Result<Vec<Target>, DemoError> {
        let chains = [&self.both, &self.once];
        chains.into_iter().flat_map(|chain| [chain.people.target(), chain.balancer.target()]).collect()
    }

    async fn play(&self, stage: &Stage) {
        let set = |faults: &[_]| [&self.both, &self.once].iter().for_each(|chain| chain.service.set(faults));
        stage.phase("rides are ordered", WELL).await;
        set(&[(None, Effect::Refusing(1.0))]);
        stage.phase("the service answers 503", REFUSING).await;
        set(&[]);
        stage.phase("the service is well again", AFTER).await;
    }

    fn figures(&self, _: &Stage) -> Vec<Figure> {
        let of = |side: &'static str, chain: &Chain| {
            let edge = chain.balancer.tally();
            let factor = edge.attempts() as f64 / edge.calls().max(1) as f64;
            [
                Figure::new("most requests of one person", side, most(chain), "requests"),
                Figure::new("requests for each at the balancer, over all", side, factor, "requests"),
                Figure::new("requests at the service", side, chain.service.requests() as f64, "requests"),
                Figure::new("people who got a ride", side, chain.people.tally().goodput(), "share"),
            ]
        };
        [of("both retry", &self.both), of("only people retry", &self.once)].concat()
    }

    fn expectations(&self, _: &Stage, seen: &Seen) -> Vec<Expectation> {
        let edge = seen.extremes(OPERATION, BALANCER).amplification;
        let storm = seen.headline(OPERATION, &[Storm, Stuck]);
        let found = storm.map_or_else(|| format!("it said {}", words(seen)), |said| said.sentence.clone());
        let tamed = seen.extremes("rides_2.order", "balancer-2").amplification;
        let times = |factor: f64| format!("×{factor:.1}");
        let asked = |chain: &Chain| format!("{} requests", most(chain));
        let (taps, all) = (f64::from(TAPS), f64::from(TAPS * SENDS));
        vec![
            // Where a window begins in the middle of a call, its retries stand without their first try.
            Expectation::new("×6 at the balancer's edge", (5.5..7.5).contains(&edge), times(edge)),
            Expectation::new(format!("STORM on {OPERATION}"), storm.is_some(), found),
            Expectation::new("30 requests of one person", most(&self.both) == all, asked(&self.both)),
            Expectation::new(
                "with retries at one layer only, 5 of one person and ×1 at the edge",
                most(&self.once) == taps && tamed < 1.05,
                format!("{}, {}", asked(&self.once), times(tamed)),
            ),
        ]
    }
}

fn most(chain: &Chain) -> f64 {
    chain.service.most_for_one_person() as f64
}
