//! Keys and messages in the caller's own transaction: they commit together with its rows, or not at all.
//!
//! ```text
//!   BEGIN                 the caller's
//!     SAVEPOINT           the key is inserted; a transaction that has it is waited for
//!       SAVEPOINT         the work, on the same connection
//!       completed         its rows stay, the answer is stored
//!       failed            its rows go, the answer is stored
//!     freed, an error     all of it goes: the key is as it was
//!   COMMIT                the caller's
//! ```
//! Where a key stands is judged in `key`, as for everybody who asks.

use std::time::Duration;

use serde::Serialize;
use sqlx::{Connection, Transaction, query, query_scalar};

use super::{Conn, Db, NOW, RawConn, key, row::Columns, wait_as, wait_at_most};
use crate::{
    domain::{canonical, key::KeyRun},
    engine::{
        idempotency::{Held, Operation, Outcome, Source, Worked},
        key::{Hold, KeyBegun, KeyEnd, KeyIntent},
        observer::{KeyOutcome, Observer},
        store::StoreError,
    },
    store::{
        Consumed, Undone,
        error::{explain, is_lock_timeout},
        value::{Time, clean},
    },
};

/// Runs `work` in the caller's transaction unless `client_key` says that it was done for this `request`. The key and
/// the rows that `work` writes are committed together when the caller commits, and neither is when it rolls back, so
/// that the effect of one key happens once. What `work` does elsewhere is not undone: use
/// [`Keys::once`](crate::engine::idempotency::Keys::once) for that.
///
/// - While one transaction has the key, others that ask for it wait for its end instead of being told to come again,
///   then replay its answer, or run if it rolled back. On Postgres they wait for [`Operation::wait`] at most. On SQLite
///   all writers wait for each other, at the file's lock, for the connection's `busy_timeout`: begin with `BEGIN
///   IMMEDIATE` where you read before this call.
/// - [`Worked::Completed`] stores its answer. [`Worked::Failed`] stores its answer and undoes what `work` wrote.
///   [`Worked::Freed`] and an error undo what `work` wrote and leave the key as it was.
/// - The lease of `operation` is not used, because nobody sees the key before the commit, nor is
///   [`Operation::when_down`]: without the database there is no transaction.
/// - `observer` counts what was asked, whether or not the caller commits; `&()` counts nowhere.
///
/// The transaction has to be sqlx's, not begun by hand. Drop this future only together with the transaction: a time
/// limit belongs around both.
///
/// # Errors
/// [`Undone::Held`] with [`Held::InFlight`] where somebody works under the key outside of a transaction, or (on
/// Postgres) the wait was too long; with [`Held::Mismatch`], which is counted on the key if the caller commits; with
/// [`Held::Store`] where the database failed, and on SQLite where the file's lock was waited for too long.
/// [`Undone::Work`] is the work's own error.
pub async fn once_in<E>(
    tx: &mut RawConn,
    operation: &Operation,
    client_key: &str,
    request: &(impl Serialize + ?Sized),
    observer: &dyn Observer,
    work: impl AsyncFnOnce(&mut RawConn) -> Result<Worked, E>,
) -> Result<Outcome, Undone<E>> {
    const DOING: &str = "doing a thing once in a transaction";
    let hash = canonical::hash(request).map_err(|error| Held::Request(error.to_string()))?;
    let key = KeyIntent::new(&operation.name, client_key, hash).map_err(Held::from)?;
    let hold = Hold::new("a transaction", operation.lease, operation.retention);
    // What is not committed below is rolled back when its savepoint is dropped.
    let mut outer = save(tx, DOING).await?;
    let begun = begin(&mut Conn::theirs(&mut outer), &key, &hold, operation.wait).await.map_err(say(DOING));
    let outcome = match &begun {
        Ok(begun) => begun.outcome(),
        Err(Held::InFlight { .. }) => KeyOutcome::InProgress,
        Err(_) => KeyOutcome::Error,
    };
    observer.key_asked(&operation.name, outcome);
    let run = match begun? {
        KeyBegun::Run(run) => run,
        KeyBegun::Replay(answer) => return Ok(Outcome { answer, source: Source::Stored }),
        KeyBegun::InFlight { retry_after } => return Err(Held::InFlight { retry_after }.into()),
        KeyBegun::Mismatch => {
            outer.commit().await.map_err(say(DOING))?;
            return Err(Held::Mismatch.into());
        }
    };
    let source = Source::Ran(run);
    let mut inner = save(&mut outer, DOING).await?;
    let (answer, end) = match work(&mut inner).await.map_err(Undone::Work)? {
        Worked::Completed(answer) => {
            inner.commit().await.map_err(say(DOING))?;
            (answer.clone(), KeyEnd::Completed(answer))
        }
        Worked::Failed(answer) => {
            drop(inner);
            (answer.clone(), KeyEnd::Failed(answer))
        }
        Worked::Freed(answer) => return Ok(Outcome { answer, source }),
    };
    if !key::end(&mut Conn::theirs(&mut outer), None, &key.key, &hold, &end).await.map_err(say(DOING))? {
        let why = "the work itself wrote the row of its key: leave that to this call".to_owned();
        return Err(Held::Store(StoreError::Failed { doing: DOING, why }).into());
    }
    outer.commit().await.map_err(say(DOING))?;
    Ok(Outcome { answer, source })
}

