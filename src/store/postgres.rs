//! Postgres: opening the pool, its clock, its locks, its wake-up, and the body mounted for it.
//!
//! Nothing is set on a session that may be somebody else's a moment later. Directly connected, our limits go in the
//! startup packet; behind a pooler each BEGIN carries them for its transaction.

use std::{io, sync::Arc, time::Duration};

use sqlx::{
    ConnectOptions, Connection, PgConnection, Pool, Row as _,
    postgres::{PgConnectOptions, PgPoolOptions},
    raw_sql,
};

use super::{
    Inspection, OpenOptions, Opened,
    address::{Address, Server},
    error::{Kind, all_in_use, explain},
    schema::{self, Applied, Dialect},
    way::Way,
};
use crate::{
    clock,
    engine::{Access, store::StoreError},
};

pub(super) type Db = sqlx::Postgres;
pub(super) type RawConn = PgConnection;

// Differs by necessity: many writers, who lock the rows they judge.
// Whether it may write is not said: where an administrator, or a standby, says no, nothing here overrules it.
const BEGIN_WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
const BEGIN_SINGLE: &str = BEGIN_WRITE;
/// A server keeps its log by itself.
const LAST_WORDS: Option<&str> = None;
macro_rules! for_update {
    () => {
        " FOR UPDATE"
    };
}
macro_rules! for_key_share {
    () => {
        " FOR KEY SHARE"
    };
}
macro_rules! for_update_of_h {
    () => {
        " FOR UPDATE OF h"
    };
}
macro_rules! unless_locked_of_h {
    () => {
        " FOR UPDATE OF h SKIP LOCKED"
    };
}
macro_rules! skip_locked {
    () => {
        " FOR UPDATE SKIP LOCKED"
    };
}
// Differs by necessity: the clock. Not `now()`, which stands still from BEGIN on.
const NOW: &str = "SELECT statement_timestamp()";
/// The instant bound as this parameter, or the database's clock.
macro_rules! now {
    ($at:literal) => {
        concat!("coalesce(CAST(", $at, " AS timestamptz), statement_timestamp())")
    };
}
/// Whether this role may read a column: who only looks is granted no payload.
macro_rules! may_read {
    ($table:literal, $column:literal) => {
        concat!("SELECT has_column_privilege('", $table, "', '", $column, "', 'SELECT') AS may")
    };
}
/// A bound text as JSON.
macro_rules! as_json {
    ($text:literal) => {
        concat!("CAST(", $text, " AS jsonb)")
    };
}
/// The bound bytes, unless the JSON bound as text is printed as just these.
macro_rules! unless_printed {
    ($text:literal, $bytes:literal) => {
        concat!(
            "CASE WHEN convert_to(CAST(CAST(",
            $text,
            " AS jsonb) AS text), 'UTF8') = ",
            $bytes,
            " THEN NULL ELSE ",
            $bytes,
            " END"
        )
    };
}
/// So many seconds, bound as the second parameter, later.
macro_rules! after {
    ($at:literal, $seconds:literal) => {
        concat!(now!($at), " + make_interval(secs => ", $seconds, ")")
    };
}

/// Why nothing can be written, as far as the server tells before it is tried.
const WHY_READ_ONLY: &str = "SELECT CASE WHEN pg_is_in_recovery() THEN 'the server is a standby' \
    WHEN current_setting('default_transaction_read_only') = 'on' THEN 'default_transaction_read_only is on' \
    WHEN NOT (has_table_privilege('redrive_operator_actions', 'INSERT') AND has_table_privilege('redrive_dead_letters', 'UPDATE')) \
    THEN 'the role ' || current_user || ' may only look: grant it redrive_operator to act' END AS why";
/// Which tables of ours may hide rows from this role.
const HIDDEN: &str = "SELECT relname::text FROM pg_class WHERE relkind IN ('r', 'p') AND row_security_active(oid) \
    AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'redrive_migrations'::regclass) \
    AND (relname LIKE 'redrive\\_%' OR relname IN ('onboarding_history', 'onboarding_state', 'onboarding_progress', 'entities', \
    'entity_relationships', 'idempotency_keys', 'processed_messages')) ORDER BY 1";

/// How long an idle connection is used without being asked first whether it is still there, and the longest that a
/// database which is there may take to let one in.
const TRUSTED: Duration = Duration::from_secs(1);

