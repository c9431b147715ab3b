//! What went wrong inside a verb, and the same in the engine's words. Knows the databases' codes; no SQL.

use crate::{
    domain::fault::FaultClass,
    engine::{command::Refusal, store::StoreError},
    resilience::classify::Classify,
};

/// Why a transaction did not come to its end.
#[derive(Debug)]
pub(super) enum Fail {
    /// The driver or the database.
    Sql(sqlx::Error),
    /// The same, while committing.
    Commit(sqlx::Error),
    /// Already in words.
    Store(StoreError),
    /// A verb decided to change nothing.
    Refused(Box<Refusal>),
}

impl From<sqlx::Error> for Fail {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Fail {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Fail {
    /// Whether the same transaction may go through when it is run again: it certainly did not happen, and what was
    /// in its way is gone.
    pub(super) fn is_worth_repeating(&self) -> bool {
        let (Self::Sql(error) | Self::Commit(error)) = self else { return false };
        // A duplicate: somebody else was faster, and judging again will see it.
        matches!(Kind::of(error), Kind::Conflict | Kind::Duplicate | Kind::Misplaced)
    }

    /// Whether a pooler was met only now, so that what was asked was not done and is asked again in its way.
    pub(super) fn met_pooler(&self) -> bool {
        let (Self::Sql(error) | Self::Commit(error)) = self else { return false };
        Kind::of(error) == Kind::Misplaced
    }

    /// In the engine's words. `doing` is for people; `database` is the label without the password.
    pub(super) fn explain(self, doing: &'static str, database: &str) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Refused(refusal) => match *refusal {
                Refusal::Store(error) => error,
                other => StoreError::Failed { doing, why: other.to_string() },
            },
            Self::Commit(error) if Kind::of(&error).leaves_a_commit_open() => {
                StoreError::UnknownOutcome { doing }
            }
            Self::Sql(error) | Self::Commit(error) => explain(&error, doing, database),
        }
    }
}

/// What went wrong, read once from the driver's error and the database's code. Everything else follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Undone by the database so that others could go on: a serialization failure, a deadlock.
    Conflict,
    /// Somebody else has inserted the same.
    Duplicate,
    /// A lock was waited for in vain.
    LockTimeout,
    /// The server's time limit, or a file that is busy.
    Slow,
    /// The server does not know itself whether it happened.
    Undecided,
    /// The server has no connection or memory left.
    Crowded,
    /// The disk is full.
    Full,
    /// It takes no writes: a standby, a read-only role, server, file or transaction.
    ReadOnly,
    /// The role may not.
    Denied,
    /// A table is missing.
    Unmigrated,
    /// A prepared statement is missing or there already: another server process answers than the one that prepared it.
    Misplaced,
    /// A pooler's own word: it does not take a parameter at connecting, or has no server to give.
    TurnedAway,
    /// No connection came free in the pool.
    NoneFree,
    /// The connection is lost, or the server is stopping.
    Gone,
    /// The server or file is there and lets nobody in: no such database, wrong password, no such file.
    Barred,
    /// Whatever answers, it does not speak as the database does.
    Garbled,
    /// A file that is no database.
    NoDatabase,
    /// A damaged file.
    Damaged,
    /// Anything else.
    Other,
}

