//! Differs by necessity: LISTEN and NOTIFY. A notification is a statement of its own after the commit, because inside
//! the transaction it would make commits queue, and at most twenty are sent a second. Behind it stands the caller's
//! polling. Nothing listens through a pooler, where it would stay on a connection that is somebody else's by then.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::{PgPool, postgres::PgListener};
use tokio::{sync::Notify, task::JoinSet};

use super::door::Door;
use crate::{clock, engine::store::StoreError};

const CHANNEL: &str = "redrive_work";
/// At most twenty a second.
const PAUSE: Duration = Duration::from_millis(50);
const RECONNECT: Duration = Duration::from_secs(1);
/// A notification of our own is heard by then, or not at all.
const HEARD_BY: Duration = Duration::from_secs(2);
/// After so long without a notification the connection is asked whether it is still there.
const QUIET: Duration = Duration::from_secs(30);

pub(super) struct Wake {
    here: Arc<Notify>,
    telling: Arc<Notify>,
    /// Until somebody waits for the first time.
    ear: Mutex<Option<Ear>>,
    /// Ends with this value.
    tasks: Mutex<JoinSet<()>>,
}

/// Where to listen.
struct Ear {
    pool: PgPool,
    door: Door,
    /// It has an address of its own, so that a pooler before the database does not matter.
    apart: bool,
}

impl Wake {
    /// `listen` is where to listen, `apart` whether that is not where `door` leads.
    pub(super) fn new(door: Door, listen: Option<PgPool>, apart: bool) -> Self {
        let (here, telling) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let mut tasks = JoinSet::new();
        tasks.spawn(tell(door.clone(), telling.clone()));
        let ear = listen.map(|pool| Ear { pool, door, apart });
        Self { here, telling, ear: Mutex::new(ear), tasks: Mutex::new(tasks) }
    }

    /// One that hears nothing: who only reads does not wait for work.
    pub(super) fn deaf() -> Self {
        Self { here: Arc::default(), telling: Arc::default(), ear: Mutex::default(), tasks: Mutex::default() }
    }

    /// The server says itself when the database is not.
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "SQLite's is asked by the same name")]
    pub(super) fn still_there(&self, _label: &str) -> Result<(), StoreError> {
        Ok(())
    }

    /// The server says itself why nothing can be written.
    #[expect(clippy::unused_self, reason = "SQLite's is asked by the same name")]
    pub(super) fn refusal(&self) -> Option<String> {
        None
    }

    /// Nobody waits any more.
    #[expect(clippy::unused_async, reason = "SQLite's waits by the same name")]
    pub(super) async fn close(&self) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }

    /// Work came, from this process.
    pub(super) fn signal(&self) {
        wake(&self.here);
        self.telling.notify_one();
    }

    pub(super) async fn wait(&self, at_most: Duration) {
        if let Some(ear) = self.ear.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let listening = listen(ear, self.here.clone());
            self.tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn(listening);
        }
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

async fn tell(door: Door, telling: Arc<Notify>) {
    loop {
        telling.notified().await;
        if let Err(error) = notify(&door, "").await {
            tracing::debug!(%error, "others were not told of new work: they find it by polling");
        }
        clock::sleep(PAUSE).await;
    }
}

async fn notify(door: &Door, what: &str) -> Result<(), sqlx::Error> {
    let mut conn = door.single().await?;
    sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(what).execute(&mut conn).await?;
    conn.commit().await
}

async fn listen(ear: Ear, here: Arc<Notify>) {
    while ear.is_welcome() {
        if let Err(error) = ear.hear(&here).await {
            tracing::debug!(%error, "not listening for new work: polling until the database is back");
        }
        clock::sleep(RECONNECT).await;
    }
}

impl Ear {
    /// Whether nothing but the server is at the other end, as far as we know.
    fn is_welcome(&self) -> bool {
        self.apart || self.door.way.pooler().is_none()
    }

    async fn hear(&self, here: &Notify) -> Result<(), sqlx::Error> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen(CHANNEL).await?;
        notify(&self.door, "self-test").await?;
        match tokio::time::timeout(HEARD_BY, listener.recv()).await {
            Ok(heard) => drop(heard?),
            Err(_) => tracing::warn!(
                "notifications do not arrive, perhaps because of a pooler in between: new work is found by polling"
            ),
        }
        // Something may have come before we listened.
        wake(here);
        while self.is_welcome() {
            match tokio::time::timeout(QUIET, listener.recv()).await {
                Ok(heard) => drop(heard?),
                Err(_) => {
                    let asked =
                        tokio::time::timeout(HEARD_BY, sqlx::query("SELECT 1").execute(&mut listener));
                    asked.await.map_err(|_| super::no_answer(HEARD_BY))??;
                    continue;
                }
            }
            wake(here);
        }
        Ok(())
    }
}
