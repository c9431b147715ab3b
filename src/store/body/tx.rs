//! A writing transaction: its instant, what its commit has to do besides, and whether it made work.

use std::{collections::BTreeMap, time::Duration};

use super::Conn;
use crate::{
    domain::letter::LetterStatus,
    store::{error::Fail, value::Time},
};

pub(super) struct Tx {
    conn: Conn<'static>,
    /// The database's clock when the transaction began; every statement is bound to it.
    pub(super) now: Time,
    pub(super) rules: Rules,
    /// Work became due, or will: others are told after the commit.
    pub(super) has_work: bool,
    /// Nothing of it is to stay: its commit undoes it instead.
    pub(super) forgets: bool,
    groups: BTreeMap<String, GroupShift>,
}

/// What a store was told when it was opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// How long a caller's trigger waits after a failure.
    pub(super) cool_down: Duration,
    /// How many come back a second of what one operation parked.
    pub(super) per_second: f64,
    /// A letter that failed again after so many replays is quarantined.
    pub(super) quarantine_after: u32,
    /// What failed so long ago is undone by itself; `None`: never.
    pub(super) cleanup_after: Option<Duration>,
}

/// How a group's kept counters move. Written last and in order, because groups are locked last.
#[derive(Debug, Clone, Default)]
pub(super) struct GroupShift {
    pub(super) open: i64,
    pub(super) replaying: i64,
    pub(super) action: Option<String>,
    /// Letters that came to it.
    pub(super) born: Option<Born>,
    /// Letters that went to another group.
    pub(super) left: i64,
}

/// Letters that come to a group.
#[derive(Debug, Clone)]
pub(super) struct Born {
    /// An example of the error.
    pub(super) error: String,
    pub(super) operation: Option<String>,
    pub(super) count: i64,
    /// When the first and the last of them were written.
    pub(super) first: Time,
    pub(super) last: Time,
    /// What was done to them before they came.
    pub(super) action: Option<String>,
}

impl GroupShift {
    /// A letter of it is not in `status` any more.
    pub(super) fn leave(&mut self, status: Option<LetterStatus>) {
        self.count(status, -1);
    }

    /// A letter of it is in `status` from now on.
    pub(super) fn enter(&mut self, status: LetterStatus) {
        self.count(Some(status), 1);
    }

    /// Letters come to it.
    pub(super) fn bear(&mut self, new: Born) {
        let Some(born) = &mut self.born else {
            self.born = Some(new);
            return;
        };
        born.count += new.count;
        born.first = born.first.min(new.first);
        if born.last <= new.last {
            (born.last, born.error) = (new.last, new.error);
            born.action = new.action.or(born.action.take());
        }
    }

    fn count(&mut self, status: Option<LetterStatus>, by: i64) {
        match status {
            Some(LetterStatus::Open) => self.open += by,
            Some(LetterStatus::Replaying) => self.replaying += by,
            Some(LetterStatus::Closed | LetterStatus::Discarded | LetterStatus::Quarantined) | None => {}
        }
    }
}

impl Tx {
    pub(super) fn new(conn: Conn<'static>, now: Time, rules: Rules) -> Self {
        Self { conn, now, rules, has_work: false, forgets: false, groups: BTreeMap::new() }
    }

    pub(super) fn conn(&mut self) -> &mut Conn<'static> {
        &mut self.conn
    }

    pub(super) fn group(&mut self, fingerprint: &str) -> &mut GroupShift {
        self.groups.entry(fingerprint.to_owned()).or_default()
    }

    /// Commits; answers whether there is work to tell others of.
    pub(super) async fn commit(mut self) -> Result<bool, Fail> {
        if self.forgets {
            self.undo().await;
            return Ok(false);
        }
        for (fingerprint, shift) in std::mem::take(&mut self.groups) {
            self.shift(&fingerprint, shift).await?;
        }
        self.conn.commit().await.map_err(Fail::Commit)?;
        Ok(self.has_work)
    }

    /// Undoes everything and lets go of every lock.
    pub(super) async fn undo(self) {
        self.conn.undo().await;
    }

    async fn shift(&mut self, fingerprint: &str, shift: GroupShift) -> Result<(), sqlx::Error> {
        if let Some(born) = shift.born {
            let insert = "INSERT INTO redrive_letter_groups (error_fingerprint, error, operation, total, first_seen, last_seen, action_id) \
                VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (error_fingerprint) DO UPDATE SET \
                error = CASE WHEN excluded.last_seen < redrive_letter_groups.last_seen THEN redrive_letter_groups.error \
                ELSE excluded.error END, \
                total = redrive_letter_groups.total + excluded.total, \
                first_seen = CASE WHEN excluded.first_seen < redrive_letter_groups.first_seen THEN excluded.first_seen \
                ELSE redrive_letter_groups.first_seen END, \
                last_seen = CASE WHEN excluded.last_seen > redrive_letter_groups.last_seen THEN excluded.last_seen \
                ELSE redrive_letter_groups.last_seen END, \
                action_id = coalesce(redrive_letter_groups.action_id, excluded.action_id)";
            let insert = sqlx::query(insert).bind(fingerprint).bind(born.error).bind(born.operation);
            let insert = insert.bind(born.count).bind(born.first).bind(born.last).bind(born.action);
            insert.execute(&mut self.conn).await?;
        }
        let update = "UPDATE redrive_letter_groups SET open = open + $2, replaying = replaying + $3, \
            action_id = coalesce($4, action_id), total = total - $5 WHERE error_fingerprint = $1";
        let update = sqlx::query(update).bind(fingerprint).bind(shift.open).bind(shift.replaying);
        update.bind(shift.action).bind(shift.left).execute(&mut self.conn).await?;
        if shift.left > 0 {
            let delete = "DELETE FROM redrive_letter_groups WHERE error_fingerprint = $1 AND total <= 0 AND open <= 0 \
                AND replaying <= 0";
            sqlx::query(delete).bind(fingerprint).execute(&mut self.conn).await?;
        }
        Ok(())
    }

    /// A point inside the transaction to come back to.
    pub(super) async fn save(&mut self) -> Result<Saved, sqlx::Error> {
        sqlx::query("SAVEPOINT step").execute(&mut self.conn).await?;
        Ok(Saved { has_work: self.has_work, groups: self.groups.clone() })
    }

    pub(super) async fn release(&mut self) -> Result<(), sqlx::Error> {
        sqlx::query("RELEASE SAVEPOINT step").execute(&mut self.conn).await.map(|_| ())
    }

    pub(super) async fn back_to(&mut self, saved: Saved) -> Result<(), sqlx::Error> {
        sqlx::query("ROLLBACK TO SAVEPOINT step").execute(&mut self.conn).await?;
        (self.has_work, self.groups) = (saved.has_work, saved.groups);
        self.release().await
    }
}

/// What a savepoint does not bring back by itself.
pub(super) struct Saved {
    has_work: bool,
    groups: BTreeMap<String, GroupShift>,
}
