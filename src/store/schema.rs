//! The migrations, and which of them a database has.

use std::borrow::Cow;

use serde::Serialize;
use sqlx::{
    AssertSqlSafe, SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
};

use crate::engine::store::StoreError;

/// One migration, embedded in the program.
pub(super) struct Embedded {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

/// All of them, oldest first.
const ALL: [Embedded; 1] = [Embedded {
    version: 1,
    name: "first",
    sqlite: include_str!("../../migrations/sqlite/0001_first.sql"),
    postgres: include_str!("../../migrations/postgres/0001_first.sql"),
}];

/// The newest version this program knows.
pub(super) const NEWEST: i64 = ALL[ALL.len() - 1].version;

/// A migration that was applied just now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// Its number.
    pub version: i64,
    /// Its name.
    pub name: String,
}

/// Which texts to take.
#[derive(Debug, Clone, Copy)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

/// Takes no lock of its own: sqlx's would be held by the session and waited for without end.
pub(super) fn migrator(dialect: Dialect) -> Migrator {
    let migrations = ALL.iter().map(|embedded| {
        let sql = match dialect {
            Dialect::Sqlite => embedded.sqlite,
            Dialect::Postgres => embedded.postgres,
        };
        Migration::new(
            embedded.version,
            Cow::Borrowed(embedded.name),
            MigrationType::Simple,
            AssertSqlSafe(sql).into_sql_str(),
            false,
        )
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    migrator.dangerous_set_table_name("redrive_migrations");
    migrator.set_locking(false);
    migrator
}

/// Those after `had`, which is what a migration that went through applied.
pub(super) fn after(had: Option<i64>) -> Vec<Applied> {
    let fresh = ALL.iter().filter(|m| had.is_none_or(|had| m.version > had));
    fresh.map(|m| Applied { version: m.version, name: m.name.to_owned() }).collect()
}

/// Whether this program can work with a database whose newest migration is `found`.
pub(super) fn check(found: Option<i64>, database: &str) -> Result<(), StoreError> {
    match found {
        None => Err(StoreError::NotMigrated { database: database.to_owned() }),
        Some(found) if found < NEWEST => Err(StoreError::OlderSchema { found, needed: NEWEST }),
        Some(found) if found > NEWEST => Err(StoreError::NewerSchema { found, known: NEWEST }),
        Some(_) => Ok(()),
    }
}
