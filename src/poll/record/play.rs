//! Plays a recording: its pictures come in their own time, by a clock that can be held and hurried.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use tokio::sync::{Notify, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{FORMAT, Head, LineError, RecordError, Replica, VERSION};
use crate::{clock, domain::text::SafeText, poll::Snapshot};

/// The longest line that is read, in MiB.
const LONGEST: usize = 64;
/// A longer time without a picture is skipped: the recorder slept.
const PAUSE: TimeDelta = TimeDelta::seconds(60);

/// A recording of which every line was read once.
#[derive(Debug)]
pub struct Recording {
    path: PathBuf,
    /// Its first line.
    pub head: Head,
    /// How many pictures it holds; at least one.
    pub pictures: usize,
    /// When its first picture was taken.
    pub from: DateTime<Utc>,
    /// When its last one was.
    pub to: DateTime<Utc>,
}

impl Recording {
    /// Opens `path` and reads all of it once, so that what cannot be played is said before anything is.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn open(path: &Path) -> Result<Self, RecordError> {
        let mut lines = Lines::open(path)?;
        let head = lines.head()?;
        let mut first = None;
        let mut last = None;
        let mut pictures = 0;
        while let Some(picture) = lines.picture()? {
            first = first.or(Some(picture.at));
            last = Some(picture.at);
            pictures += 1;
        }
        match (first, last) {
            (Some(from), Some(to)) => Ok(Self { path: path.to_owned(), head, pictures, from, to }),
            _ => Err(RecordError::Empty(path.to_owned())),
        }
    }

    /// Plays it `speed` times as fast as it was taken, until its end or `cancel`. After the last picture the sender is
    /// gone.
    ///
    /// # Errors
    /// When it cannot be read any more.
    pub fn play(
        &self,
        speed: f64,
        tracker: &TaskTracker,
        cancel: &CancellationToken,
    ) -> Result<Player, RecordError> {
        let mut lines = Lines::open(&self.path)?;
        lines.head()?;
        let first = lines.picture()?.ok_or_else(|| RecordError::Empty(self.path.clone()))?;
        let clock = Arc::new(PlayClock::new(first.at, speed));
        let (sender, snapshots) = watch::channel(Arc::new(first));
        let playing = play(lines, Arc::clone(&clock), sender);
        let cancel = cancel.clone();
        tracker.spawn(async move { cancel.run_until_cancelled(playing).await });
        Ok(Player { snapshots, clock })
    }
}

/// What plays.
#[derive(Debug)]
pub struct Player {
    /// The newest picture.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// How late it is in the recording.
    pub clock: Arc<PlayClock>,
}

async fn play(mut lines: Lines, clock: Arc<PlayClock>, sender: watch::Sender<Arc<Snapshot>>) {
    loop {
        match lines.picture() {
            Ok(Some(picture)) => {
                clock.until(picture.at).await;
                sender.send_replace(Arc::new(picture));
            }
            Ok(None) => break,
            // Every line was read when it was opened: somebody changed the file since.
            Err(error) => {
                tracing::warn!(%error, "the recording ends early");
                break;
            }
        }
    }
    clock.hold(true);
}

/// How late it is in a recording.
#[derive(Debug)]
pub struct PlayClock {
    state: Mutex<State>,
    changed: Notify,
    speed: f64,
}

#[derive(Debug)]
struct State {
    /// This late it was in the recording …
    at: DateTime<Utc>,
    /// … at this instant, from which it goes on; `None`: it is held.
    since: Option<Instant>,
}

impl PlayClock {
    fn new(at: DateTime<Utc>, speed: f64) -> Self {
        let state = State { at, since: Some(clock::instant()) };
        Self { state: Mutex::new(state), changed: Notify::new(), speed }
    }

    /// How much faster than the time of day it goes.
    pub fn speed(&self) -> f64 {
        self.speed
    }

    /// How late it is in the recording.
    pub fn now(&self) -> DateTime<Utc> {
        self.late(&self.locked())
    }

