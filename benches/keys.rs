//! What a key costs: beginning and ending under one beside the bare two statements of the same shape, and replaying a
//! stored answer beside reading a row.
//!
//! `cargo bench --bench keys`, with `REDRIVE_BENCH_POSTGRES=postgres://…` for Postgres (an empty database of a server
//! with its usual settings) and, with `--features redis`, `REDRIVE_BENCH_REDIS=redis://…`. The variants take turns
//! within each round, so that what else the machine does falls on both; ratios are of the medians.

use std::time::Duration;

use redrive::{
    clock,
    engine::key::{Answer, Hold, KeyBegun, KeyEnd, KeyIntent, KeyStore},
    store::{OpenOptions, migrate, open},
};
use sqlx::{
    Connection, Executor, PgConnection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

const ROUNDS: usize = 1_500;
const LEASE: Duration = Duration::from_secs(30);
const BODY: &[u8] = br#"{"id":"ch_7f3a","amount":4200,"currency":"eur","status":"succeeded"}"#;

/// The two statements a service would write by itself: remember the key, then the answer.
const INSERT: &str = "INSERT INTO bare_keys (key, request_hash, status, created_at) VALUES ($1, $2, 'STARTED', $3) \
    ON CONFLICT (key) DO NOTHING";
const UPDATE: &str =
    "UPDATE bare_keys SET status = 'COMPLETED', response_code = $2, response_body = $3 WHERE key = $1";
const SELECT: &str = "SELECT response_body FROM bare_keys WHERE key = $1";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite:{}", folder.path().join("keys.db").display());
    migrate(&url).await?;
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("keys.db"))
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal);
    sqlite(&url, SqliteConnection::connect_with(&options).await?).await?;
    match std::env::var("REDRIVE_BENCH_POSTGRES") {
        Ok(url) => {
            migrate(&url).await?;
            postgres(&url, PgConnection::connect(&url).await?).await?;
        }
        Err(_) => println!("postgres: left out, REDRIVE_BENCH_POSTGRES is not set"),
    }
    #[cfg(feature = "redis")]
    match std::env::var("REDRIVE_BENCH_REDIS") {
        Ok(url) => redis(&url).await?,
        Err(_) => println!("redis: left out, REDRIVE_BENCH_REDIS is not set"),
    }
    Ok(())
}

/// Times of one variant, in microseconds.
#[derive(Default)]
struct Times(Vec<f64>);

impl Times {
    async fn of<T>(&mut self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let began = clock::instant();
        let value = work.await?;
        self.0.push(began.elapsed().as_secs_f64() * 1e6);
        Ok(value)
    }

    fn median(&mut self) -> f64 {
        self.0.sort_by(f64::total_cmp);
        self.0[self.0.len() / 2]
    }
}

fn tell(what: &str, ours: &mut Times, bare: &mut Times, beside: &str) {
    let (ours, bare) = (ours.median(), bare.median());
    println!("{what}: {ours:7.1} µs, {beside} {bare:7.1} µs: {:.2} times", ours / bare);
}

async fn under_a_key(keys: &dyn KeyStore, key: &KeyIntent) -> anyhow::Result<()> {
    let hold = Hold::new("bench", LEASE, LEASE);
    anyhow::ensure!(matches!(keys.begin(key, &hold).await?, KeyBegun::Run(_)), "it was used before");
    let end = KeyEnd::Completed(Answer::new(201, BODY));
    anyhow::ensure!(keys.end(&key.key, &hold, &end).await?, "the lease was lost");
    Ok(())
}

async fn replay(keys: &dyn KeyStore, key: &KeyIntent) -> anyhow::Result<()> {
    let begun = keys.begin(key, &Hold::new("bench", LEASE, LEASE)).await?;
    anyhow::ensure!(matches!(begun, KeyBegun::Replay(_)), "it is not stored");
    Ok(())
}

fn key(n: usize) -> KeyIntent {
    KeyIntent::new("payments.charge", &format!("{}-{n}", clock::new_id()), "ab".repeat(32)).expect("a key")
}

macro_rules! beside_bare_statements {
    ($name:ident, $connection:ty) => {
        async fn $name(url: &str, mut bare: $connection) -> anyhow::Result<()> {
            let keys = open(url, OpenOptions::default()).await?.store;
            bare.execute(
                "CREATE TABLE bare_keys (key text PRIMARY KEY, request_hash text NOT NULL, status text NOT NULL, \
                 created_at text NOT NULL, response_code bigint, response_body text)",
            )
            .await?;
            let (mut ours, mut theirs) = (Times::default(), Times::default());
            let (mut replays, mut reads) = (Times::default(), Times::default());
            for round in 0..ROUNDS {
                let key = key(round);
                ours.of(under_a_key(&*keys, &key)).await?;
                replays.of(replay(&*keys, &key)).await?;
                let (name, at) = (key.key.as_str(), clock::now().to_rfc3339());
                theirs
                    .of(async {
                        sqlx::query(INSERT).bind(name).bind(&key.request_hash).bind(at).execute(&mut bare).await?;
                        let body = std::str::from_utf8(BODY)?;
                        sqlx::query(UPDATE).bind(name).bind(201_i64).bind(body).execute(&mut bare).await?;
                        Ok(())
                    })
                    .await?;
                reads
                    .of(async { Ok(sqlx::query(SELECT).bind(name).fetch_one(&mut bare).await?) })
                    .await?;
            }
            let name = stringify!($name);
            tell(&format!("{name}: begin and end"), &mut ours, &mut theirs, "two bare statements");
            tell(&format!("{name}: replay      "), &mut replays, &mut reads, "one bare SELECT    ");
            Ok(())
        }
    };
}

beside_bare_statements!(sqlite, SqliteConnection);
beside_bare_statements!(postgres, PgConnection);

/// Beside the two commands a service would send by itself: remember the key unless it is there, then the answer.
#[cfg(feature = "redis")]
async fn redis(url: &str) -> anyhow::Result<()> {
    let keys = redrive::store::redis::open(url, redrive::store::redis::RedisOptions::default()).await?;
    let mut bare = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let (mut ours, mut theirs) = (Times::default(), Times::default());
    let (mut replays, mut reads) = (Times::default(), Times::default());
    for round in 0..ROUNDS {
        let key = key(round);
        ours.of(under_a_key(&*keys, &key)).await?;
        replays.of(replay(&*keys, &key)).await?;
        let name = format!("bare:{}", key.key);
        theirs
            .of(async {
                let mut set = redis::cmd("SET");
                set.arg(&name).arg(&key.request_hash).arg("NX").arg("PX").arg(30_000);
                let () = set.query_async(&mut bare).await?;
                let () = redis::cmd("SET")
                    .arg(&name)
                    .arg(BODY)
                    .arg("PX")
                    .arg(30_000)
                    .query_async(&mut bare)
                    .await?;
                Ok(())
            })
            .await?;
        reads
            .of(async {
                let body: Vec<u8> = redis::cmd("GET").arg(&name).query_async(&mut bare).await?;
                Ok(body)
            })
            .await?;
    }
    tell("redis: begin and end", &mut ours, &mut theirs, "two bare commands");
    tell("redis: replay      ", &mut replays, &mut reads, "one bare GET     ");
    Ok(())
}
