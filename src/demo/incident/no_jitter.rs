//! `no-jitter`: a thousand clients lose their sessions in one moment and come back to a service that can take a hundred a
//! second: without jitter all of them again and again together. The same thousand, one mode of jitter after the other,
//! each with a service of its own.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Ground, Incident, millis, words};
use crate::{
    clock,
    demo::{
        DemoError, Plan,
        lab::{Capacity, Effect},
        random,
        report::{Expectation, Figure},
        scaled,
        seen::Seen,
        stage::Stage,
        traffic::{Caller, Guarding, Manner, Service, all_within, post},
    },
    metrics::{
        scrape::Target,
        signals::VerdictKind::{Storm, Stuck},
    },
    resilience::backoff::{Backoff, Jitter},
};

/// Clients at a time factor of 1; with a smaller one there are as many fewer, and all is over as much sooner.
const CLIENTS: f64 = 1_000.0;
/// In real time, a hundred a second: so many slots for a thousand clients, and a queue as long.
const SLOTS: f64 = 10.0;
const A_SECOND: f64 = 100.0;
/// The longest that a mode may take, in the scenario's time, and the wait between two.
const LONGEST: Duration = Duration::from_secs(45);
const PAUSE: Duration = Duration::from_secs(2);
/// All fail within this.
const TOGETHER: Duration = millis(50);
/// The time the service needs for all of them.
const CAP: Duration = Duration::from_secs(10);
const BASE: Duration = millis(100);

/// The modes, worst last: what is measured of the others is not disturbed by it.
const MODES: [(&str, &str, &str, Jitter); 4] = [
    ("full", "clients-full", "sessions_full.open", Jitter::Full),
    ("equal", "clients-equal", "sessions_equal.open", Jitter::Equal),
    ("decorrelated", "clients-decorrelated", "sessions_decorrelated.open", Jitter::Decorrelated),
    ("none", "clients-none", "sessions.open", Jitter::None),
];
const NONE: usize = 3;

/// A thousand clients of one mode.
struct Crowd {
    caller: Arc<Caller>,
    service: Service,
    /// When they failed, and when the last one was back.
    went: Mutex<Option<(Instant, Option<Instant>)>>,
}

/// One crowd for each mode.
pub(super) struct NoJitter {
    crowds: Vec<Crowd>,
    clients: usize,
    plan: Plan,
    tracker: TaskTracker,
    cancel: CancellationToken,
}

impl NoJitter {
    pub(super) async fn set_up(ground: &Ground<'_>) -> Result<Self, DemoError> {
        let Ground { plan, tracker, cancel, .. } = *ground;
        let slots = (SLOTS * plan.time_factor).round().clamp(1.0, SLOTS);
        let service = Duration::from_secs_f64(slots / A_SECOND);
        let capacity = Capacity { slots: slots as usize, service, queue: slots as usize };
        let mut crowds = Vec::new();
        for (part, (_, name, operation, jitter)) in (40..).zip(MODES) {
            let service = Service::start(capacity, &[], random(plan, part), tracker, cancel).await?;
            let backoff = Backoff { base: scaled(plan, BASE), cap: scaled(plan, CAP), jitter };
            let manner = [(operation, Manner::unprotected(1_000, backoff, Duration::from_secs(5)))];
            let own = random(plan, 10 + part);
            let caller = Caller::start(name, &manner, Guarding::Plain, own, tracker, cancel).await?;
            crowds.push(Crowd { caller, service, went: Mutex::default() });
        }
        // At least enough that the service needs a while for them.
        let clients = (CLIENTS * plan.time_factor).round().clamp(50.0, CLIENTS) as usize;
        let (tracker, cancel) = (tracker.clone(), cancel.clone());
        Ok(Self { crowds, clients, plan: plan.clone(), tracker, cancel })
    }

    /// All clients fail in one moment, and are waited for.
    async fn come_back(&self, crowd: &Crowd, stage: &Stage) {
        let Crowd { caller, service, went } = crowd;
        let operation = MODES.iter().find(|mode| mode.1 == caller.name).map_or("", |mode| mode.2);
        let url = service.url(operation);
        let calls = (0..self.clients).map(|client| {
            let (caller, url, name) = (Arc::clone(caller), url.clone(), format!("client-{client}"));
            async move {
                caller.call(0, |_| post(&caller.client, &url, &name)).await;
            }
        });
        service.set(&[(None, Effect::Refusing(1.0))]);
        all_within(stage.real(TOGETHER), random(&self.plan, 60), &self.tracker, &self.cancel, calls);
        let patience = stage.patience(LONGEST);
        let began = clock::instant();
        // Each is refused once at least.
        while service.requests() < self.clients as u64 && patience.soon().await {}
        service.set(&[]);
        *went.lock().unwrap_or_else(PoisonError::into_inner) = Some((began, None));
        while caller.tally().calls() < self.clients && patience.again().await {}
        if caller.tally().calls() == self.clients {
            let back = Some(clock::instant());
            *went.lock().unwrap_or_else(PoisonError::into_inner) = Some((began, back));
        }
    }

