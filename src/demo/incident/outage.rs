//! `outage`: GitHub's hooks and some of its look-ups answer 503, and all of it slows down, for 90 s; then it recovers.
//! Two callers share it: `legacy-crm`, which retries at once and makes a storm of it, and our worker, whose circuit
//! opens and whose onboardings are parked. `calm` is the same with nothing wrong.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;

use super::{Ground, Incident, listed, words};
use crate::{
    clock,
    demo::{
        DemoError, LEGACY, Scenario, WORKER,
        legacy::{self, OPERATION},
        report::{Expectation, Figure},
        seen::Seen,
        stage::{Operator, Stage},
        upstreams::{
            fault::{Faults, Mode, Trouble},
            ledger::Ledger,
        },
    },
    domain::{circuit::CircuitState, id::ActionId, letter::LetterStatus},
    engine::{
        Engine,
        command::{Asker, Command, Elsewhere, Pace, Submission, Target as Aim},
        reader::{LetterRow, List, Query, Rows},
        store::StoreError,
    },
    metrics::{
        scrape::Target,
        signals::VerdictKind::{Calm, Storm, Stuck, Unknown},
    },
};

/// How long everything is well at first.
const WELL: Duration = Duration::from_secs(16);
/// How long the outage lasts.
const OUTAGE: Duration = Duration::from_secs(90);
/// The longest that circuits take to close and parked work to come back.
const RECOVERY: Duration = Duration::from_secs(180);
/// The longest that letters take to be replayed.
const CLEARING: Duration = Duration::from_secs(180);
/// How long it is watched after that.
const AFTER: Duration = Duration::from_secs(60);
/// How long nothing goes wrong.
const QUIET: Duration = Duration::from_secs(120);
/// How many an operator resumes before the rest is replayed.
const TRIED: usize = 3;
/// How fast the rest is.
const PACE: Pace = Pace { per_second: 20.0, refail_limit: 0.5 };
/// What errors say that the trouble left.
const TROUBLE: &str = "503";

/// The places that are troubled.
const PLACES: [&str; 3] = [OPERATION, "github.repository", "github"];

/// What is troubled, and who acts.
pub(in crate::demo) struct Outage {
    legacy: SocketAddr,
    faults: Arc<Faults>,
    ledger: Arc<Ledger>,
    engine: Engine,
    happens: bool,
    cleared: AtomicBool,
    resumed: AtomicU64,
    replayed: AtomicU64,
}

/// What an operator does next.
enum Advised {
    Wait,
    Do(Command),
}

/// Troubles GitHub from now on: hooks are down but for a few lucky calls; reading is slow, which is where it first shows.
pub(in crate::demo) fn begin(faults: &Faults, outage: Duration) {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let hooks = Trouble {
        share: 0.97,
        latency_ms: millis(outage.mul_f64(0.004)),
        ..Trouble::always(Mode::Unavailable)
    };
    faults.set(OPERATION, hooks);
    // A look-up has one attempt only: what it loses becomes a letter at once.
    faults.set("github.repository", Trouble { share: 0.3, ..Trouble::always(Mode::Unavailable) });
    faults.set("github", Trouble { latency_ms: millis(outage.mul_f64(0.002)), ..Trouble::default() });
}

/// Well, troubled, well again.
pub(in crate::demo) async fn troubles(faults: &Faults, stage: &Stage) {
    stage.phase("everything is well", WELL).await;
    begin(faults, stage.real(OUTAGE));
    stage.phase("GitHub answers 503 and is slow", OUTAGE).await;
    PLACES.iter().for_each(|place| faults.clear(place));
    stage.begin("GitHub is well again");
}

impl Outage {
    pub(in crate::demo) async fn set_up(ground: &Ground<'_>) -> Result<Self, DemoError> {
        let Ground { plan, engine, stand_ins, tracker, cancel, .. } = *ground;
        Ok(Self {
            legacy: legacy::start(stand_ins, plan, tracker, cancel).await?,
            faults: Arc::clone(&stand_ins.faults),
            ledger: Arc::clone(&stand_ins.ledger),
            engine: engine.clone(),
            happens: plan.scenario == Scenario::Outage,
            cleared: AtomicBool::new(false),
            resumed: AtomicU64::new(0),
            replayed: AtomicU64::new(0),
        })
    }

    /// Does what the dashboard advises, until nothing is left to do.
    async fn clear(&self, stage: &Stage) {
        stage.begin("an operator resumes a few and replays the rest");
        let (mut resumed, patience) = (false, stage.patience(CLEARING));
        while patience.again().await {
            match self.advised(resumed).await {
                Ok(None) => return self.cleared.store(true, Ordering::Relaxed),
                Ok(Some(Advised::Wait)) => {}
                Ok(Some(Advised::Do(command))) => {
                    resumed = true;
                    self.submit(command).await;
                }
                Err(error) => tracing::warn!(%error, "the board cannot be read"),
            }
        }
    }

