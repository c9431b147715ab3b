//! SQLite: opening the file, its clock, its wake-up, and the body mounted for it.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sqlx::{
    ConnectOptions, Connection, Pool, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{
    Inspection, OpenOptions, Opened,
    error::{Kind, all_in_use, explain},
    schema::{self, Applied, Dialect},
    way::Way,
};
use crate::engine::{Access, store::StoreError};

pub(super) type Db = sqlx::Sqlite;
pub(super) type RawConn = SqliteConnection;

// Differs by necessity: SQLite has one writer, who says so at the beginning; there are no row locks.
const BEGIN_WRITE: &str = "BEGIN IMMEDIATE";
const BEGIN_READ: &str = "BEGIN";
const BEGIN_SINGLE: &str = BEGIN_WRITE;
/// Empties the log into the file.
const LAST_WORDS: Option<&str> = Some("PRAGMA wal_checkpoint(TRUNCATE)");
// A file's reasons are asked of the file system.
const WHY_READ_ONLY: &str = "SELECT NULL AS why";
macro_rules! for_update {
    () => {
        ""
    };
}
macro_rules! for_key_share {
    () => {
        ""
    };
}
macro_rules! for_update_of_h {
    () => {
        ""
    };
}
macro_rules! unless_locked_of_h {
    () => {
        ""
    };
}
macro_rules! skip_locked {
    () => {
        ""
    };
}
// Differs by necessity: the clock.
const NOW: &str = "SELECT strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')";
/// The instant bound as this parameter, or the database's clock.
macro_rules! now {
    ($at:literal) => {
        concat!("strftime('%Y-%m-%dT%H:%M:%f000+00:00', coalesce(", $at, ", 'now'))")
    };
}
/// Whether this role may read a column: who only looks is granted no payload.
macro_rules! may_read {
    ($table:literal, $column:literal) => {
        "SELECT TRUE AS may"
    };
}
/// A bound text as JSON.
macro_rules! as_json {
    ($text:literal) => {
        $text
    };
}
/// The bound bytes, unless the JSON bound as text is printed as just these. A column of JSON keeps a number as a number.
macro_rules! unless_printed {
    ($text:literal, $bytes:literal) => {
        concat!(
            "CASE WHEN CAST(",
            $text,
            " AS blob) = ",
            $bytes,
            " AND trim(",
            $text,
            ", '+-.0123456789Ee' || char(9, 10, 13, 32)) <> '' THEN NULL ELSE ",
            $bytes,
            " END"
        )
    };
}
/// So many seconds, bound as the second parameter, later.
macro_rules! after {
    ($at:literal, $seconds:literal) => {
        concat!(
            "strftime('%Y-%m-%dT%H:%M:%f000+00:00', coalesce(",
            $at,
            ", 'now'), '+' || ",
            $seconds,
            " || ' seconds')"
        )
    };
}

/// Whoever writes has the database for itself already.
async fn lock_action(_: &mut Conn<'_>, _: &str) -> Result<(), sqlx::Error> {
    Ok(())
}

/// Differs by necessity: the file has one lock, and how long that is waited for is its connection's `busy_timeout`.
struct Patience;

async fn wait_at_most(_: &mut Conn<'_>, _: Duration) -> Result<Patience, sqlx::Error> {
    Ok(Patience)
}

async fn wait_as(_: &mut Conn<'_>, _: Patience) -> Result<(), sqlx::Error> {
    Ok(())
}

#[path = "body/mod.rs"]
mod body;
#[path = "door.rs"]
mod door;
mod wake;

pub use body::transaction::{consume, once_in};
use door::{Conn, Door};
use wake::Wake;

fn connect(path: &Path, options: &OpenOptions) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .foreign_keys(true)
        .busy_timeout(options.lock_timeout)
        .disable_statement_logging()
}

/// A file does not go away between two uses as a server does: nothing is asked before each.
fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new().max_connections(connections).test_before_acquire(false)
}

/// A file has no server whose limits would say more, nor a pooler before it.
fn door(pool: Pool<Db>, options: &OpenOptions) -> Door {
    Door { pool, patience: options.patience(), limits: String::new(), way: Way::default() }
}

async fn reach(connect: &SqliteConnectOptions, label: &str) -> Result<SqliteConnection, StoreError> {
    let path = connect.get_filename().to_owned();
    if !path.exists() {
        return Err(StoreError::Barred {
            database: label.to_owned(),
            why: format!("there is no file {}; `redrive migrate` makes one", path.display()),
        });
    }
    if path.is_dir() {
        let why = format!("{} is a folder: name the file in it", path.display());
        return Err(StoreError::Barred { database: label.to_owned(), why });
    }
    connect.connect().await.map_err(|error| explain(&error, "opening the database", label))
}

