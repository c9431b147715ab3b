//! The one door to the database: every statement of the store goes through a [`Conn`].
//!
//! ```text
//!   Door ──take──▶ Conn::ours ── a limit on each call ──▶ answered: back to the pool
//!                                                     └─▶ no answer, or given up half-way: closed
//!   a caller's transaction ──▶ Conn::theirs: no limit, and never closed
//! ```
//! Nothing is set on a session. Behind a pooler each statement runs between BEGIN and COMMIT, the limits stand in the
//! text of BEGIN, and no statement is prepared by name, because the next transaction may be another server process.

use std::{future::Future, io, time::Duration};

use futures_util::{
    StreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    AssertSqlSafe, Database, Either, Execute, Executor, Pool, SqlStr, error::BoxDynError,
    pool::PoolConnection, raw_sql,
};
use tokio::time::Instant;

use super::{BEGIN_SINGLE, Db, RawConn};
use crate::{
    clock,
    store::{error::Kind, way::Way},
};

type Row = <Db as Database>::Row;
type Step = Either<<Db as Database>::QueryResult, Row>;
type Got<T> = Result<T, sqlx::Error>;

/// A pool and how it is used.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) pool: Pool<Db>,
    /// The longest a call may take: longer than the server's own limits, which say more.
    pub(super) patience: Duration,
    /// What BEGIN sets for its transaction behind a pooler: empty, or `; SET LOCAL …`.
    pub(super) limits: String,
    pub(super) way: Way,
}

impl Door {
    /// Begins a transaction; `how` is its whole BEGIN.
    pub(super) async fn begin(&self, how: &'static str) -> Got<Conn<'static>> {
        let mut conn = self.take().await?;
        match self.way.pooler() {
            None => conn.text(how.to_owned()).await?,
            Some(_) => {
                // Where one of the limits is refused, the transaction has begun all the same.
                conn.state = State::Open;
                conn.text(format!("{how}{}", self.limits)).await?;
            }
        }
        conn.state = State::Open;
        Ok(conn)
    }

    /// For statements that are each a transaction of their own. Behind a pooler they share one, which
    /// [`Conn::commit`] ends.
    pub(super) async fn single(&self) -> Got<Conn<'static>> {
        match self.way.pooler() {
            None => self.take().await,
            Some(_) => self.begin(BEGIN_SINGLE).await,
        }
    }

    async fn take(&self) -> Got<Conn<'static>> {
        let link = Link::Ours(Some(self.pool.acquire().await?));
        Ok(Conn { link, state: State::Idle, patience: Some(self.patience), way: self.way.clone() })
    }
}

/// A connection, and whether it can be used again.
#[derive(Debug)]
pub(super) struct Conn<'c> {
    link: Link<'c>,
    state: State,
    /// The longest a call may take.
    patience: Option<Duration>,
    way: Way,
}

#[derive(Debug)]
enum Link<'c> {
    /// Taken only when it is dropped.
    Ours(Option<PoolConnection<Db>>),
    Theirs(&'c mut RawConn),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In no transaction.
    Idle,
    /// In a transaction of ours.
    Open,
    /// A call is under way. Left in it, the connection is of no use.
    Busy,
}

impl<'c> Conn<'c> {
    /// A connection of somebody's, who also limits its calls.
    pub(super) fn theirs(conn: &'c mut RawConn) -> Self {
        Self { link: Link::Theirs(conn), state: State::Idle, patience: None, way: Way::default() }
    }
}

impl Conn<'_> {
    /// Ends the transaction, if there is one.
    pub(super) async fn commit(mut self) -> Got<()> {
        if self.state == State::Open {
            self.text("COMMIT".to_owned()).await?;
            self.state = State::Idle;
        }
        Ok(())
    }

    /// Undoes the transaction and lets go of its locks before it returns, where the database answers.
    pub(super) async fn undo(mut self) {
        if self.state == State::Open && self.text("ROLLBACK".to_owned()).await.is_ok() {
            self.state = State::Idle;
        }
    }

    async fn text(&mut self, sql: String) -> Got<()> {
        self.execute(raw_sql(AssertSqlSafe(sql))).await.map(|_| ())
    }

    /// The connection for one call, and what to tell of how the call went.
    fn call(&mut self) -> (&mut RawConn, Call<'_>) {
        let before = std::mem::replace(&mut self.state, State::Busy);
        let limit = self.patience.map(|limit| (limit, Instant::from_std(clock::instant() + limit)));
        let call = Call { state: &mut self.state, before, limit, way: &self.way };
        match &mut self.link {
            Link::Ours(link) => (link.as_mut().expect("it is taken only when it is dropped"), call),
            Link::Theirs(conn) => (conn, call),
        }
    }
}

