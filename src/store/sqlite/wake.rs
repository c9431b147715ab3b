//! Differs by necessity: nobody tells an SQLite reader that another process wrote, so `PRAGMA data_version` is asked,
//! and only while somebody waits.

use std::time::Duration;

use sqlx::{ConnectOptions, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::{Mutex, Notify};

use crate::clock;

/// How often the file is asked. A tenth of a second is soon enough for a person.
const EVERY: Duration = Duration::from_millis(50);

pub(super) struct Wake {
    here: Notify,
    probe: Mutex<Probe>,
    connect: SqliteConnectOptions,
}

#[derive(Default)]
struct Probe {
    connection: Option<SqliteConnection>,
    seen: Option<i64>,
}

impl Wake {
    pub(super) fn new(connect: SqliteConnectOptions) -> Self {
        Self { here: Notify::new(), probe: Mutex::default(), connect }
    }

    /// Work came, from this process.
    pub(super) fn signal(&self) {
        self.here.notify_waiters();
        // Kept for whoever is about to wait.
        self.here.notify_one();
    }

    pub(super) async fn wait(&self, at_most: Duration) {
        tokio::select! {
            () = self.here.notified() => {}
            () = self.changed() => self.here.notify_waiters(),
            () = clock::sleep(at_most) => {}
        }
    }

    /// Until another connection has committed since this was last asked.
    async fn changed(&self) {
        while !self.look().await {
            clock::sleep(EVERY).await;
        }
    }

    async fn look(&self) -> bool {
        let mut probe = self.probe.lock().await;
        if probe.connection.is_none() {
            probe.connection = self.connect.connect().await.ok();
        }
        let Some(connection) = probe.connection.as_mut() else { return false };
        match sqlx::query_scalar::<_, i64>("PRAGMA data_version").fetch_one(connection).await {
            // The first look knows nothing of what came before it, and says so.
            Ok(version) => probe.seen.replace(version) != Some(version),
            Err(_) => {
                probe.connection = None;
                false
            }
        }
    }
}
