//! Differs by necessity: LISTEN and NOTIFY. A notification is a statement of its own after the commit, because inside
//! the transaction it would make commits queue, and at most twenty are sent a second. Behind it stands the caller's
//! polling: a pooler in between may drop LISTEN without a word.

use std::{sync::Arc, time::Duration};

use sqlx::{PgPool, postgres::PgListener};
use tokio::{sync::Notify, task::JoinSet};

use crate::{clock, engine::store::StoreError};

const CHANNEL: &str = "redrive_work";
/// At most twenty a second.
const PAUSE: Duration = Duration::from_millis(50);
const RECONNECT: Duration = Duration::from_secs(1);
/// A notification of our own is heard by then, or not at all.
const HEARD_BY: Duration = Duration::from_secs(2);

pub(super) struct Wake {
    here: Arc<Notify>,
    telling: Arc<Notify>,
    /// Ends with this value.
    _tasks: JoinSet<()>,
}

impl Wake {
    pub(super) fn new(pool: PgPool) -> Self {
        let (here, telling) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let mut tasks = JoinSet::new();
        tasks.spawn(tell(pool.clone(), telling.clone()));
        tasks.spawn(listen(pool, here.clone()));
        Self { here, telling, _tasks: tasks }
    }

    /// One that hears nothing: who only reads does not wait for work.
    pub(super) fn deaf() -> Self {
        Self { here: Arc::default(), telling: Arc::default(), _tasks: JoinSet::new() }
    }

    /// The server says itself when the database is not.
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "SQLite's is asked by the same name")]
    pub(super) fn still_there(&self, _label: &str) -> Result<(), StoreError> {
        Ok(())
    }

    /// Work came, from this process.
    pub(super) fn signal(&self) {
        wake(&self.here);
        self.telling.notify_one();
    }

    pub(super) async fn wait(&self, at_most: Duration) {
        tokio::select! {
            () = self.here.notified() => {}
            () = clock::sleep(at_most) => {}
        }
    }
}

fn wake(here: &Notify) {
    here.notify_waiters();
    // Kept for whoever is about to wait.
    here.notify_one();
}

async fn tell(pool: PgPool, telling: Arc<Notify>) {
    loop {
        telling.notified().await;
        let sent = sqlx::query("SELECT pg_notify($1, '')").bind(CHANNEL).execute(&pool).await;
        if let Err(error) = sent {
            tracing::debug!(%error, "others were not told of new work: they find it by polling");
        }
        clock::sleep(PAUSE).await;
    }
}

async fn listen(pool: PgPool, here: Arc<Notify>) {
    loop {
        if let Err(error) = hear(&pool, &here).await {
            tracing::debug!(%error, "not listening for new work: polling until the database is back");
        }
        clock::sleep(RECONNECT).await;
    }
}

async fn hear(pool: &PgPool, here: &Notify) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    sqlx::query("SELECT pg_notify($1, 'self-test')").bind(CHANNEL).execute(pool).await?;
    match tokio::time::timeout(HEARD_BY, listener.recv()).await {
        Ok(heard) => drop(heard?),
        Err(_) => tracing::warn!(
            "notifications do not arrive, perhaps because of a pooler in between: new work is found by polling"
        ),
    }
    // Something may have come before we listened.
    wake(here);
    loop {
        listener.recv().await?;
        wake(here);
    }
}
