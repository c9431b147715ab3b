//! The verbs, compiled once for each dialect: `super` says which (`Db`, `Conn`, locks, clock, wake-up).
//!
//! `tx` is a transaction with its instant; `act`, `claim`, `record` and `keys` are the writing verbs, `read` the
//! board; the rest is what they share.

use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;

use super::{
    BEGIN_READ, BEGIN_WRITE, Db, LAST_WORDS, NOW, RawConn, WHY_READ_ONLY, Wake,
    door::{Conn, Door},
    lock_action, none_came_free, wait_as, wait_at_most,
};
use crate::{
    domain::{
        id::{KeyId, OnboardingId, StateName, WorkerId},
        key::KeyRun,
    },
    engine::{
        command::{Command, Receipt, Refusal, Submission},
        key::{Hold, KeyBegun, KeyEnd, KeyIntent, KeyStore},
        lock::{LockStore, Locked},
        plan::Standing,
        reader::{Board, Query, Reader},
        runs::Runs,
        store::{
            Claimed, Conflict, Gauges, Heartbeat, Lease, Opening, Recorded, Steering, StepRecord, Store,
            StoreError,
        },
    },
    store::{
        BoundTime, OpenOptions,
        error::{Fail, is_lock_timeout},
        schema,
        value::Time,
    },
};

/// Of a compensation `c`: an onboarding that stands and has made or found the same thing.
macro_rules! relied_on_by {
    () => {
        "(SELECT min(o.onboarding_id) FROM redrive_compensations o JOIN onboarding_history h ON h.id = o.onboarding_id \
         WHERE o.operation = c.operation AND o.resource = c.resource AND o.onboarding_id <> c.onboarding_id \
         AND o.status <> 'undone' AND h.status <> 'failed_cleaned_up' \
         AND coalesce(h.phase, '') NOT IN ('rolling_back', 'stuck', 'rolled_back')) AS relied_on_by"
    };
}

/// The longest a clean stop waits for the database.
const GOODBYE: Duration = Duration::from_secs(1);

mod act;
mod answer;
mod aside;
mod attempt;
mod audit;
mod claim;
mod clean_up;
mod end;
mod entity;
mod held;
mod key;
mod letter;
mod lock;
mod onboarding;
mod read;
mod record;
mod regroup;
mod replay;
mod reveal;
mod row;
mod standing;
mod steering;
mod step_key;
pub(super) mod transaction;
mod tx;
mod worker;

use aside::Told;
use tx::{Rules, Tx};

/// An open database.
pub(super) struct Handle {
    write: Option<Door>,
    read: Door,
    time: BoundTime,
    rules: Rules,
    label: String,
    wake: Wake,
    /// The folder of a temporary database, removed with this value.
    _kept: Option<tempfile::TempDir>,
}

/// Runs `$verb` in a transaction of its own and commits; again when somebody else was in the way and nothing happened.
macro_rules! in_transaction {
    ($self:ident, |$tx:ident| $verb:expr) => {{
        let mut tries = 0_u32;
        loop {
            let tried = async {
                let mut opened = $self.begin().await?;
                let $tx = &mut opened;
                let value = match $verb.await {
                    Ok(value) => value,
                    Err(error) => {
                        // At once, not when the connection is next used: its locks would look like somebody's.
                        opened.undo().await;
                        return Err(Fail::from(error));
                    }
                };
                let has_work = opened.commit().await?;
                Ok::<_, Fail>((value, has_work))
            };
            match tried.await {
                Ok((value, has_work)) => {
                    if has_work {
                        $self.wake.signal();
                    }
                    break Ok(value);
                }
                Err(fail) if fail.is_worth_repeating() && tries < 5 => tries += 1,
                Err(fail) => break Err(fail),
            }
        }
    }};
}

impl Handle {
    pub(super) fn new(
        write: Option<Door>,
        read: Door,
        options: &OpenOptions,
        label: String,
        wake: Wake,
        kept: Option<tempfile::TempDir>,
    ) -> Self {
        let rules = Rules {
            cool_down: options.cool_down,
            per_second: options.unpark_per_second,
            quarantine_after: options.quarantine_after,
            cleanup_after: options.cleanup_after,
        };
        Self { write, read, time: options.time.clone(), rules, label, wake, _kept: kept }
    }

