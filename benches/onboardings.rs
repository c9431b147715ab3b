//! How many onboardings a second the engine takes through eight states whose upstreams do nothing, and what each costs
//! the database. `cargo bench --bench onboardings`; it takes a minute or two.
//!
//! Postgres is the server of `REDRIVE_TEST_POSTGRES`, in databases of the bench's own that it drops again, else a private
//! one if Postgres is installed, which does not wait for its disk (`fsync=off`), so that the engine is measured and not
//! the disk.
//!
//! - **A second:** real workers with the usual configuration, each with connections of its own, all in this process.
//!   Everything is triggered before. The first and the last tenth to end are left out; of three runs, which take turns,
//!   the median. With two cores for workers and server together, more workers cannot do twice as much.
//! - **Commits:** transactions that wrote. On Postgres as many as transaction ids were given out (a savepoint that wrote
//!   takes another, so this would show it), on SQLite as many as the log's frames that end a commit. One worker runs one
//!   onboarding after the other, so that each is claimed by itself. A worker's first sign of life and its goodbye are
//!   subtracted, triggers come before, nothing is renewed, and pacing and steering only read. Exact on any machine whose
//!   server nobody else uses.
//! - **WAL bytes:** in the same run, on Postgres how far the log's position moved, on SQLite the frames with their headers.
//!   Commits and bytes are the least of three runs, because what else a server does only adds. Page splits and the server's
//!   own housekeeping make them differ by some hundredths.
//! - **Take-over:** from the moment at which a worker is killed in the middle of a state, with a lease of 1 s, until
//!   another has run that state. The longest of several, killed at different ages of the lease.
#![allow(clippy::unwrap_used, reason = "a panic is how a bench fails")]

use std::{sync::Arc, time::Duration};

use redrive::{
    clock, config,
    engine::store::Store,
    store::{OpenOptions, migrate, open},
};
use sqlx::{Connection, PgConnection};

#[path = "../tests/suite/support/leash.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod leash;
#[path = "../tests/suite/engine/noop.rs"]
mod noop;
#[path = "../tests/suite/support/postgres.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod postgres;
#[path = "../tests/suite/support/wal.rs"]
mod wal;

use noop::Noop;

const STATES: f64 = 8.0;
/// Onboardings a run.
const MANY: usize = 500;
/// Onboardings whose commits are counted.
const COUNTED: usize = 50;
const ROUNDS: usize = 3;
/// A worker's first sign of life, and its goodbye.
const HELLO_AND_GOODBYE: usize = 2;
/// How old a lease is when its worker is killed. The second was renewed once, the last twice.
const KILLED_AFTER: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(350),
    Duration::from_millis(600),
    Duration::from_millis(900),
];

/// An empty database, gone with this value.
enum Place {
    Sqlite(tempfile::TempDir),
    Postgres(postgres::TestDatabase),
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Sqlite,
    Postgres,
}

impl Place {
    async fn of(kind: Kind) -> Self {
        match kind {
            Kind::Postgres => Self::Postgres(postgres::database().await),
            Kind::Sqlite => {
                let place = Self::Sqlite(tempfile::tempdir().unwrap());
                migrate(&place.url()).await.unwrap();
                place
            }
        }
    }

    fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite:{}", folder.path().join("onboardings.db").display()),
            Self::Postgres(database) => database.url.clone(),
        }
    }

    /// Opened once for each of so many workers.
    async fn stores(&self, workers: usize) -> Vec<Arc<dyn Store>> {
        let mut stores = Vec::new();
        for _ in 0..workers {
            stores.push(open(&self.url(), OpenOptions::default()).await.unwrap().store);
        }
        stores
    }
}

