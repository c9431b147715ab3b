//! The only folder that knows SQL: one text and one body for two dialects.
//!
//! ```text
//!   open(url) ──▶ sqlite.rs   ─┐ each names its `Db` and what differs by necessity, and mounts door.rs, through which
//!             └─▶ postgres.rs ─┴─▶ every statement goes, and body/: the same files, compiled once for each
//!   redis::open(url) ──▶ redis.rs: keys and locks alone, behind the cargo feature `redis`
//! ```
//! Every verb begins a transaction, reads the database's clock once, binds that instant in all its statements and
//! commits. Reading the clock once costs a round trip and keeps every text the same on both databases; it also keeps
//! conditions on time indexable and lets tests bind the time ([`BoundTime`]) instead of sleeping.

#![allow(clippy::duplicate_mod, reason = "the body is mounted once for each dialect: that is the design")]

mod address;
mod error;
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
mod schema;
pub mod sqlite;
mod transaction;
mod value;
mod way;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};

use crate::{
    config,
    engine::{
        Access,
        injection::Injections,
        reader::Reader,
        store::{Store, StoreError},
    },
};
use address::Address;
pub use schema::Applied;
pub use transaction::{Consumed, Undone};

/// The database's clock, unless a test binds another time.
#[derive(Clone, Default)]
pub struct BoundTime(Arc<Mutex<Option<DateTime<Utc>>>>);

impl BoundTime {
    /// From now on it is `at`, until it is moved or freed.
    pub fn set(&self, at: DateTime<Utc>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    /// From now on it is the database's time again.
    pub fn free(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Moves a bound time on; does nothing to the database's.
    pub fn advance(&self, by: Duration) {
        if let Some(at) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            *at += by;
        }
    }

    fn get(&self) -> Option<DateTime<Utc>> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for BoundTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BoundTime({:?})", self.get())
    }
}

/// How to open a database.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// Read-only opens read-only connections and transactions; every writing verb answers [`StoreError::ReadOnly`].
    pub access: Access,
    /// What the database shows for our connections: `redrive worker`.
    pub application_name: String,
    /// The longest one statement may take, on Postgres.
    pub statement_timeout: Duration,
    /// The longest to wait for a lock.
    pub lock_timeout: Duration,
    /// The longest to wait for a connection.
    pub connect_timeout: Duration,
    /// Connections at most, at least 2; on Postgres one of them listens once a worker waits for work, on SQLite they
    /// are the readers'.
    pub connections: u32,
    /// Postgres only: where to listen for new work instead, and to migrate, when there is a pooler before the database
    /// itself.
    pub listen_url: Option<String>,
    /// How long a caller's trigger waits after a failure.
    pub cool_down: Duration,
    /// How many onboardings come back a second of those that one operation parked; above 0.
    pub unpark_per_second: f64,
    /// A letter that failed again after so many replays is quarantined.
    pub quarantine_after: u32,
    /// What failed so long ago is undone by itself; `None`: never.
    pub cleanup_after: Option<Duration>,
    /// Tests bind the time here.
    pub time: BoundTime,
    /// Faults for while it commits; SQLite only.
    pub injections: Arc<Injections>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            access: Access::ReadWrite,
            application_name: "redrive".to_owned(),
            statement_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(5),
            connections: 8,
            listen_url: None,
            cool_down: config::Engine::default().cool_down,
            unpark_per_second: config::Engine::default().unpark_per_second,
            quarantine_after: config::Engine::default().quarantine_after,
            cleanup_after: config::Engine::default().cleanup_after,
            time: BoundTime::default(),
            injections: Arc::default(),
        }
    }
}

impl OpenOptions {
    /// The same for an engine that behaves as `engine` says.
    #[must_use]
    pub fn of(self, engine: &config::Engine) -> Self {
        Self {
            cool_down: engine.cool_down,
            unpark_per_second: engine.unpark_per_second / engine.time_factor,
            quarantine_after: engine.quarantine_after,
            cleanup_after: engine.cleanup_after,
            ..self
        }
    }

