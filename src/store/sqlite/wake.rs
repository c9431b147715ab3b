//! Differs by necessity: nobody tells an SQLite reader that another process wrote, so `PRAGMA data_version` is asked,
//! and only while somebody waits. Nor does anybody tell that the file is gone: what was opened lives on, unseen by all
//! others, so the name is looked up before it is read or written.

use std::{io, os::unix::fs::MetadataExt as _, path::Path, time::Duration};

use rustix::{
    fs::{Access, access, statvfs},
    io::Errno,
};
use sqlx::{ConnectOptions, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::{Mutex, Notify};

use crate::{clock, engine::store::StoreError};

/// How often the file is asked. A tenth of a second is soon enough for a person.
const EVERY: Duration = Duration::from_millis(50);

pub(super) struct Wake {
    here: Notify,
    probe: Mutex<Probe>,
    connect: SqliteConnectOptions,
    /// Device and number of the file that was opened.
    file: Option<(u64, u64)>,
    /// Its address says that it is only read.
    said_read_only: bool,
}

#[derive(Default)]
struct Probe {
    connection: Option<SqliteConnection>,
    seen: Option<i64>,
}

impl Wake {
    pub(super) fn new(connect: SqliteConnectOptions, said_read_only: bool) -> Self {
        let file = identity(&connect).ok();
        Self { here: Notify::new(), probe: Mutex::default(), connect, file, said_read_only }
    }

    /// Why nothing can be written, as far as the file system tells before it is tried.
    pub(super) fn refusal(&self) -> Option<String> {
        if self.said_read_only {
            return Some("its address says mode=ro".to_owned());
        }
        let file = self.connect.get_filename();
        let folder = folder_of(file);
        refusal_of(file, "file").or_else(|| refusal_of(folder, "folder")).or_else(|| {
            let full = statvfs(folder).is_ok_and(|room| room.f_bavail == 0);
            full.then(|| "the disk is full".to_owned())
        })
    }

    /// Whether the database is still the one that was opened.
    pub(super) fn still_there(&self, label: &str) -> Result<(), StoreError> {
        let path = self.connect.get_filename().display();
        let why = match identity(&self.connect) {
            Ok(now) if self.file.is_none_or(|opened| opened == now) => return Ok(()),
            Ok(_) => format!("the file {path} was replaced since it was opened; start redrive again"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                format!("there is no file {path} any more")
            }
            Err(error) => format!("the file {path} cannot be looked up: {error}"),
        };
        Err(StoreError::Unreachable { database: label.to_owned(), why })
    }

    /// Nobody waits any more.
    pub(super) async fn close(&self) {
        if let Some(connection) = self.probe.lock().await.connection.take() {
            // What matters is that it is gone.
            let _ = connection.close().await;
        }
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

/// Where the files beside `file` are.
pub(super) fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Why this user may not write there.
pub(super) fn refusal_of(path: &Path, what: &str) -> Option<String> {
    match access(path, Access::WRITE_OK) {
        Err(Errno::ROFS) => Some("its file system is read-only".to_owned()),
        Err(Errno::ACCESS | Errno::PERM) => Some(format!("the {what} may not be written by this user")),
        _ => None,
    }
}

fn identity(connect: &SqliteConnectOptions) -> io::Result<(u64, u64)> {
    connect.get_filename().metadata().map(|file| (file.dev(), file.ino()))
}