    async fn begin(&self) -> Result<Tx, Fail> {
        let door = self.writing()?;
        let mut conn = self.free(door, door.begin(BEGIN_WRITE).await).await?;
        let now = self.now(&mut conn).await?;
        Ok(Tx::new(conn, now, self.rules))
    }

    /// A connection that may write, for statements that are each a transaction of their own.
    async fn single(&self) -> Result<Conn<'static>, Fail> {
        let door = self.writing()?;
        self.free(door, door.single().await).await
    }

    fn writing(&self) -> Result<&Door, Fail> {
        let door = self.write.as_ref().ok_or(Fail::Store(StoreError::ReadOnly))?;
        self.wake.still_there(&self.label)?;
        Ok(door)
    }

    async fn free<T>(&self, door: &Door, taken: Result<T, sqlx::Error>) -> Result<T, Fail> {
        match taken {
            Err(sqlx::Error::PoolTimedOut) => Err(none_came_free(&door.pool, &self.label).await.into()),
            other => Ok(other?),
        }
    }

    /// A read-only transaction: everything read in it is of one instant.
    async fn look(&self) -> Result<(Conn<'static>, Time), sqlx::Error> {
        let mut conn = self.read.begin(BEGIN_READ).await?;
        let now = self.now(&mut conn).await?;
        Ok((conn, now))
    }

    async fn now(&self, conn: &mut Conn<'_>) -> Result<Time, sqlx::Error> {
        match self.time.get() {
            Some(at) => Ok(Time::new(at)),
            None => sqlx::query_scalar(NOW).fetch_one(conn).await,
        }
    }

    /// Puts a row aside that cannot be taken because of `why`, and says so in as many places as it lets us.
    async fn put_aside(&self, id: &OnboardingId, worker: &WorkerId, why: &str) -> Result<(), StoreError> {
        tracing::warn!(onboarding = %id, why, "cannot be taken as it stands in the database: put aside, the others go on");
        let mut put = Ok(());
        for told in [Told::Everywhere, Told::AsAnAttempt, Told::Nowhere] {
            put = in_transaction!(self, |tx| aside::put(tx, id, worker, why, told));
            if put.is_ok() {
                break;
            }
        }
        put.map_err(self.say("putting work aside"))
    }

    fn say(&self, doing: &'static str) -> impl Fn(Fail) -> StoreError + '_ {
        move |fail| fail.explain(doing, &self.label)
    }
}

/// Statements that are each a transaction of their own: whether one whose connection was lost happened is not known.
macro_rules! in_one_statement {
    ($self:ident, |$conn:ident, $at:ident| $verb:expr) => {{
        let mut tries = 0_u32;
        loop {
            let tried = async {
                let mut connection = $self.single().await?;
                let ($conn, $at) = (&mut connection, $self.time.get().map(Time::new));
                let value = $verb.await.map_err(Fail::Commit)?;
                connection.commit().await.map_err(Fail::Commit)?;
                Ok::<_, Fail>(value)
            };
            match tried.await {
                Err(fail) if fail.met_pooler() && tries == 0 => tries += 1,
                other => break other,
            }
        }
    }};
}

/// Reads `$what` in a transaction that only reads.
macro_rules! in_snapshot {
    ($self:ident, $doing:literal, |$conn:ident, $now:ident| $what:expr) => {{
        let mut tries = 0_u32;
        loop {
            let tried = async {
                let (mut opened, $now) = $self.look().await?;
                let $conn = &mut opened;
                $what.await
            };
            match tried.await.map_err(Fail::Sql) {
                Err(fail) if fail.met_pooler() && tries == 0 => tries += 1,
                other => break other.map_err($self.say($doing)),
            }
        }
    }};
}

