//! Postgres: opening the pool, its clock, its locks, its wake-up, and the body mounted for it.

use std::{sync::Arc, time::Duration};

use sqlx::{
    ConnectOptions, Connection, Executor, PgConnection, Pool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{
    Inspection, OpenOptions, Opened,
    error::{all_in_use, explain},
    schema::{self, Applied, Dialect},
};
use crate::{
    clock,
    engine::{Access, store::StoreError},
};

pub(super) type Db = sqlx::Postgres;
pub(super) type Conn = PgConnection;

// Differs by necessity: many writers, who lock the rows they judge.
// Each says all it wants: a caller that gave up while beginning leaves a begun transaction on its connection, and what
// is begun inside that one would else be read-only, or of another isolation.
const BEGIN_WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
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
/// So many seconds, bound as the second parameter, later.
macro_rules! after {
    ($at:literal, $seconds:literal) => {
        concat!(now!($at), " + make_interval(secs => ", $seconds, ")")
    };
}

/// How long an idle connection is used without being asked first whether it is still there, and the longest that a
/// database which is there may take to let one in.
const TRUSTED: Duration = Duration::from_secs(1);

/// Two submissions of one action take turns, so that the second reads the first one's receipt.
async fn lock_action(conn: &mut Conn, action: &str) -> Result<(), sqlx::Error> {
    let lock = sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))").bind(action);
    lock.execute(conn).await.map(|_| ())
}

/// How long a transaction waited for locks, as its setting says.
struct Patience(String);

/// From now on locks are waited for this long; answers what it was. Rolled back with the savepoint it is in.
async fn wait_at_most(conn: &mut Conn, wait: Duration) -> Result<Patience, sqlx::Error> {
    let set = "WITH before AS MATERIALIZED (SELECT current_setting('lock_timeout') AS it) \
        SELECT it, set_config('lock_timeout', $1, true) FROM before";
    // Zero would be for ever.
    let milliseconds = wait.as_millis().clamp(1, i32::MAX as u128).to_string();
    sqlx::query_scalar(set).bind(milliseconds).fetch_one(conn).await.map(Patience)
}

async fn wait_as(conn: &mut Conn, Patience(before): Patience) -> Result<(), sqlx::Error> {
    let set = sqlx::query("SELECT set_config('lock_timeout', $1, true)").bind(before);
    set.execute(conn).await.map(|_| ())
}

#[path = "body/mod.rs"]
mod body;
mod wake;

pub use body::transaction::{consume, once_in};
use wake::Wake;

/// One connection by itself: a pool would say "timed out" and keep the reason.
async fn reach(
    connect: &PgConnectOptions,
    within: Duration,
    label: &str,
) -> Result<PgConnection, StoreError> {
    match tokio::time::timeout(within, connect.connect()).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(explain(&error, "connecting", label)),
        Err(_) => Err(StoreError::Unreachable {
            database: label.to_owned(),
            why: format!("no answer within {:.0} s", within.as_secs_f64()),
        }),
    }
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
    let read = sqlx::query_scalar("SELECT max(version) FROM redrive_migrations WHERE success");
    match read.fetch_one(connection).await.map_err(|e| explain(&e, "reading the schema version", label)) {
        Err(StoreError::NotMigrated { .. }) => Ok(None),
        other => other,
    }
}

pub(super) async fn open(
    connect: PgConnectOptions,
    options: OpenOptions,
    label: String,
) -> Result<Opened, StoreError> {
    let connect = connect.application_name(&options.application_name).disable_statement_logging();
    let mut first = reach(&connect, options.connect_timeout, &label).await?;
    schema::check(version(&mut first, &label).await?, &label)?;
    // What matters is known; how the goodbye went does not.
    let _ = first.close().await;
    let pool = |connections: u32, only_reads: bool| {
        let limits = format!(
            "SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {}; SET default_transaction_read_only = {}",
            options.statement_timeout.as_millis(),
            options.lock_timeout.as_millis(),
            // A process that froze inside a transaction does not hold up for long whoever takes over from it.
            (2 * options.statement_timeout).as_millis(),
            if only_reads { "on" } else { "off" },
        );
        PgPoolOptions::new()
            .max_connections(connections.max(2))
            .acquire_timeout(options.connect_timeout)
            // A connection in use a moment ago is trusted: asking before each use would be a round trip more.
            .test_before_acquire(false)
            .before_acquire(|connection, standing| {
                Box::pin(async move {
                    if standing.idle_for > TRUSTED {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .after_connect(move |connection, _| {
                let limits = limits.clone();
                Box::pin(async move {
                    connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(limits))).await.map(|_| ())
                })
            })
    };
    let read =
        pool(options.connections, options.access == Access::ReadOnly).connect_lazy_with(connect.clone());
    let (write, wake) = match options.access {
        Access::ReadOnly => (None, Wake::deaf()),
        Access::ReadWrite => {
            // The wake-up keeps connections of its own, so that it never waits behind the work it announces.
            let wake = Wake::new(pool(2, false).connect_lazy_with(connect));
            (Some(read.clone()), wake)
        }
    };
    let handle = Arc::new(body::Handle::new(write, read, &options, label.clone(), wake, None));
    Ok(Opened { store: handle.clone(), reader: handle, label })
}

pub(super) async fn inspect(connect: PgConnectOptions, label: &str) -> Result<Inspection, StoreError> {
    let connect = connect.application_name("redrive check").disable_statement_logging();
    let asked = |error: sqlx::Error| explain(&error, "asking what the database is", label);
    let mut connection = reach(&connect, OpenOptions::default().connect_timeout, label).await?;
    let schema = version(&mut connection, label).await?;
    schema::check(schema, label)?;
    let question = "SELECT current_setting('server_version'), \
        coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false), pg_is_in_recovery(), current_user::text, \
        has_table_privilege('onboarding_history', 'SELECT'), \
        has_table_privilege('redrive_operator_actions', 'INSERT') AND has_table_privilege('redrive_dead_letters', 'UPDATE')";
    let (release, encrypted, replica, role, reads, writes): (String, bool, bool, String, bool, bool) =
        sqlx::query_as(question).fetch_one(&mut connection).await.map_err(asked)?;
    connection.close().await.map_err(asked)?;
    let unless = |refused: bool, why: String| refused.then_some(why);
    Ok(Inspection {
        product: format!("PostgreSQL {release}"),
        schema: schema.unwrap_or_default(),
        encrypted: Some(encrypted),
        unreadable: unless(!reads, format!("the role {role} may not read: grant it redrive_viewer")),
        unwritable: unless(replica, "it is a replica: give the primary's address to act".to_owned())
            .or(unless(!writes, format!("the role {role} may only look: grant it redrive_operator to act"))),
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

pub(super) async fn migrate(connect: PgConnectOptions, label: &str) -> Result<Vec<Applied>, StoreError> {
    let connect = connect.application_name("redrive migrate").disable_statement_logging();
    let mut connection = reach(&connect, OpenOptions::default().connect_timeout, label).await?;
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
