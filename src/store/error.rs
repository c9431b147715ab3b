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
        // A unique violation: somebody else was faster, and judging again will see it.
        matches!(code(error).as_deref(), Some("40001" | "40P01" | "23505" | "2067" | "1555"))
    }

    /// In the engine's words. `doing` is for people; `database` is the label without the password.
    pub(super) fn explain(self, doing: &'static str, database: &str) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Refused(refusal) => match *refusal {
                Refusal::Store(error) => error,
                other => StoreError::Failed { doing, why: other.to_string() },
            },
            Self::Commit(error) if is_lost(&error) => StoreError::UnknownOutcome { doing },
            Self::Sql(error) | Self::Commit(error) => explain(&error, doing, database),
        }
    }
}

/// Whether another attempt at a statement, or at a whole transaction, makes sense. An error that a commit met may have
/// come after it happened: only a transaction that may run twice is tried again after it.
impl Classify for sqlx::Error {
    fn class(&self) -> FaultClass {
        if let Some(code) = code(self) {
            return match (code.len(), code.as_str()) {
                // Serialization, deadlock, lock and statement timeouts, and what the server lacks or is about to do.
                (5, "25P03" | "40001" | "40P01" | "55P03" | "57014" | "57P01" | "57P02" | "57P03") => {
                    FaultClass::Transient
                }
                (5, c) if c.starts_with("08") || c.starts_with("53") => FaultClass::Transient,
                (5, "40003") => FaultClass::Timeout,
                (5, _) => FaultClass::Permanent,
                // SQLite's extended codes keep the primary one in their low byte: busy, locked, full.
                (_, c) if matches!(c.parse::<u32>().unwrap_or_default() & 0xff, 5 | 6 | 13) => {
                    FaultClass::Transient
                }
                _ => FaultClass::Permanent,
            };
        }
        match self {
            Self::PoolTimedOut | Self::WorkerCrashed | Self::Io(_) | Self::Tls(_) => FaultClass::Transient,
            Self::Protocol(_) => FaultClass::Unknown,
            _ => FaultClass::Permanent,
        }
    }
}

impl Classify for StoreError {
    fn class(&self) -> FaultClass {
        match self {
            Self::Unreachable { .. } | Self::Busy { .. } | Self::Full { .. } => FaultClass::Transient,
            Self::UnknownOutcome { .. } => FaultClass::Timeout,
            Self::NotMigrated { .. }
            | Self::OlderSchema { .. }
            | Self::NewerSchema { .. }
            | Self::ReadOnly
            | Self::Denied { .. } => FaultClass::Permanent,
            Self::Failed { .. } => FaultClass::Unknown,
        }
    }
}

/// The database's code: five characters on Postgres, a number on SQLite.
fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(|c| c.into_owned())
}

/// Whether a lock was waited for in vain. On SQLite that cannot be told from a file that is busy with anything else.
pub(super) fn is_lock_timeout(error: &sqlx::Error) -> bool {
    code(error).as_deref() == Some("55P03")
}

/// Whether a commit that ended so may have happened.
fn is_lost(error: &sqlx::Error) -> bool {
    match code(error) {
        None => true,
        Some(code) => code == "40003" || code.starts_with("08") || code.starts_with("57P"),
    }
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
    let unreachable = |why: String| StoreError::Unreachable { database: database.to_owned(), why };
    let Some(code) = code(error) else {
        return match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            // Whatever answers, it does not speak as the database does.
            | sqlx::Error::Protocol(_)
            | sqlx::Error::Configuration(_) => unreachable(why),
            _ => StoreError::Failed { doing, why },
        };
    };
    if code.len() == 5 {
        return match code.as_str() {
            // Not at a commit, so that whether its statement happened does not matter: its transaction did not.
            "25P03" | "57014" | "55P03" | "40001" | "40P01" | "40003" => StoreError::Busy { doing, why },
            "25006" => StoreError::ReadOnly,
            "42501" => StoreError::Denied { doing, why },
            "42P01" | "3F000" => StoreError::NotMigrated { database: database.to_owned() },
            "53100" => StoreError::Full { doing, why },
            c if c.starts_with("53") => StoreError::Busy { doing, why },
            c if ["08", "57P", "28", "3D"].iter().any(|class| c.starts_with(class)) => unreachable(why),
            _ => StoreError::Failed { doing, why },
        };
    }
    // SQLite's extended codes keep the primary one in their low byte.
    match code.parse::<u32>().unwrap_or_default() & 0xff {
        5 | 6 => StoreError::Busy { doing, why },
        8 => StoreError::ReadOnly,
        3 | 23 => StoreError::Denied { doing, why },
        14 => unreachable(why),
        26 => unreachable("the file is not a SQLite database".to_owned()),
        11 => StoreError::Failed {
            doing,
            why: "the database file is damaged; restore it from a backup".to_owned(),
        },
        13 => StoreError::Full { doing, why },
        1 if why.starts_with("no such table") => StoreError::NotMigrated { database: database.to_owned() },
        _ => StoreError::Failed { doing, why },
    }
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

    #[test]
    fn a_commit_whose_outcome_is_not_known_may_have_happened() {
        let unknown = StoreError::UnknownOutcome { doing: "the action" };
        assert_eq!(unknown.class(), FaultClass::Timeout);
        let busy = StoreError::Busy { doing: "the action", why: "locked".to_owned() };
        assert_eq!(busy.class(), FaultClass::Transient);
        assert_eq!(StoreError::ReadOnly.class(), FaultClass::Permanent);
    }
}