impl Kind {
    /// Reads the code: five characters on Postgres, a number on SQLite.
    pub(super) fn of(error: &sqlx::Error) -> Self {
        let Some(database) = error.as_database_error() else {
            return match error {
                sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed | sqlx::Error::PoolClosed => Self::Gone,
                sqlx::Error::PoolTimedOut => Self::NoneFree,
                sqlx::Error::Protocol(_) => Self::Garbled,
                sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) => Self::Barred,
                _ => Self::Other,
            };
        };
        let code = database.code().unwrap_or_default();
        match code.len() {
            5 => Self::of_postgres(&code, database.message()),
            _ => Self::of_sqlite(code.parse().unwrap_or_default(), database.message()),
        }
    }

    fn of_postgres(code: &str, message: &str) -> Self {
        match code {
            "40001" | "40P01" => Self::Conflict,
            "23505" => Self::Duplicate,
            "55P03" => Self::LockTimeout,
            "25P03" | "57014" => Self::Slow,
            "40003" => Self::Undecided,
            "53100" => Self::Full,
            "25006" => Self::ReadOnly,
            // What a standby cannot do has a code that other things share.
            "0A000" if ["recovery", "standby"].iter().any(|word| message.contains(word)) => Self::ReadOnly,
            "42501" => Self::Denied,
            "42P01" | "3F000" => Self::Unmigrated,
            "26000" | "42P05" => Self::Misplaced,
            "08P01" => Self::TurnedAway,
            _ => match &code[..2] {
                "53" => Self::Crowded,
                "08" => Self::Gone,
                "57" if code.starts_with("57P") => Self::Gone,
                "28" | "3D" => Self::Barred,
                _ => Self::Other,
            },
        }
    }

    fn of_sqlite(code: u32, message: &str) -> Self {
        // Extended codes keep the primary one in their low byte.
        match (code, code & 0xff) {
            (2067 | 1555, _) => Self::Duplicate,
            (_, 5 | 6) => Self::Slow,
            (_, 8) => Self::ReadOnly,
            (_, 3 | 23) => Self::Denied,
            (_, 11) => Self::Damaged,
            (_, 13) => Self::Full,
            (_, 14) => Self::Barred,
            (_, 26) => Self::NoDatabase,
            (_, 1) if message.starts_with("no such table") => Self::Unmigrated,
            _ => Self::Other,
        }
    }

    /// Whether a commit that ended so may have happened.
    fn leaves_a_commit_open(self) -> bool {
        matches!(self, Self::Gone | Self::Undecided | Self::Garbled | Self::NoneFree | Self::TurnedAway)
    }

    /// Whether the connection that met it is of no more use.
    pub(super) fn ends_the_connection(self) -> bool {
        matches!(self, Self::Gone | Self::Garbled | Self::TurnedAway)
    }

    /// Whether another attempt at a statement, or at a whole transaction, makes sense.
    fn class(self) -> FaultClass {
        match self {
            Self::Conflict
            | Self::LockTimeout
            | Self::Slow
            | Self::Crowded
            | Self::Full
            | Self::Misplaced
            | Self::NoneFree
            | Self::TurnedAway
            | Self::Gone => FaultClass::Transient,
            Self::Undecided => FaultClass::Timeout,
            Self::Garbled => FaultClass::Unknown,
            Self::Duplicate
            | Self::ReadOnly
            | Self::Denied
            | Self::Unmigrated
            | Self::Barred
            | Self::NoDatabase
            | Self::Damaged
            | Self::Other => FaultClass::Permanent,
        }
    }
}

/// An error that a commit met may have come after it happened: only a transaction that may run twice is tried again
/// after it.
impl Classify for sqlx::Error {
    fn class(&self) -> FaultClass {
        Kind::of(self).class()
    }
}

impl Classify for StoreError {
    fn class(&self) -> FaultClass {
        match self {
            Self::Unreachable { .. } | Self::Barred { .. } | Self::Busy { .. } | Self::Full { .. } => {
                FaultClass::Transient
            }
            Self::UnknownOutcome { .. } => FaultClass::Timeout,
            Self::NotMigrated { .. }
            | Self::TableMissing { .. }
            | Self::OlderSchema { .. }
            | Self::NewerSchema { .. }
            | Self::ReadOnly
            | Self::Denied { .. } => FaultClass::Permanent,
            Self::Failed { .. } => FaultClass::Unknown,
        }
    }
}

/// Whether a lock was waited for in vain. On SQLite that cannot be told from a file that is busy with anything else.
pub(super) fn is_lock_timeout(error: &sqlx::Error) -> bool {
    Kind::of(error) == Kind::LockTimeout
}

/// The database is there, and others have all the connections that we may have.
pub(super) fn all_in_use() -> StoreError {
    StoreError::Busy { doing: "waiting for a connection", why: "no connection came free in time".to_owned() }
}

/// A driver's error in words.
pub(super) fn explain(error: &sqlx::Error, doing: &'static str, database: &str) -> StoreError {
    let why = match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::PoolTimedOut => "no connection came free in time".to_owned(),
        // The driver reads nothing as a zero.
        sqlx::Error::Protocol(why) if why.contains("SSLRequest: 0x00") => {
            "the connection was closed while it was being opened".to_owned()
        }
        other => other.to_string(),
    };
    let database = || database.to_owned();
    match Kind::of(error) {
        // Not at a commit, so that whether its statement happened does not matter: its transaction did not.
        Kind::Conflict
        | Kind::LockTimeout
        | Kind::Slow
        | Kind::Undecided
        | Kind::Crowded
        | Kind::Misplaced => StoreError::Busy { doing, why },
        Kind::ReadOnly => StoreError::ReadOnly,
        Kind::Denied => StoreError::Denied { doing, why },
        Kind::Unmigrated => match missing_table(&why) {
            Some(table) => StoreError::TableMissing { database: database(), table },
            None => StoreError::NotMigrated { database: database() },
        },
        Kind::Full => StoreError::Full { doing, why },
        Kind::NoneFree | Kind::Gone | Kind::Garbled | Kind::TurnedAway => {
            StoreError::Unreachable { database: database(), why }
        }
        Kind::Barred => StoreError::Barred { database: database(), why },
        Kind::NoDatabase => {
            StoreError::Barred { database: database(), why: "the file is not a SQLite database".to_owned() }
        }
        Kind::Damaged => StoreError::Failed {
            doing,
            why: "the database file is damaged; restore it from a backup".to_owned(),
        },
        Kind::Duplicate | Kind::Other => StoreError::Failed { doing, why },
    }
}