/// Opened without writing anything: not even the files beside a database in WAL mode, where their folder takes none.
fn for_reading(path: &Path, options: &OpenOptions) -> Result<SqliteConnectOptions, StoreError> {
    let reading = connect(path, options).read_only(true);
    let beside = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let takes_files = wake::refusal_of(wake::folder_of(path), "folder").is_none();
    if takes_files || beside("-shm").exists() {
        return Ok(reading);
    }
    match beside("-wal").metadata() {
        Ok(wal) if wal.len() > 0 => Err(StoreError::Barred {
            database: path.display().to_string(),
            why: format!(
                "{} holds what is not in the file yet, and its folder takes no -shm file to read it with: open it once where \
                 it may be written, or copy both files to a folder of yours",
                beside("-wal").display()
            ),
        }),
        _ => Ok(reading.immutable(true)),
    }
}

/// Why a pool had no connection in time: its own are all in use. Opening a file takes no time.
async fn none_came_free(_: &Pool<Db>, _: &str) -> StoreError {
    all_in_use()
}

/// The newest migration applied; `None` without the table.
async fn version(connection: &mut SqliteConnection, label: &str) -> Result<Option<i64>, StoreError> {
    let read = sqlx::query_scalar("SELECT max(version) FROM redrive_migrations WHERE success");
    match read.fetch_one(connection).await {
        Err(error) if Kind::of(&error) == Kind::Unmigrated => Ok(None),
        other => other.map_err(|error| explain(&error, "reading the schema version", label)),
    }
}

/// `said_read_only`: its address says that it is only read.
pub(super) async fn open(
    path: PathBuf,
    said_read_only: bool,
    options: OpenOptions,
    label: String,
) -> Result<Opened, StoreError> {
    let access = if said_read_only { Access::ReadOnly } else { options.access };
    open_kept(path, said_read_only, OpenOptions { access, ..options }, label, None).await
}

pub(super) async fn open_temporary(options: OpenOptions, label: String) -> Result<Opened, StoreError> {
    let owners = Permissions::from_mode(0o700);
    let folder = tempfile::Builder::new().prefix("redrive-").permissions(owners).tempdir();
    let folder = folder.map_err(|error| StoreError::Unreachable {
        database: label.clone(),
        why: format!("no temporary folder: {error}"),
    })?;
    let path = folder.path().join("redrive.db");
    migrate(&path, &label).await?;
    open_kept(path, false, options, label, Some(folder)).await
}

async fn open_kept(
    path: PathBuf,
    said_read_only: bool,
    options: OpenOptions,
    label: String,
    kept: Option<tempfile::TempDir>,
) -> Result<Opened, StoreError> {
    let opening = |error: sqlx::Error| explain(&error, "opening the database", &label);
    let reading = for_reading(&path, &options)?;
    let mut first = reach(&reading, &label).await?;
    schema::check(version(&mut first, &label).await?, &label)?;
    first.close().await.map_err(opening)?;
    let write = match options.access {
        Access::ReadOnly => None,
        Access::ReadWrite => {
            let writing = connect(&path, &options)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Normal);
            let injections = Arc::clone(&options.injections);
            let pool = pool(1)
                .after_connect(move |connection, _| {
                    let injections = Arc::clone(&injections);
                    Box::pin(async move {
                        if !injections.is_empty() {
                            connection.lock_handle().await?.set_commit_hook(move || {
                                injections.committing();
                                true
                            });
                        }
                        Ok(())
                    })
                })
                // Writers queue here rather than at the file's lock.
                .acquire_timeout(options.connect_timeout.max(options.lock_timeout))
                // Not at once: a file that may only be read is looked at, and written once it may be.
                .connect_lazy_with(writing);
            Some(pool)
        }
    };
    let read = pool(options.connections.max(1))
        .acquire_timeout(options.connect_timeout)
        .connect_with(reading.clone())
        .await
        .map_err(opening)?;
    let (write, read) = (write.map(|write| door(write, &options)), door(read, &options));
    let wake = Wake::new(reading, options.access == Access::ReadOnly && said_read_only);
    let handle = Arc::new(body::Handle::new(write, read, &options, label.clone(), wake, kept));
    Ok(Opened { store: handle.clone(), reader: handle, label })
}