    /// What is to be asked for now: first a few are resumed, as an operator would try it, then the rest is replayed.
    /// `None` when nothing that GitHub's trouble left is there any more.
    async fn advised(&self, resumed: bool) -> Result<Option<Advised>, StoreError> {
        let reader = self.engine.reader();
        let query = |list| Query { list, limit: 1_000, ..Query::default() };
        let board = reader.read(&query(List::Letters { group: None })).await?;
        let Rows::Letters(letters) = &board.rows else { return Ok(None) };
        let left = |letter: &&LetterRow| {
            let standing = matches!(letter.status, LetterStatus::Open | LetterStatus::Replaying);
            standing && letter.error.as_str().contains(TROUBLE)
        };
        let letters: Vec<&LetterRow> = letters.iter().filter(left).collect();
        if letters.is_empty() && board.counts.parked.0 == 0 {
            return Ok(None);
        }
        let open = letters.iter().filter(|letter| letter.status == LetterStatus::Open);
        if !resumed {
            let aim = |letter: &&LetterRow| Aim { id: letter.onboarding.clone(), seen: None };
            let onboardings: Vec<_> = open.take(TRIED).map(aim).collect();
            let resume = Command::Resume { onboardings, elsewhere: Elsewhere::Leave };
            return Ok(Some(Advised::Do(resume)));
        }
        let aims: Vec<_> = open.map(|letter| Aim { id: letter.id.clone(), seen: None }).collect();
        let busy = board.replays.iter().any(|replay| replay.ended_at.is_none());
        Ok(Some(match busy || aims.is_empty() {
            true => Advised::Wait,
            false => Advised::Do(Command::Replay { letters: aims, pace: PACE }),
        }))
    }

    async fn submit(&self, command: Command) {
        let (counted, aims) = match &command {
            Command::Resume { onboardings, .. } => (&self.resumed, onboardings.len()),
            Command::Replay { letters, .. } => (&self.replayed, letters.len()),
            _ => return,
        };
        if aims == 0 {
            return;
        }
        counted.fetch_add(aims as u64, Ordering::Relaxed);
        let submission = Submission {
            action: ActionId(clock::new_id()),
            asker: Asker::Operator("demo".to_owned()),
            reason: Some("GitHub is well again".to_owned()),
            command,
        };
        if let Err(refusal) = self.engine.submit(&submission).await {
            tracing::warn!(%refusal, "the demo's operator was refused");
        }
    }

    /// Whether our circuits have closed and what they parked has come back.
    async fn recovered(&self) -> bool {
        match self.engine.reader().read(&Query::default()).await {
            Ok(board) => {
                board.counts.parked.0 == 0
                    && board.circuits.iter().all(|circuit| circuit.state == CircuitState::Closed)
            }
            Err(_) => false,
        }
    }
}

#[async_trait]
impl Incident for Outage {
    fn targets(&self) -> Result<Vec<Target>, DemoError> {
        Ok(vec![Target::parse(&format!("http://{}/metrics", self.legacy))?.named(LEGACY)])
    }

    async fn play(&self, stage: &Stage) {
        if !self.happens {
            return stage.phase("everything is well", QUIET).await;
        }
        troubles(&self.faults, stage).await;
        if stage.operator == Operator::Played {
            let patience = stage.patience(RECOVERY);
            while !self.recovered().await && patience.again().await {}
            self.clear(stage).await;
            stage.phase("the board is clear", AFTER).await;
        }
    }

    fn figures(&self, _: &Stage) -> Vec<Figure> {
        let [theirs, ours] = legacy::sent(&self.ledger);
        let counts = self.ledger.counts();
        let mut figures = vec![
            Figure::new("hooks asked for", LEGACY, theirs.0 as f64, "requests"),
            Figure::new("hooks asked for", WORKER, ours.0 as f64, "requests"),
            Figure::new("of which failed", LEGACY, theirs.1 as f64, "requests"),
            Figure::new("of which failed", WORKER, ours.1 as f64, "requests"),
            Figure::new("hooks that stand", "", counts.hooks as f64, ""),
        ];
        if self.happens {
            let of = |counted: &AtomicU64| counted.load(Ordering::Relaxed) as f64;
            figures.push(Figure::new("resumed as advised", "", of(&self.resumed), "onboardings"));
            figures.push(Figure::new("replayed as advised", "", of(&self.replayed), "letters"));
        }
        figures
    }

    fn expectations(&self, _: &Stage, seen: &Seen) -> Vec<Expectation> {
        if !self.happens {
            let quiet = !seen.words().iter().any(|word| !matches!(word, Calm | Unknown));
            return vec![Expectation::new("calm from beginning to end", quiet, words(seen))];
        }
        let storm = seen.headline(OPERATION, &[Storm, Stuck]);
        let mostly = storm.and_then(|storm| storm.callers.first());
        let from = mostly.map_or_else(|| "nobody".to_owned(), |(name, share)| format!("{name} {share:.2}"));
        let circuit = seen.circuit(OPERATION);
        let (opened, half) =
            (circuit.contains(&CircuitState::Open), circuit.contains(&CircuitState::HalfOpen));
        let closed = circuit.last() == Some(&CircuitState::Closed);
        let cleared = self.cleared.load(Ordering::Relaxed) && seen.last.parked == 0;
        let left = format!("{} letters, {} parked at the end", seen.last.letters, seen.last.parked);
        vec![
            Expectation::new(format!("STORM on {OPERATION}"), storm.is_some(), words(seen)),
            Expectation::new(
                format!("mostly from {LEGACY}"),
                mostly.is_some_and(|(name, share)| name == LEGACY && *share > 0.5),
                from,
            ),
            Expectation::new("our circuit opens", opened, listed(&circuit)),
            Expectation::new("onboardings are parked", seen.most.parked > 0, seen.most.parked),
            Expectation::new("it probes half open, then closes", opened && half && closed, listed(&circuit)),
            Expectation::new("resume and replay clear what the outage left", cleared, left),
            Expectation::new(
                "it is no storm any more at the end",
                seen.verdicts.last().is_some_and(|said| !matches!(said.verdict, Storm | Stuck)),
                seen.verdicts.last().map_or_else(String::new, |said| said.verdict.to_string()),
            ),
        ]
    }
}