/// Two submissions of one action take turns, so that the second reads the first one's receipt.
async fn lock_action(conn: &mut Conn<'_>, action: &str) -> Result<(), sqlx::Error> {
    let lock = sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))").bind(action);
    lock.execute(conn).await.map(|_| ())
}

/// How long a transaction waited for locks, as its setting says.
struct Patience(String);

/// From now on locks are waited for this long; answers what it was. Rolled back with the savepoint it is in.
async fn wait_at_most(conn: &mut Conn<'_>, wait: Duration) -> Result<Patience, sqlx::Error> {
    let set = "WITH before AS MATERIALIZED (SELECT current_setting('lock_timeout') AS it) \
        SELECT it, set_config('lock_timeout', $1, true) FROM before";
    // Zero would be for ever.
    let milliseconds = wait.as_millis().clamp(1, i32::MAX as u128).to_string();
    sqlx::query_scalar(set).bind(milliseconds).fetch_one(conn).await.map(Patience)
}

async fn wait_as(conn: &mut Conn<'_>, Patience(before): Patience) -> Result<(), sqlx::Error> {
    let set = sqlx::query("SELECT set_config('lock_timeout', $1, true)").bind(before);
    set.execute(conn).await.map(|_| ())
}

#[path = "body/mod.rs"]
mod body;
#[path = "door.rs"]
mod door;
mod wake;

pub use body::transaction::{consume, once_in};
use door::{Conn, Door};
use wake::Wake;

/// One connection by itself: a pool would say "timed out" and keep the reason.
async fn dial(connect: &PgConnectOptions, within: Duration) -> Result<PgConnection, sqlx::Error> {
    tokio::time::timeout(within, connect.connect()).await.unwrap_or_else(|_| Err(no_answer(within)))
}

async fn reach(
    connect: &PgConnectOptions,
    within: Duration,
    label: &str,
) -> Result<PgConnection, StoreError> {
    dial(connect, within).await.map_err(|error| explain(&error, "connecting", label))
}

fn no_answer(within: Duration) -> sqlx::Error {
    let why = format!("no answer within {:.0} s", within.as_secs_f64());
    io::Error::new(io::ErrorKind::TimedOut, why).into()
}

/// The limits of our transactions, by the names of their settings, in milliseconds.
fn limits(options: &OpenOptions) -> [(&'static str, u128); 3] {
    [
        ("statement_timeout", options.statement_timeout.as_millis()),
        ("lock_timeout", options.lock_timeout.as_millis()),
        // A process that froze inside a transaction does not hold up for long whoever takes over from it.
        ("idle_in_transaction_session_timeout", (2 * options.statement_timeout).as_millis()),
    ]
}

/// A server, how to connect to it, and the connection that found it out.
struct Found {
    connect: PgConnectOptions,
    first: PgConnection,
    way: Way,
}

/// Connects, and finds out whether a pooler stands in between.
async fn find(server: &Server, options: &OpenOptions, label: &str) -> Result<Found, StoreError> {
    let plain =
        server.connect.clone().application_name(&options.application_name).disable_statement_logging();
    // A pooler does not know it, and we read no text of floating-point numbers.
    let plain = plain.extra_float_digits(None);
    let limited = plain.clone().options(limits(options));
    let (within, way) = (options.connect_timeout, Way::default());
    if server.pooler {
        way.met_pooler("the address says so");
    } else {
        match dial(&limited, within).await {
            Ok(mut first) => match tell_pooler(&mut first, &limited, options).await {
                Ok(None) => return Ok(Found { connect: limited, first, way }),
                Ok(Some(how)) => way.met_pooler(how),
                Err(error) => return Err(explain(&error, "connecting", label)),
            },
            Err(error) if Kind::of(&error) == Kind::TurnedAway => {
                way.met_pooler("it does not take a setting at connecting");
            }
            Err(error) => return Err(explain(&error, "connecting", label)),
        }
    }
    let first = reach(&plain, within, label).await?;
    Ok(Found { connect: plain, first, way })
}

/// How a pooler is told from a server: it does not do what it was asked at connecting, or two connections to it are
/// one process of the server's.
async fn tell_pooler(
    first: &mut PgConnection,
    connect: &PgConnectOptions,
    options: &OpenOptions,
) -> Result<Option<&'static str>, sqlx::Error> {
    let (before, limit) = process(first).await?;
    if limit != options.statement_timeout.as_millis().to_string() {
        return Ok(Some("it ignores a setting at connecting"));
    }
    let mut second = match dial(connect, options.connect_timeout).await {
        Ok(second) => second,
        // The server is full: a pooler would have been told by now, most likely.
        Err(error) if Kind::of(&error) == Kind::Crowded => return Ok(None),
        Err(error) => return Err(error),
    };
    let Ok(other) = tokio::time::timeout(TRUSTED, process(&mut second)).await else {
        return Ok(Some("a second connection to it waits for the first"));
    };
    let (other, after) = (other?.0, process(first).await?.0);
    // What matters is known; how the goodbye went does not.
    let _ = second.close().await;
    Ok((other == before || after != before)
        .then_some("two connections to it are one process of the server's"))
}