    /// Holds it, or lets it go on.
    pub fn hold(&self, held: bool) {
        let mut state = self.locked();
        state.at = self.late(&state);
        state.since = if held { None } else { Some(clock::instant()) };
        drop(state);
        self.changed.notify_one();
    }

    fn late(&self, state: &State) -> DateTime<Utc> {
        let gone = state.since.map(|since| clock::instant().saturating_duration_since(since));
        let gone = gone.unwrap_or_default().as_secs_f64() * self.speed * 1e6;
        state.at.checked_add_signed(TimeDelta::microseconds(gone as i64)).unwrap_or(state.at)
    }

    /// Waits until it is `time`; a long time before it is skipped.
    async fn until(&self, time: DateTime<Utc>) {
        loop {
            let left = {
                let mut state = self.locked();
                if time - self.late(&state) > PAUSE {
                    state.at = time - TimeDelta::seconds(1);
                    state.since = state.since.map(|_| clock::instant());
                }
                let left = (time - self.late(&state)).to_std().unwrap_or_default();
                state.since.map(|_| left.div_f64(self.speed))
            };
            match left {
                Some(Duration::ZERO) => return,
                Some(left) => tokio::select! {
                    () = clock::sleep(left) => {}
                    () = self.changed.notified() => {}
                },
                None => self.changed.notified().await,
            }
        }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lines of a file, one by one.
struct Lines {
    path: PathBuf,
    file: BufReader<File>,
    line: Vec<u8>,
    number: usize,
    replica: Replica,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, RecordError> {
        let unreadable = |why| RecordError::Read { file: path.to_owned(), why };
        let plain = std::fs::metadata(path).map_err(unreadable)?.is_file();
        if !plain {
            return Err(RecordError::NotAFile(path.to_owned()));
        }
        let file = BufReader::new(File::open(path).map_err(unreadable)?);
        Ok(Self { path: path.to_owned(), file, line: Vec::new(), number: 0, replica: Replica::default() })
    }

    /// Reads the next line; whether there is one, and whether it is whole.
    fn next(&mut self) -> io::Result<Option<bool>> {
        self.line.clear();
        self.number += 1;
        let most = (LONGEST << 20) as u64;
        if self.file.by_ref().take(most).read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        Ok(Some(self.line.ends_with(b"\n")))
    }

    fn unreadable(&self, why: io::Error) -> RecordError {
        RecordError::Read { file: self.path.clone(), why }
    }

    fn head(&mut self) -> Result<Head, RecordError> {
        /// What every version says.
        #[derive(Deserialize)]
        struct Any {
            format: String,
            version: u64,
            #[serde(default)]
            redrive: SafeText,
        }
        self.next().map_err(|why| self.unreadable(why))?;
        let any = serde_json::from_slice::<Any>(&self.line).ok().filter(|any| any.format == FORMAT);
        let Some(any) = any else { return Err(RecordError::NotARecording(self.path.clone())) };
        if any.version != u64::from(VERSION) {
            let file = self.path.clone();
            return Err(RecordError::Version { file, found: any.version, redrive: any.redrive });
        }
        serde_json::from_slice(&self.line).map_err(|_| RecordError::NotARecording(self.path.clone()))
    }

    /// The next picture; `None` at the end, which may stand in the middle of a line.
    fn picture(&mut self) -> Result<Option<Snapshot>, RecordError> {
        let Some(whole) = self.next().map_err(|why| self.unreadable(why))? else { return Ok(None) };
        let long = self.line.len() >= LONGEST << 20;
        let read =
            if long && !whole { Err(LineError::Long(LONGEST)) } else { self.replica.picture(&self.line) };
        match read {
            Ok(picture) => Ok(Some(picture)),
            Err(_) if !whole && !long => Ok(None),
            Err(why) => Err(RecordError::Line {
                file: self.path.clone(),
                line: self.number,
                before: self.number - 1,
                why,
            }),
        }
    }
}
