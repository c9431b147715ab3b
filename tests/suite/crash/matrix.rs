//! The crash matrix: every state, five moments, both ways, both databases, each by `kill -9` of a process.

use std::{collections::BTreeMap, fmt, io::Write as _, panic::AssertUnwindSafe, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _};
use redrive::{
    demo::upstreams::fault::{Mode, Trouble},
    domain::{
        id::OnboardingId,
        onboarding::{Phase, State},
    },
};

use super::{
    audit::{End, complaints},
    world::{On, World},
};
use crate::support::{place::PATIENCE, proxy::Proxy, wait::eventually};

/// Cells under way at once: each is a process and two workers' worth of waiting.
const AT_ONCE: usize = 8;
/// Seeds of the long run.
const SEEDS: u64 = 20;
/// So long that nothing ends by itself: a test says when a lease is over.
const LEASE: Duration = Duration::from_secs(60);

/// When the process dies, as seen from a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    BeforeIntent,
    AfterIntent,
    AfterCall,
    AfterRecord,
    InCommit,
}

impl Moment {
    const ALL: [Self; 5] =
        [Self::BeforeIntent, Self::AfterIntent, Self::AfterCall, Self::AfterRecord, Self::InCommit];
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BeforeIntent => "before the intent commits",
            Self::AfterIntent => "after it",
            Self::AfterCall => "after the call, before its record",
            Self::AfterRecord => "after the record",
            Self::InCommit => "during the commit",
        })
    }
}

/// Which way it goes on after the crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Forward,
    Back,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cell {
    state: State,
    moment: Moment,
    way: Way,
}

impl Cell {
    fn all() -> impl Iterator<Item = Self> {
        State::FORWARD.into_iter().chain([State::RollingBack]).flat_map(|state| {
            Moment::ALL
                .into_iter()
                .flat_map(move |moment| [Way::Forward, Way::Back].map(|way| Self { state, moment, way }))
        })
    }

    /// Why there is no such cell.
    fn cannot_be(self) -> Option<&'static str> {
        (self.state == State::RollingBack && self.way == Way::Forward)
            .then_some("once a roll-back has begun, nothing goes forward again")
    }

    /// What the victim is told to do. `seed` chooses the compensation it dies at.
    fn fault(self, on: On, seed: u64) -> String {
        let state = self.state;
        if state == State::RollingBack {
            let nth = seed % 3 + 1;
            return match (self.moment, on) {
                (Moment::BeforeIntent, _) => "claim.before=crash".to_owned(),
                (Moment::AfterIntent, _) => format!("{state}.before=crash@{nth}"),
                (Moment::AfterCall, _) => format!("{state}.after=crash@{nth}"),
                (Moment::AfterRecord, _) => format!("record:{state}.after=crash@{}", seed % 4 + 1),
                (Moment::InCommit, On::Sqlite) => format!("record:{state}.commit=crash@{}", seed % 4 + 1),
                (Moment::InCommit, On::Postgres) => format!("{state}.after=stop@{nth}"),
            };
        }
        let before = State::FORWARD.iter().position(|s| *s == state).and_then(|at| at.checked_sub(1));
        match (self.moment, on, before.map(|at| State::FORWARD[at])) {
            (Moment::BeforeIntent, _, None) => "claim.before=crash".to_owned(),
            (Moment::BeforeIntent, _, Some(before)) => format!("record:{before}.before=crash"),
            (Moment::AfterIntent, ..) => format!("{state}.before=crash"),
            (Moment::AfterCall, ..) => format!("{state}.after=crash"),
            (Moment::AfterRecord, ..) => format!("record:{state}.after=crash"),
            (Moment::InCommit, On::Sqlite, _) => format!("record:{state}.commit=crash"),
            (Moment::InCommit, On::Postgres, _) => format!("{state}.after=stop"),
        }
    }
}

/// What else goes wrong on the way: the upstreams' own troubles, other with every seed.
fn trouble(world: &World, seed: u64) {
    let faults = &world.upstreams.faults;
    match seed % 5 {
        1 => faults.set("github.create_hook", Trouble::next(Mode::Unavailable, 1)),
        2 => faults.set("tfc.create_notification", Trouble::next(Mode::LostReply, 1)),
        3 => faults.set("github", Trouble { latency_ms: 15, ..Trouble::default() }),
        4 => faults.set("github.create_hook", Trouble::next(Mode::LostReply, 1)),
        _ => {}
    }
}