/// The table that a database says is missing: `relation "x" does not exist`, `no such table: main.x`.
fn missing_table(message: &str) -> Option<String> {
    let named = match message.strip_prefix("no such table: ") {
        Some(name) => name,
        None => message.split(['"', '«', '»', '„', '“', '”', '`']).nth(1)?,
    };
    let table = named.trim().rsplit('.').next().unwrap_or_default();
    (!table.is_empty()).then(|| table.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_driver_says_is_tried_again_only_where_another_attempt_makes_sense() {
        for (error, class) in [
            (sqlx::Error::PoolTimedOut, FaultClass::Transient),
            (sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()), FaultClass::Transient),
            (sqlx::Error::Protocol("?".to_owned()), FaultClass::Unknown),
            (sqlx::Error::RowNotFound, FaultClass::Permanent),
            (sqlx::Error::ColumnNotFound("id".to_owned()), FaultClass::Permanent),
        ] {
            assert_eq!(error.class(), class, "{error}");
        }
    }

    /// An error with this code, as a driver brings it.
    #[derive(Debug)]
    struct Coded(&'static str, &'static str);

    impl std::fmt::Display for Coded {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.1)
        }
    }

    impl std::error::Error for Coded {}

    impl sqlx::error::DatabaseError for Coded {
        fn message(&self) -> &str {
            self.1
        }
        fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
            Some(self.0.into())
        }
        fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
            self
        }
        fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
            self
        }
        fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
            self
        }
        fn kind(&self) -> sqlx::error::ErrorKind {
            sqlx::error::ErrorKind::Other
        }
    }

    #[test]
    fn each_code_is_one_kind_and_says_one_thing() {
        let mut table = String::new();
        for (code, message) in [
            ("40001", "could not serialize"),
            ("40P01", "deadlock detected"),
            ("23505", "duplicate key"),
            ("55P03", "lock timeout"),
            ("57014", "statement timeout"),
            ("40003", "completion unknown"),
            ("53300", "too many clients"),
            ("53100", "disk full"),
            ("25006", "cannot execute INSERT in a read-only transaction"),
            ("0A000", "cannot set transaction read-write mode during recovery"),
            ("0A000", "cached plan must not change result type"),
            ("42501", "permission denied"),
            ("42P01", "relation \"redrive_work\" does not exist"),
            ("26000", "prepared statement does not exist"),
            ("42P05", "prepared statement already exists"),
            ("08P01", "unsupported startup parameter: options"),
            ("08006", "connection failure"),
            ("57P01", "terminating connection"),
            ("28P01", "password authentication failed"),
            ("2067", "UNIQUE constraint failed"),
            ("261", "database is locked"),
            ("1032", "attempt to write a readonly database"),
            ("13", "database or disk is full"),
            ("11", "malformed"),
            ("26", "file is not a database"),
            ("1", "no such table: main.redrive_work"),
        ] {
            let error = || sqlx::Error::Database(Box::new(Coded(code, message)));
            let kind = Kind::of(&error());
            let commit = Fail::Commit(error()).explain("the action", "db");
            let commit = format!("{commit:?}").split([' ', '{']).next().unwrap_or_default().to_owned();
            table.push_str(&format!("{code} {kind:?} {:?} {commit}\n", kind.class()));
        }
        let expected = "\
40001 Conflict Transient Busy
40P01 Conflict Transient Busy
23505 Duplicate Permanent Failed
55P03 LockTimeout Transient Busy
57014 Slow Transient Busy
40003 Undecided Timeout UnknownOutcome
53300 Crowded Transient Busy
53100 Full Transient Full
25006 ReadOnly Permanent ReadOnly
0A000 ReadOnly Permanent ReadOnly
0A000 Other Permanent Failed
42501 Denied Permanent Denied
42P01 Unmigrated Permanent TableMissing
26000 Misplaced Transient Busy
42P05 Misplaced Transient Busy
08P01 TurnedAway Transient UnknownOutcome
08006 Gone Transient UnknownOutcome
57P01 Gone Transient UnknownOutcome
28P01 Barred Permanent Barred
2067 Duplicate Permanent Failed
261 Slow Transient Busy
1032 ReadOnly Permanent ReadOnly
13 Full Transient Full
11 Damaged Permanent Failed
26 NoDatabase Permanent Barred
1 Unmigrated Permanent TableMissing
";
        assert_eq!(table, expected);
    }

    #[test]
    fn a_commit_whose_outcome_is_not_known_may_have_happened() {
        let unknown = StoreError::UnknownOutcome { doing: "the action" };
        assert_eq!(unknown.class(), FaultClass::Timeout);
        let busy = StoreError::Busy { doing: "the action", why: "locked".to_owned() };
        assert_eq!(busy.class(), FaultClass::Transient);
        assert_eq!(StoreError::ReadOnly.class(), FaultClass::Permanent);
    }
}