    fn seconds(&self, crowd: &Crowd, stage: &Stage) -> Option<f64> {
        let went = *crowd.went.lock().unwrap_or_else(PoisonError::into_inner);
        let (began, back) = went?;
        Some(stage.scenario(back?.duration_since(began)))
    }

    fn calls_for_each_back(&self) -> Vec<f64> {
        let of = |crowd: &Crowd| {
            let back = crowd.caller.tally().calls().max(1);
            crowd.service.requests() as f64 / back as f64
        };
        self.crowds.iter().map(of).collect()
    }
}

#[async_trait]
impl Incident for NoJitter {
    fn targets(&self) -> Result<Vec<Target>, DemoError> {
        self.crowds.iter().map(|crowd| crowd.caller.target()).collect()
    }

    async fn play(&self, stage: &Stage) {
        let phases = ["full jitter", "equal jitter", "decorrelated jitter", "no jitter"];
        stage.phase("a thousand sessions are open", PAUSE).await;
        for (phase, crowd) in phases.into_iter().zip(&self.crowds) {
            stage.begin(phase);
            self.come_back(crowd, stage).await;
            clock::sleep(stage.real(PAUSE)).await;
        }
    }

    fn figures(&self, stage: &Stage) -> Vec<Figure> {
        let mut figures = vec![Figure::new("clients", "", self.clients as f64, "clients")];
        for ((side, ..), crowd) in MODES.into_iter().zip(&self.crowds) {
            let calls = crowd.service.requests() as f64;
            figures.push(Figure::new("calls until then", side, calls, "calls"));
        }
        for ((side, ..), crowd) in MODES.into_iter().zip(&self.crowds) {
            let back = self.seconds(crowd, stage).unwrap_or(LONGEST.as_secs_f64());
            figures.push(Figure::new("the last client was back, or was given up, after", side, back, "s"));
        }
        for ((side, ..), crowd) in MODES.into_iter().zip(&self.crowds) {
            let back = crowd.caller.tally().calls() as f64 / self.clients as f64;
            figures.push(Figure::new("back by then", side, back.min(1.0), "share"));
        }
        figures
    }

    fn expectations(&self, stage: &Stage, seen: &Seen) -> Vec<Expectation> {
        let storm = seen.headline(MODES[NONE].2, &[Storm, Stuck]);
        let found = storm.map_or_else(|| format!("it said {}", words(seen)), |said| said.sentence.clone());
        let for_each = self.calls_for_each_back();
        let back: Vec<f64> =
            self.crowds.iter().map(|crowd| self.seconds(crowd, stage).unwrap_or(f64::INFINITY)).collect();
        let least = |all: &[f64]| all.iter().copied().fold(f64::INFINITY, f64::min);
        let shown = |all: &[f64], unit: &str| {
            let sides = MODES.iter().zip(all).map(|((side, ..), value)| format!("{side} {value:.1}{unit}"));
            sides.collect::<Vec<_>>().join(", ")
        };
        vec![
            Expectation::new(format!("STORM on {}", MODES[NONE].2), storm.is_some(), found),
            Expectation::new(
                "without jitter there are far more calls for each client that is back",
                for_each[NONE] > 1.5 * for_each[0],
                shown(&for_each, ""),
            ),
            // To a tenth: in the lab, too, equal jitter makes a few calls fewer.
            Expectation::new(
                "full jitter: the fewest calls of the four, to a tenth",
                for_each[0] <= 1.1 * least(&for_each),
                shown(&for_each, ""),
            ),
            // To a quarter: who is the last is luck, and decorrelated jitter is as early on average.
            Expectation::new(
                "full jitter: the earliest finish of the four, to a quarter",
                back[0] <= 1.25 * least(&back) && back[0] < back[NONE],
                shown(&back, " s"),
            ),
        ]
    }
}