    /// The longest one call may take on our side: the database's own limits come first, and say more.
    fn patience(&self) -> Duration {
        self.statement_timeout.max(self.lock_timeout) + Duration::from_secs(2)
    }

    /// For a dashboard: few connections, short statements.
    pub fn dashboard(access: Access) -> Self {
        Self {
            access,
            application_name: "redrive dashboard".to_owned(),
            statement_timeout: Duration::from_secs(2),
            connections: 4,
            ..Self::default()
        }
    }
}

/// Whether faults may be injected into the database at `url`: its name, or its file's, holds the word test or demo.
///
/// # Errors
/// When the URL cannot be read.
pub fn is_for_trying(url: &str) -> Result<bool, StoreError> {
    Ok(Address::parse(url)?.is_for_trying())
}

/// What the database at `url` is called in headers and errors: never its password.
///
/// # Errors
/// When the URL cannot be read.
pub fn label(url: &str) -> Result<String, StoreError> {
    Ok(Address::parse(url)?.label())
}

/// An open database.
#[derive(Clone)]
pub struct Opened {
    /// The writing side.
    pub store: Arc<dyn Store>,
    /// The reading side.
    pub reader: Arc<dyn Reader>,
    /// What the database is, without the password: `sqlite demo.db`, `host/name (postgres, user:***)`.
    pub label: String,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opened({})", self.label)
    }
}

/// Opens `sqlite:PATH`, `sqlite::memory:` (a temporary file, migrated) or `postgres://…` and checks its schema.
///
/// # Errors
/// [`StoreError::Unreachable`] within the connect timeout, with the driver's own reason;
/// [`StoreError::NotMigrated`], [`StoreError::OlderSchema`] or [`StoreError::NewerSchema`] by its tables.
pub async fn open(url: &str, options: OpenOptions) -> Result<Opened, StoreError> {
    let address = Address::parse(url)?;
    let label = address.label();
    Ok(match address {
        Address::Postgres(server) => postgres::open(*server, options, label).await?,
        Address::File { path, read_only } => sqlite::open(path, read_only, options, label).await?,
        Address::Temporary => sqlite::open_temporary(options, label).await?,
    })
}

/// What a database is and what may be done with it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Inspection {
    /// `PostgreSQL 16.2`, `SQLite 3.46.0`.
    pub product: String,
    /// The newest migration it has.
    pub schema: i64,
    /// Whether the connection is encrypted; `None` of a file.
    pub encrypted: Option<bool>,
    /// How it is known that a pooler stands before it, if so.
    pub pooler: Option<&'static str>,
    /// Tables whose row-level security may hide rows from us.
    pub hidden: Vec<String>,
    /// Why it cannot be read, if so.
    pub unreadable: Option<String>,
    /// Why it can only be looked at, if so.
    pub unwritable: Option<String>,
}

/// Asks the database at `url` what it is, over one connection, and changes nothing.
///
/// # Errors
/// As [`open`].
pub async fn inspect(url: &str) -> Result<Inspection, StoreError> {
    let address = Address::parse(url)?;
    let label = address.label();
    match address {
        Address::Postgres(server) => postgres::inspect(*server, &label).await,
        Address::File { path, read_only } => sqlite::inspect(&path, read_only, &label).await,
        Address::Temporary => Err(StoreError::Unreachable {
            database: label,
            why: "sqlite::memory: is made anew whenever it is opened".to_owned(),
        }),
    }
}

/// Applies the migrations that are missing and answers them; creates the file of an SQLite database.
///
/// # Errors
/// [`StoreError::Unreachable`], [`StoreError::NewerSchema`], or the reason why a migration failed; it changed nothing
/// then.
pub async fn migrate(url: &str) -> Result<Vec<Applied>, StoreError> {
    let address = Address::parse(url)?;
    let label = address.label();
    match address {
        Address::Postgres(server) => postgres::migrate(*server, &label).await,
        Address::File { read_only: true, .. } => Err(StoreError::ReadOnly),
        Address::File { path, .. } => sqlite::migrate(&path, &label).await,
        Address::Temporary => Err(StoreError::Unreachable {
            database: label,
            why: "sqlite::memory: is migrated when it is opened".to_owned(),
        }),
    }
}