/// The server's process, and how many milliseconds a statement may take there.
async fn process(connection: &mut PgConnection) -> Result<(i32, String), sqlx::Error> {
    let ask = "SELECT pg_backend_pid(), setting FROM pg_settings WHERE name = 'statement_timeout'";
    let row = raw_sql(ask).fetch_one(connection).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// Why a pool had no connection in time: its own are all in use, or it cannot make any. Who runs unprotected while the
/// database is down may not do so while it is busy.
async fn none_came_free(pool: &Pool<Db>, label: &str) -> StoreError {
    match reach(&pool.connect_options(), TRUSTED, label).await {
        Ok(connection) => {
            // What matters is known; how the goodbye went does not.
            let _ = connection.close().await;
            all_in_use()
        }
        Err(error) => error,
    }
}

/// The newest migration applied; `None` without the table.
async fn version(connection: &mut PgConnection, label: &str) -> Result<Option<i64>, StoreError> {
    let read =
        raw_sql("SELECT max(version) FROM redrive_migrations WHERE success").fetch_one(connection).await;
    match read.and_then(|row| row.try_get(0)) {
        Err(error) if Kind::of(&error) == Kind::Unmigrated => Ok(None),
        other => other.map_err(|error| explain(&error, "reading the schema version", label)),
    }
}

pub(super) async fn open(server: Server, options: OpenOptions, label: String) -> Result<Opened, StoreError> {
    let Found { connect, mut first, way } = find(&server, &options, &label).await?;
    let label = server.label(way.pooler().is_some());
    schema::check(version(&mut first, &label).await?, &label)?;
    // What matters is known; how the goodbye went does not.
    let _ = first.close().await;
    let listen = match (&options.listen_url, way.pooler()) {
        (Some(url), _) => Some(direct(url, &options)?),
        (None, None) => Some(connect.clone()),
        (None, Some(_)) => None,
    };
    let listens = options.access == Access::ReadWrite && listen.is_some();
    let connections = options.connections.max(2) - u32::from(listens);
    let door = Door {
        pool: pool(connections, &options, &way).connect_lazy_with(connect),
        patience: options.patience(),
        limits: limits(&options)
            .iter()
            .map(|(name, limit)| format!("; SET LOCAL {name} = {limit}"))
            .collect(),
        way: way.clone(),
    };
    let (write, wake) = match options.access {
        Access::ReadOnly => (None, Wake::deaf()),
        Access::ReadWrite => {
            // It is the only one there while it waits for what others tell.
            let listen = listen.map(|listen| pool(1, &options, &way).connect_lazy_with(listen));
            (Some(door.clone()), Wake::new(door.clone(), listen, options.listen_url.is_some()))
        }
    };
    let handle = Arc::new(body::Handle::new(write, door, &options, label.clone(), wake, None));
    Ok(Opened { store: handle.clone(), reader: handle, label })
}

fn pool(connections: u32, options: &OpenOptions, way: &Way) -> PgPoolOptions {
    let way = way.clone();
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(options.connect_timeout)
        // A connection in use a moment ago is trusted: asking before each use would be a round trip more.
        .test_before_acquire(false)
        .before_acquire(move |connection, standing| {
            let way = way.clone();
            Box::pin(async move {
                if way.is_suspect(standing.idle_for) {
                    return Ok(false);
                }
                if standing.idle_for > TRUSTED {
                    let asked = tokio::time::timeout(TRUSTED, connection.ping()).await;
                    asked.unwrap_or_else(|_| {
                        way.fell_silent();
                        Err(no_answer(TRUSTED))
                    })?;
                }
                Ok(true)
            })
        })
}

/// The address beside the pooler's.
fn direct(url: &str, options: &OpenOptions) -> Result<PgConnectOptions, StoreError> {
    match Address::parse(url)? {
        Address::Postgres(server) => {
            Ok(server.connect.application_name(&options.application_name).disable_statement_logging())
        }
        _ => Err(StoreError::Unreachable {
            database: "of listen_url".to_owned(),
            why: "only Postgres is listened to: give a postgres:// address".to_owned(),
        }),
    }
}

pub(super) async fn inspect(server: Server, label: &str) -> Result<Inspection, StoreError> {
    let options = OpenOptions { application_name: "redrive check".to_owned(), ..OpenOptions::default() };
    let asked = |error: sqlx::Error| explain(&error, "asking what the database is", label);
    let Found { first: mut connection, way, .. } = find(&server, &options, label).await?;
    let schema = version(&mut connection, label).await?;
    schema::check(schema, label)?;
    let question = "SELECT current_setting('server_version'), \
        coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false), current_user::text, \
        has_table_privilege('onboarding_history', 'SELECT')";
    let row = raw_sql(question).fetch_one(&mut connection).await.map_err(asked)?;
    let (release, encrypted, role, reads): (String, bool, String, bool) =
        sqlx::FromRow::from_row(&row).map_err(asked)?;
    let refusal = raw_sql(WHY_READ_ONLY).fetch_one(&mut connection).await.and_then(|row| row.try_get(0));
    let refusal: Option<String> = refusal.map_err(asked)?;
    let hidden = raw_sql(HIDDEN).fetch_all(&mut connection).await.map_err(asked)?;
    let hidden = hidden.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(asked)?;
    connection.close().await.map_err(asked)?;
    Ok(Inspection {
        product: format!("PostgreSQL {release}"),
        schema: schema.unwrap_or_default(),
        encrypted: Some(encrypted),
        pooler: way.pooler(),
        hidden,
        unreadable: (!reads).then(|| format!("the role {role} may not read: grant it redrive_viewer")),
        unwritable: refusal.map(|why| format!("read-only: {why}")),
    })
}

/// The advisory lock that migrations take turns by: the letters of `redrive`.
const MIGRATING: i64 = 0x72_65_64_72_69_76_65;
/// The longest to wait for another migration, and how often it is asked for.
const TURN: Duration = Duration::from_secs(60);
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Waits for its turn to migrate by asking again and again: a session that waits inside the database would hold up
/// whoever builds an index there. Closing the connection ends the turn.
async fn take_turn(connection: &mut PgConnection, label: &str) -> Result<(), StoreError> {
    let asked = async {
        loop {
            let take = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(MIGRATING);
            if take.fetch_one(&mut *connection).await? {
                return Ok(());
            }
            clock::sleep(ASK_EVERY).await;
        }
    };
    match tokio::time::timeout(TURN, asked).await {
        Ok(taken) => taken.map_err(|error| explain(&error, "migrating", label)),
        Err(_) => Err(StoreError::Busy {
            doing: "migrating",
            why: format!("another migration has been running for {} s", TURN.as_secs()),
        }),
    }
}

pub(super) async fn migrate(server: Server, label: &str) -> Result<Vec<Applied>, StoreError> {
    let options = OpenOptions {
        application_name: "redrive migrate".to_owned(),
        // A migration takes the time it takes.
        statement_timeout: Duration::ZERO,
        ..OpenOptions::default()
    };
    let Found { first: mut connection, way, .. } = find(&server, &options, label).await?;
    if let Some(how) = way.pooler() {
        let why = format!(
            "{label} is a pooler ({how}), which lends a session for one transaction only: give the address of the server \
             itself, as --database-url or as listen_url in the config file"
        );
        return Err(StoreError::Failed { doing: "migrating", why });
    }
    take_turn(&mut connection, label).await?;
    let had = version(&mut connection, label).await?;
    if had.is_some_and(|had| had > schema::NEWEST) {
        schema::check(had, label)?;
    }
    schema::migrator(Dialect::Postgres)
        .run(&mut connection)
        .await
        .map_err(|error| StoreError::Failed { doing: "migrating", why: error.to_string() })?;
    connection.close().await.map_err(|error| explain(&error, "migrating", label))?;
    Ok(schema::after(had))
}