fn median(of: &[f64]) -> f64 {
    let mut of = of.to_vec();
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

/// Onboardings a second.
async fn speed(kind: Kind, workers: usize) -> f64 {
    let place = Place::of(kind).await;
    let stores = place.stores(workers).await;
    noop::trigger(&*stores[0], MANY).await;
    let noop = Noop::of(MANY);
    noop::gone_home(noop::hire(&stores, &config::Engine::default(), &noop)).await;
    let lasts = noop.lasts();
    let (from, to) = (MANY / 10, MANY - MANY / 10);
    (to - from) as f64 / (lasts[to] - lasts[from]).as_secs_f64()
}

/// What one onboarding costs.
#[derive(Clone, Copy)]
struct Cost {
    commits: f64,
    bytes: f64,
}

async fn cost(kind: Kind) -> Cost {
    let place = Place::of(kind).await;
    let mut least = Cost { commits: f64::INFINITY, bytes: f64::INFINITY };
    for _ in 0..ROUNDS {
        let stores = place.stores(1).await;
        noop::trigger(&*stores[0], COUNTED).await;
        let noop = Noop::of(COUNTED);
        let all = async {
            noop::gone_home(noop::hire(&stores, &noop::quiet(1), &noop)).await;
        };
        let (commits, bytes) = match &place {
            Place::Sqlite(folder) => {
                let since = wal::Since::now(&folder.path().join("onboardings.db")).await;
                all.await;
                let written = since.written().await;
                (written.commits as f64, written.bytes as f64)
            }
            Place::Postgres(database) => {
                let before = settled(&database.url).await;
                all.await;
                let after = position(&database.url).await;
                ((after.0 - before.0) as f64, (after.1 - before.1) as f64)
            }
        };
        let commits = (commits - HELLO_AND_GOODBYE as f64) / COUNTED as f64;
        least = Cost { commits: least.commits.min(commits), bytes: least.bytes.min(bytes / COUNTED as f64) };
    }
    least
}

/// The next transaction id and the log's position, of the whole server.
async fn position(url: &str) -> (i64, i64) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    // What a snapshot says of the next id gives none out.
    let select = "SELECT CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint), \
        CAST(pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') AS bigint)";
    let position = sqlx::query_as(select).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    position
}

/// Whether anybody else is at work on the server.
async fn is_shared(url: &str) -> bool {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let select = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid())";
    let shared = sqlx::query_scalar(select).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    shared
}

/// The position, once workers were told of what was triggered and nothing has been written for a while.
async fn settled(url: &str) -> (i64, i64) {
    let mut before = position(url).await;
    for _ in 0..20 {
        clock::sleep(Duration::from_millis(200)).await;
        let now = position(url).await;
        if now == before {
            break;
        }
        before = now;
    }
    before
}

/// The longest that work stood still after its worker was killed.
async fn take_over(kind: Kind) -> Duration {
    let place = Place::of(kind).await;
    let stores = place.stores(2).await;
    let lease = Duration::from_secs(1);
    let config = config::Engine { lease, ..config::Engine::default() };
    let mut longest = Duration::ZERO;
    for age in KILLED_AFTER {
        noop::trigger(&*stores[0], 1).await;
        let noop = Noop::hanging(1, 1);
        let doomed = noop::hire(&stores[..1], &config, &noop);
        noop.hangs().await;
        let other = noop::hire(&stores[1..], &config, &noop);
        clock::sleep(age).await;
        // Its tasks go with it, at once and without a goodbye.
        drop(doomed);
        let killed = clock::instant();
        noop::gone_home(other).await;
        longest = longest.max(noop.firsts()[0] - killed);
    }
    longest
}

#[tokio::main]
async fn main() {
    let kinds = match postgres::found() {
        Some(_) => vec![Kind::Postgres, Kind::Sqlite],
        None => {
            println!("SQLite only: there is no REDRIVE_TEST_POSTGRES, and no Postgres could be started");
            vec![Kind::Sqlite]
        }
    };
    let mut rows: Vec<(Kind, usize, Vec<f64>)> = Vec::new();
    for kind in &kinds {
        // A file has one writer: more workers would only take turns.
        let crews: &[usize] = if *kind == Kind::Postgres { &[1, 2, 4] } else { &[1] };
        rows.extend(crews.iter().map(|workers| (*kind, *workers, Vec::new())));
    }
    for _ in 0..ROUNDS {
        for (kind, workers, speeds) in &mut rows {
            speeds.push(speed(*kind, *workers).await);
        }
    }
    println!("{:<22} {:>14} {:>10} {:>10}", "eight no-op states", "onboardings/s", "states/s", "× 1 worker");
    let mut alone = f64::NAN;
    for (kind, workers, speeds) in &rows {
        let speed = median(speeds);
        if *workers == 1 {
            alone = speed;
        }
        let what = format!("{}, {workers} worker{}", name(*kind), if *workers == 1 { "" } else { "s" });
        println!("{what:<22} {speed:>14.1} {:>10.0} {:>10.2}", speed * STATES, speed / alone);
    }
    println!("{:<22} {:>14} {:>10} {:>10}", "an onboarding costs", "commits", "WAL bytes", "a state");
    if let Some(url) = postgres::found()
        && is_shared(url).await
    {
        println!("others use the Postgres server too: what they write is counted with it");
    }
    for kind in &kinds {
        let Cost { commits, bytes } = cost(*kind).await;
        println!("{:<22} {commits:>14.2} {bytes:>10.0} {:>10.0}", name(*kind), bytes / STATES);
    }
    println!("{:<22} {:>14}", "killed, lease 1 s", "taken over in");
    for kind in &kinds {
        println!("{:<22} {:>12.2} s", name(*kind), take_over(*kind).await.as_secs_f64());
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Sqlite => "SQLite",
        Kind::Postgres => "Postgres",
    }
}