/// One call: it leaves the connection as it was, or busy for ever.
struct Call<'a> {
    state: &'a mut State,
    before: State,
    limit: Option<(Duration, Instant)>,
    way: &'a Way,
}

impl Call<'_> {
    /// The answer, or that there was none in time.
    async fn answer<T>(&self, answer: impl Future<Output = Got<T>>) -> Got<T> {
        let Some((limit, until)) = self.limit else { return answer.await };
        tokio::time::timeout_at(until, answer).await.unwrap_or_else(|_| {
            self.way.fell_silent();
            let why = format!("no answer within {:.0} s", limit.as_secs_f64());
            Err(io::Error::new(io::ErrorKind::TimedOut, why).into())
        })
    }

    fn ended(&mut self, error: Option<&sqlx::Error>) {
        let kind = error.map(Kind::of);
        if kind == Some(Kind::Misplaced) {
            self.way.met_pooler("a prepared statement was not where it had been prepared");
        }
        if !kind.is_some_and(Kind::ends_the_connection) {
            *self.state = self.before;
        }
    }
}

/// The same query, not prepared by name.
struct Unnamed<E>(E);

impl<'q, E: Execute<'q, Db>> Execute<'q, Db> for Unnamed<E> {
    fn sql(self) -> SqlStr {
        self.0.sql()
    }

    fn statement(&self) -> Option<&<Db as Database>::Statement> {
        None
    }

    fn take_arguments(&mut self) -> Result<Option<<Db as Database>::Arguments>, BoxDynError> {
        self.0.take_arguments()
    }

    fn persistent(&self) -> bool {
        false
    }
}

impl<'c> Executor<'c> for &'c mut Conn<'_> {
    type Database = Db;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Got<Step>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Db>,
    {
        let pooled = self.way.pooler().is_some();
        let (raw, call) = self.call();
        let steps = if pooled { raw.fetch_many(Unnamed(query)) } else { raw.fetch_many(query) };
        stream::unfold(Some((steps, call)), |going| async move {
            let (mut steps, mut call) = going?;
            match call.answer(async { steps.next().await.transpose() }).await {
                Ok(Some(step)) => Some((Ok(step), Some((steps, call)))),
                Ok(None) => {
                    call.ended(None);
                    None
                }
                Err(error) => {
                    call.ended(Some(&error));
                    Some((Err(error), None))
                }
            }
        })
        .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Got<Option<Row>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Db>,
    {
        let pooled = self.way.pooler().is_some();
        let (raw, mut call) = self.call();
        let answer = if pooled { raw.fetch_optional(Unnamed(query)) } else { raw.fetch_optional(query) };
        Box::pin(async move {
            let answer = call.answer(answer).await;
            call.ended(answer.as_ref().err());
            answer
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [<Db as Database>::TypeInfo],
    ) -> BoxFuture<'e, Got<<Db as Database>::Statement>>
    where
        'c: 'e,
    {
        let (raw, mut call) = self.call();
        let answer = raw.prepare_with(sql, parameters);
        Box::pin(async move {
            let answer = call.answer(answer).await;
            call.ended(answer.as_ref().err());
            answer
        })
    }
}

impl Drop for Conn<'_> {
    fn drop(&mut self) {
        let Link::Ours(link) = &mut self.link else { return };
        let Some(mut link) = link.take() else { return };
        let (state, patience) = (self.state, self.patience.unwrap_or_default());
        let runtime = tokio::runtime::Handle::try_current();
        let (Ok(runtime), State::Idle | State::Open) = (runtime, state) else { return close(link) };
        runtime.spawn(async move {
            if state == State::Open {
                let undone = tokio::time::timeout(patience, link.execute(raw_sql("ROLLBACK"))).await;
                if !matches!(undone, Ok(Ok(_))) {
                    return close(link);
                }
            }
            // The pool asks whether it still answers: silence closes it here too.
            let _ = tokio::time::timeout(patience, link.return_to_pool()).await;
        });
    }
}

/// At once, without a goodbye that nobody may answer; what was begun on it ends with it.
fn close(link: PoolConnection<Db>) {
    drop(link.detach());
}