#[async_trait]
impl KeyStore for Handle {
    async fn begin(&self, key: &KeyIntent, hold: &Hold) -> Result<KeyBegun, StoreError> {
        const DOING: &str = "beginning under a key";
        // The two common cases take a statement or two; all others are judged under the key's lock.
        let first = in_one_statement!(self, |conn, at| async {
            match key::first(conn, at, key, hold).await? {
                true => Ok(Some(KeyBegun::Run(KeyRun::New))),
                false => key::look(conn, at, key, hold).await,
            }
        });
        let begun = match first {
            Ok(Some(begun)) => Ok(begun),
            Ok(None) => in_transaction!(self, |tx| {
                let now = tx.now;
                key::begin(tx.conn(), now, key, hold)
            }),
            Err(fail) => Err(fail),
        };
        match begun {
            // A caller's transaction has the key; or somebody has the whole table, and nothing is known of the key.
            Err(Fail::Sql(error) | Fail::Commit(error)) if is_lock_timeout(&error) => {
                let free = in_transaction!(self, |tx| held::table_is_free(tx.conn()));
                free.map(|()| KeyBegun::InFlight { retry_after: None }).map_err(self.say(DOING))
            }
            other => other.map_err(self.say(DOING)),
        }
    }

    async fn keep(&self, key: &KeyId, hold: &Hold) -> Result<bool, StoreError> {
        in_one_statement!(self, |conn, at| key::keep(conn, at, key, hold))
            .map_err(self.say("keeping a key's lease"))
    }

    async fn end(&self, key: &KeyId, hold: &Hold, end: &KeyEnd) -> Result<bool, StoreError> {
        in_one_statement!(self, |conn, at| key::end(conn, at, key, hold, end))
            .map_err(self.say("ending the work under a key"))
    }

    async fn sweep(&self, at_most: u32) -> Result<u64, StoreError> {
        in_transaction!(self, |tx| key::sweep(tx, at_most)).map_err(self.say("forgetting old keys"))
    }
}

#[async_trait]
impl LockStore for Handle {
    async fn lock(&self, resource: &str, owner: &str, ttl: Duration) -> Result<Locked, StoreError> {
        in_transaction!(self, |tx| lock::lock(tx, resource, owner, ttl)).map_err(self.say("taking a lock"))
    }

    async fn unlock(&self, resource: &str, owner: &str) -> Result<bool, StoreError> {
        in_transaction!(self, |tx| lock::unlock(tx, resource, owner))
            .map_err(self.say("letting go of a lock"))
    }
}

#[async_trait]
impl Store for Handle {
    async fn act(&self, submission: &Submission) -> Result<Receipt, Refusal> {
        in_transaction!(self, |tx| act::act(tx, submission)).map_err(|fail| match fail {
            Fail::Refused(refusal) => *refusal,
            other => Refusal::Store(other.explain("the action", &self.label)),
        })
    }

