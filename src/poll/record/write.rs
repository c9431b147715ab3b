//! Writes pictures as they come.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Encoder, Head, RecordError};
use crate::poll::Snapshot;

/// A file that takes pictures.
#[derive(Debug)]
pub struct Recorder {
    file: File,
    path: PathBuf,
    encoder: Encoder,
}

/// Makes the file, for its owner alone, with its first line.
///
/// # Errors
/// When there is such a file, or it cannot be made.
pub fn create(path: &Path, head: &Head) -> Result<Recorder, RecordError> {
    let failed = |why: io::Error| match why.kind() {
        io::ErrorKind::AlreadyExists => RecordError::Exists(path.to_owned()),
        _ => RecordError::Create { file: path.to_owned(), why },
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let first = serde_json::to_string(head).map_err(io::Error::from).map_err(failed)?;
    file.write_all((first + "\n").as_bytes()).map_err(failed)?;
    Ok(Recorder { file, path: path.to_owned(), encoder: Encoder::default() })
}

impl Recorder {
    /// Writes one picture: a whole line at once.
    ///
    /// # Errors
    /// When it cannot be written: the disk is full.
    pub fn write(&mut self, picture: &Snapshot) -> Result<(), RecordError> {
        let written = match self.encoder.line(picture) {
            Ok(line) => self.file.write_all(line.as_bytes()),
            Err(error) => Err(error.into()),
        };
        written.map_err(|why| RecordError::Write { file: self.path.clone(), why })
    }

    /// Writes every picture until `cancel`, off the async threads: a slow disk must not hold up the screen.
    ///
    /// # Errors
    /// Ends when one cannot be written.
    pub async fn run(
        mut self,
        mut snapshots: watch::Receiver<Arc<Snapshot>>,
        cancel: CancellationToken,
    ) -> Result<(), RecordError> {
        loop {
            let picture = snapshots.borrow_and_update().clone();
            let path = self.path.clone();
            let written = tokio::task::spawn_blocking(move || self.write(&picture).map(|()| self)).await;
            self = match written {
                Ok(recorder) => recorder?,
                Err(ended) => return Err(RecordError::Write { file: path, why: io::Error::other(ended) }),
            };
            let more = tokio::select! {
                biased;
                () = cancel.cancelled() => false,
                changed = snapshots.changed() => changed.is_ok(),
            };
            if !more {
                return Ok(());
            }
        }
    }
}
