//! Pictures in a file: what the dashboard showed, to be looked at again without database or network.
//!
//! The first line names the format ([`Head`]); every other line is one picture. A picture repeats nothing that the
//! line before said already: neither the board nor what the metrics say when they are the same, nor points of the chart.
//! Pages with their payloads, contexts and stored responses are left out, and every text goes through
//! [`mask::secrets`](crate::domain::mask::secrets). Numbers keep four decimals.
//!
//! A file is created for its owner alone and never written over. One that ends in the middle of a line was being
//! written when its writer died: what stands before is played.

mod line;
mod play;
mod write;

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use self::{
    line::{Encoder, LineError, Replica},
    play::{PlayClock, Player, Recording},
    write::{Recorder, create},
};
use crate::domain::text::SafeText;

/// What the first line of every recording says first.
pub const FORMAT: &str = "redrive recording";
/// The version of the format that is written, and the only one that is read.
pub const VERSION: u32 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// The redrive that wrote it.
    pub redrive: String,
    /// What was looked at: `demo · sqlite`.
    pub title: SafeText,
    /// How often the database was read, in milliseconds.
    pub interval_ms: u64,
    /// When it was begun.
    pub begun_at: DateTime<Utc>,
}

/// Why there is no recording, or none to play.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Never written over.
    #[error("cannot record to {0}: there is such a file already; name another one, or remove it first")]
    Exists(PathBuf),
    /// It cannot be made.
    #[error("cannot record to {file}: {why}")]
    Create {
        /// Which.
        file: PathBuf,
        /// The system's reason.
        why: std::io::Error,
    },
    /// It cannot be written any more.
    #[error("nothing is recorded any more: cannot write {file}: {why}")]
    Write {
        /// Which.
        file: PathBuf,
        /// The system's reason.
        why: std::io::Error,
    },
    /// It cannot be read.
    #[error("cannot play {file}: {why}")]
    Read {
        /// Which.
        file: PathBuf,
        /// The system's reason.
        why: std::io::Error,
    },
    /// A folder, a pipe.
    #[error("cannot play {0}: it is not a plain file")]
    NotAFile(PathBuf),
    /// The first line is another one.
    #[error("{0}, line 1: this is no recording of redrive; redrive top --record FILE makes one")]
    NotARecording(PathBuf),
    /// Of another time.
    #[error(
        "{file}, line 1: a recording of version {found}, and this redrive reads version {VERSION}: play it with redrive {redrive}, which wrote it"
    )]
    Version {
        /// Which.
        file: PathBuf,
        /// The version of its format.
        found: u64,
        /// The redrive that wrote it.
        redrive: SafeText,
    },
    /// A line that is no picture.
    #[error("{file}, line {line}: {why}; the lines before it can be played: head -n {before} keeps them")]
    Line {
        /// Which file.
        file: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// How many lines stand before it.
        before: usize,
        /// What is wrong with it.
        why: LineError,
    },
    /// Only a first line, or nothing whole after it.
    #[error("{0} holds no picture: its writer ended before the first one")]
    Empty(PathBuf),
}