    async fn claim(
        &self,
        worker: &WorkerId,
        runs: &Runs,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<Claimed>, StoreError> {
        loop {
            let mut taking = None;
            let claimed =
                in_transaction!(self, |tx| claim::claim(tx, worker, runs, limit, lease, &mut taking));
            let error = match claimed {
                Ok(claimed) => return Ok(claimed),
                Err(fail) => fail.explain("claiming work", &self.label),
            };
            match (taking, &error) {
                // It is about this row: one does not hold up the others. The loop ends, because it is not due any more.
                (Some(id), StoreError::Failed { why, .. }) => self.put_aside(&id, worker, why).await?,
                _ => return Err(error),
            }
        }
    }

    async fn open(
        &self,
        lease: &Lease,
        state: &StateName,
        opening: &Opening,
    ) -> Result<Result<(), Conflict>, StoreError> {
        in_transaction!(self, |tx| record::open(tx, lease, state, opening))
            .map_err(self.say("opening a state"))
    }

    async fn record(
        &self,
        records: &[StepRecord],
        lease: Duration,
    ) -> Result<Vec<Result<Recorded, Conflict>>, StoreError> {
        in_transaction!(self, |tx| record::record(tx, records, lease)).map_err(self.say("recording a step"))
    }

    async fn pace_replays(&self) -> Result<u64, StoreError> {
        in_transaction!(self, |tx| replay::pace(tx)).map_err(self.say("moving replays on"))
    }

    async fn clean_up(&self) -> Result<u64, StoreError> {
        let Some(after) = self.rules.cleanup_after else { return Ok(0) };
        let due = in_snapshot!(self, "looking for what is to be undone", |conn, now| clean_up::due(
            conn, now, after
        ))?;
        let mut begun = 0;
        for roll_back in due {
            match self.act(&roll_back).await {
                Ok(receipt) => begun += u64::from(!receipt.repeated),
                Err(Refusal::Store(error)) => return Err(error),
                // Somebody was faster, or decided otherwise.
                Err(_) => {}
            }
        }
        Ok(begun)
    }

    async fn regroup(&self) -> Result<u64, StoreError> {
        const DOING: &str = "grouping letters again";
        // Looked first, without a lock: nearly always there is nothing to do.
        match in_snapshot!(self, "looking for letters to group again", |conn, _now| regroup::is_due(conn))? {
            true => in_transaction!(self, |tx| regroup::page(tx)).map_err(self.say(DOING)),
            false => Ok(0),
        }
    }

    async fn renew(&self, leases: &[Lease], lease: Duration) -> Result<Vec<Lease>, StoreError> {
        in_transaction!(self, |tx| claim::renew(tx, leases, lease)).map_err(self.say("renewing leases"))
    }

    async fn beat(&self, beat: &Heartbeat) -> Result<(), StoreError> {
        in_transaction!(self, |tx| worker::beat(tx, beat)).map_err(self.say("a worker's sign of life"))
    }

    async fn steering(&self) -> Result<Vec<Steering>, StoreError> {
        in_snapshot!(self, "reading what operators decided", |conn, now| steering::steering(conn, now))
    }

    async fn leave(&self, worker: &WorkerId) -> Result<(), StoreError> {
        in_transaction!(self, |tx| worker::leave(tx, worker)).map_err(self.say("a worker's goodbye"))
    }

    async fn next_due(&self, runs: &Runs) -> Result<Option<TimeDelta>, StoreError> {
        in_snapshot!(self, "looking for due work", |conn, now| claim::next_due(conn, now, runs))
    }

    async fn wait(&self, at_most: Duration) {
        self.wake.wait(at_most).await;
    }

    async fn gauges(&self) -> Result<Gauges, StoreError> {
        in_snapshot!(self, "counting", |conn, _now| worker::gauges(conn))
    }

    async fn close(&self) {
        let closing = async {
            self.wake.close().await;
            self.read.pool.close().await;
            let Some(write) = &self.write else { return };
            if let (Some(words), Ok(mut last)) = (LAST_WORDS, write.single().await) {
                // Where others read on, what is left in the log stays there.
                let _ = sqlx::raw_sql(words).execute(&mut last).await;
            }
            write.pool.close().await;
        };
        let _ = tokio::time::timeout(GOODBYE, closing).await;
    }
}

#[async_trait]
impl Reader for Handle {
    async fn read(&self, query: &Query) -> Result<Board, StoreError> {
        self.wake.still_there(&self.label)?;
        let mut board = in_snapshot!(self, "reading the board", |conn, now| read::board(conn, now, query))?;
        if board.read_only.is_none() {
            board.read_only = self.wake.refusal();
        }
        Ok(board)
    }

    async fn standing(&self, command: &Command) -> Result<Standing, StoreError> {
        in_snapshot!(self, "reading the preview", |conn, now| {
            standing::of_command(conn, now, command, &self.rules)
        })
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.wake.still_there(&self.label)?;
        let newest = async {
            let mut conn = self.free(&self.read, self.read.single().await).await?;
            let newest = "SELECT max(version) FROM redrive_migrations WHERE success";
            let newest: Option<i64> = sqlx::query_scalar(newest).fetch_one(&mut conn).await?;
            conn.commit().await?;
            Ok(newest)
        };
        schema::check(newest.await.map_err(self.say("asking whether it is there"))?, &self.label)
    }

    fn label(&self) -> String {
        self.label.clone()
    }
}