/// Runs `work` in the caller's transaction unless the message `message_id` was processed before, and records it there:
/// for queues that deliver at least once. Both are committed together when the caller commits: acknowledge the message
/// after that. What `work` does elsewhere than in this database may be done again: for that use
/// [`Keys::once`](crate::engine::idempotency::Keys::once) with the message's id as the key, kept for
/// [`Retention::MESSAGE`](crate::config::Retention::MESSAGE).
///
/// The message is remembered for `retention`, and new again afterwards: choose it longer than the queue redelivers;
/// `Retention::MESSAGE` is usual. What other services recorded is remembered until they remove it. A delivery beside
/// one that is being processed waits for its end, as long as the connection waits for locks (`lock_timeout`,
/// `busy_timeout`), and is a duplicate then, or runs if the first rolled back.
///
/// The transaction has to be sqlx's, not begun by hand. Drop this future only together with the transaction.
///
/// # Errors
/// [`Undone::Work`] with the work's own error, its rows undone and the message not recorded; [`Undone::Held`] with
/// [`Held::Store`] where the database failed, or [`Held::InFlight`] where the other delivery took too long (on
/// Postgres).
pub async fn consume<T, E>(
    tx: &mut RawConn,
    message_id: &str,
    retention: Duration,
    work: impl AsyncFnOnce(&mut RawConn) -> Result<T, E>,
) -> Result<Consumed<T>, Undone<E>> {
    const DOING: &str = "consuming a message";
    let mut outer = save(tx, DOING).await?;
    if let Some(at) =
        processed(&mut Conn::theirs(&mut outer), message_id, retention).await.map_err(say(DOING))?
    {
        return Ok(Consumed::Duplicate { processed_at: at.0 });
    }
    let done = work(&mut outer).await.map_err(Undone::Work)?;
    outer.commit().await.map_err(say(DOING))?;
    Ok(Consumed::Processed(done))
}

/// A savepoint in the caller's transaction.
async fn save<'c>(conn: &'c mut RawConn, doing: &'static str) -> Result<Transaction<'c, Db>, Held> {
    if !conn.is_in_transaction() {
        let why = "the connection is in no transaction of sqlx: hand over one that `begin` made".to_owned();
        return Err(Held::Store(StoreError::Failed { doing, why }));
    }
    Connection::begin(conn).await.map_err(say(doing))
}

/// Takes the key or says why not; waits for a transaction that has it.
async fn begin(
    conn: &mut Conn<'_>,
    key: &KeyIntent,
    hold: &Hold,
    wait: Duration,
) -> Result<KeyBegun, sqlx::Error> {
    let before = wait_at_most(conn, wait).await?;
    let begun = if key::first(conn, None, key, hold).await? {
        KeyBegun::Run(KeyRun::New)
    } else if let Some(begun) = key::look(conn, None, key, hold).await? {
        begun
    } else {
        let now = query_scalar(NOW).fetch_one(&mut *conn).await?;
        key::begin(conn, now, key, hold).await?
    };
    wait_as(conn, before).await?;
    Ok(begun)
}

/// Records a message that is new, or was forgotten; answers when it was processed otherwise.
async fn processed(conn: &mut Conn<'_>, id: &str, retention: Duration) -> Result<Option<Time>, sqlx::Error> {
    let upsert = concat!(
        "INSERT INTO processed_messages (message_id, processed_at, expires_at) VALUES ($1, ",
        now!("$2"),
        ", ",
        after!("$2", "$3"),
        ") ON CONFLICT (message_id) DO UPDATE SET processed_at = excluded.processed_at, expires_at = excluded.expires_at \
         WHERE processed_messages.expires_at <= excluded.processed_at"
    );
    let id = clean(id);
    loop {
        let upsert = query(upsert).bind(&id).bind(None::<Time>).bind(key::seconds(retention));
        if upsert.execute(&mut *conn).await?.rows_affected() == 1 {
            return Ok(None);
        }
        let select = query("SELECT processed_at FROM processed_messages WHERE message_id = $1").bind(&id);
        if let Some(row) = select.fetch_optional(&mut *conn).await? {
            return row.time("processed_at").map(Some);
        }
        // It was forgotten in between.
    }
}

fn say(doing: &'static str) -> impl Fn(sqlx::Error) -> Held {
    move |error| match is_lock_timeout(&error) {
        true => Held::InFlight { retry_after: None },
        false => Held::Store(explain(&error, doing, "of this transaction")),
    }
}