pub(super) async fn inspect(
    path: &Path,
    said_read_only: bool,
    label: &str,
) -> Result<Inspection, StoreError> {
    let asked = |error: sqlx::Error| explain(&error, "asking what the database is", label);
    let options = OpenOptions::default();
    let reading = for_reading(path, &options)?;
    let mut connection = reach(&reading, label).await?;
    let schema = version(&mut connection, label).await?;
    schema::check(schema, label)?;
    let release: String =
        sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&mut connection).await.map_err(asked)?;
    connection.close().await.map_err(asked)?;
    let writes = async {
        let mut connection = connect(path, &options).connect().await?;
        sqlx::raw_sql("BEGIN IMMEDIATE; ROLLBACK").execute(&mut connection).await?;
        connection.close().await
    };
    let refusal = Wake::new(reading, said_read_only).refusal().map(|why| format!("read-only: {why}"));
    let unwritable = match refusal {
        Some(why) => Some(why),
        None => writes.await.err().map(|error| explain(&error, "writing", label).to_string()),
    };
    Ok(Inspection {
        product: format!("SQLite {release}"),
        schema: schema.unwrap_or_default(),
        encrypted: None,
        pooler: None,
        hidden: Vec::new(),
        unreadable: None,
        unwritable,
    })
}

/// Makes the file if there is none, for its owner alone; SQLite gives what it puts beside it the same mode.
fn create(path: &Path, label: &str) -> Result<(), StoreError> {
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(StoreError::Unreachable {
            database: label.to_owned(),
            why: format!("cannot make the file {}: {error}", path.display()),
        }),
        _ => Ok(()),
    }
}

pub(super) async fn migrate(path: &Path, label: &str) -> Result<Vec<Applied>, StoreError> {
    let options = OpenOptions { lock_timeout: Duration::from_secs(10), ..OpenOptions::default() };
    create(path, label)?;
    let connect = connect(path, &options).journal_mode(SqliteJournalMode::Wal);
    let mut connection =
        connect.connect().await.map_err(|error| explain(&error, "opening the database", label))?;
    let had = version(&mut connection, label).await?;
    if had.is_some_and(|had| had > schema::NEWEST) {
        schema::check(had, label)?;
    }
    schema::migrator(Dialect::Sqlite)
        .run(&mut connection)
        .await
        .map_err(|error| StoreError::Failed { doing: "migrating", why: error.to_string() })?;
    connection.close().await.map_err(|error| explain(&error, "migrating", label))?;
    Ok(schema::after(had))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use sqlx::Executor;

    use super::*;
    use crate::{
        domain::onboarding::Request,
        engine::{
            command::{Asker, Command, Receipt, Refusal, Submission},
            store::Store,
        },
    };

    async fn trigger(store: &body::Handle, n: usize) -> Result<Receipt, Refusal> {
        let request = Request {
            tenant_id: "acme".to_owned(),
            repo_url: format!("https://github.com/acme/{n}"),
            workspace_id: None,
        };
        let submission = Submission {
            action: format!("action-{n}").into(),
            asker: Asker::Operator("ana".to_owned()),
            reason: Some("long ".repeat(200)),
            command: Command::Trigger { request },
        };
        store.act(&submission).await
    }

    #[tokio::test]
    async fn a_full_disk_is_named_and_passed_once_there_is_room() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("full.db");
        migrate(&path, "full.db").await.expect("it migrates");
        let options = OpenOptions::default();
        let pages = Arc::new(AtomicU32::new(1));
        let limit = Arc::clone(&pages);
        let write = pool(1).after_connect(move |connection, _| {
            let limit = format!("PRAGMA max_page_count = {}", limit.load(Ordering::Relaxed));
            Box::pin(async move { connection.execute(sqlx::AssertSqlSafe(limit)).await.map(|_| ()) })
        });
        let write = write.connect_with(connect(&path, &options)).await.expect("it opens");
        let reading = connect(&path, &options).read_only(true);
        let read = pool(1).connect_with(reading.clone()).await.expect("it opens");
        let store = body::Handle::new(
            Some(door(write.clone(), &options)),
            door(read, &options),
            &options,
            "full.db".to_owned(),
            Wake::new(reading, false),
            None,
        );
        let mut taken = 0;
        let error = loop {
            match trigger(&store, taken).await {
                Ok(_) => taken += 1,
                Err(error) => break error.to_string(),
            }
        };
        let says = "the database has no room for the action: the disk is full (database or disk is full); nothing was \
                    changed, make room and try again";
        assert_eq!(error, says);
        assert_eq!(trigger(&store, taken).await.expect_err("it is full still").to_string(), says);
        pages.store(100_000, Ordering::Relaxed);
        write.execute("PRAGMA max_page_count = 100000").await.expect("there is room");
        assert!(trigger(&store, taken).await.is_ok(), "the same again goes through");
        let there: i64 = sqlx::query_scalar("SELECT count(*) FROM onboarding_history")
            .fetch_one(&write)
            .await
            .expect("it counts");
        assert_eq!(usize::try_from(there), Ok(taken + 1), "what was refused left nothing");
    }
}