/// One cell: everything that is not as it has to be.
async fn run(cell: Cell, on: On, seed: u64) -> Vec<String> {
    let world = World::on(on, seed).await;
    let id = world.trigger("payments").await;
    if cell.state == State::RollingBack {
        let first = world.heir("first", LEASE).await;
        world.until(&id, Phase::Completed).await;
        world.part_with(first).await;
        world.roll_back(&id).await.expect("what is completed can be rolled back");
    }
    trouble(&world, seed);
    die(&world, cell, on, seed, &id).await;
    world.lease_is_over().await;
    let end = match cell.way {
        Way::Forward => End::Completed,
        Way::Back => End::RolledBack,
    };
    if cell.way == Way::Back && cell.state != State::RollingBack {
        world.roll_back(&id).await.expect("it can be rolled back, wherever it stands");
    }
    let _heir = world.heir("heir", LEASE).await;
    let phase = if end == End::Completed { Phase::Completed } else { Phase::RolledBack };
    world.until(&id, phase).await;
    let mut found = complaints(&world, &id, end).await;
    // Once more changes nothing.
    let (before, effects) = (world.store.everything().await, world.upstreams.ledger.entries().len());
    assert_eq!(world.store.claim("again", 10).await, [], "nothing is due");
    let again = match end {
        End::Completed => world.trigger("payments").await == id,
        End::RolledBack => world.roll_back(&id).await.is_err(),
    };
    let actions = |all: &str| {
        all.lines().filter(|line| !line.starts_with("operator_action")).collect::<Vec<_>>().join("\n")
    };
    if !again
        || actions(&world.store.everything().await) != actions(&before)
        || world.upstreams.ledger.entries().len() != effects
    {
        found.push("running it again changed something".to_owned());
    }
    found
}

async fn die(world: &World, cell: Cell, on: On, seed: u64, id: &OnboardingId) {
    let fault = cell.fault(on, seed);
    let lease = format!("{}s", LEASE.as_secs());
    if (cell.moment, on) != (Moment::InCommit, On::Postgres) {
        return world.victim("victim", &world.store.url, &lease, &[&fault]).dies().await;
    }
    // On Postgres the commit is done by the server: its answer is swallowed, and then the process dies.
    let (before, rest) = world.store.url.split_once('@').expect("a host in the URL");
    let (server, database) = rest.split_once('/').expect("a database in the URL");
    let wire = Proxy::to(server);
    let url = format!("{before}@{}/{database}", wire.address);
    let victim = world.victim("victim", &url, &lease, &[&fault]);
    victim.stands_still().await;
    wire.swallow_commit_of(id.as_str());
    victim.signal("CONT");
    eventually("the commit's answer is swallowed", PATIENCE, async || wire.was_cut().then_some(())).await;
    victim.signal("KILL");
}

async fn matrix(on: On, seeds: u64) {
    let real = Cell::all().filter(|cell| cell.cannot_be().is_none());
    let runs: Vec<(Cell, u64)> = real.flat_map(|cell| (0..seeds).map(move |seed| (cell, seed))).collect();
    let total = runs.len();
    let mut broken: BTreeMap<Cell, Vec<String>> = BTreeMap::new();
    let mut running = futures_util::stream::iter(runs)
        .map(|(cell, seed)| async move {
            let ran = AssertUnwindSafe(run(cell, on, seed)).catch_unwind().await;
            (cell, seed, ran.unwrap_or_else(|_| vec!["it did not come to its end, see above".to_owned()]))
        })
        .buffer_unordered(AT_ONCE);
    while let Some((cell, seed, complaints)) = running.next().await {
        broken
            .entry(cell)
            .or_default()
            .extend(complaints.into_iter().map(|said| format!("seed {seed}: {said}")));
    }
    // Past the capture of test output: the table is what this test is read for.
    let _ = std::io::stderr().write_all(table(on, seeds, total, &broken).as_bytes());
    let broken: Vec<String> = broken
        .into_iter()
        .filter(|(_, said)| !said.is_empty())
        .map(|(cell, said)| format!("{cell:?}:\n  {}", said.join("\n  ")))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The matrix as people read it.
fn table(on: On, seeds: u64, total: usize, broken: &BTreeMap<Cell, Vec<String>>) -> String {
    let mark = |cell: Cell| match (cell.cannot_be(), broken.get(&cell)) {
        (Some(_), _) => "n/a",
        (None, Some(said)) if said.is_empty() => "ok",
        _ => "BROKEN",
    };
    let mut text =
        format!("\ncrash matrix on {on:?}, {seeds} seed(s), {total} kills; forward / back\n{:<18}", "");
    for moment in Moment::ALL {
        text.push_str(&format!("{:<36}", moment.to_string()));
    }
    for state in State::FORWARD.into_iter().chain([State::RollingBack]) {
        text.push_str(&format!("\n{:<18}", state.as_str()));
        for moment in Moment::ALL {
            let [forward, back] = [Way::Forward, Way::Back].map(|way| mark(Cell { state, moment, way }));
            text.push_str(&format!("{:<36}", format!("{forward} / {back}")));
        }
    }
    let why = Cell::all().find_map(Cell::cannot_be).unwrap_or_default();
    text.push_str(&format!("\nn/a: {why}\n"));
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_anywhere_it_is_finished_or_undone_by_another_on_sqlite() {
    matrix(On::Sqlite, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_anywhere_it_is_finished_or_undone_by_another_on_postgres() {
    matrix(On::Postgres, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: twenty seeds"]
async fn killed_anywhere_with_twenty_seeds_on_sqlite() {
    matrix(On::Sqlite, SEEDS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: twenty seeds"]
async fn killed_anywhere_with_twenty_seeds_on_postgres() {
    matrix(On::Postgres, SEEDS).await;
}
