//! The dashboard: messages in, effects out, and the loop between.
//!
//! ```text
//!  terminal ─▶ Msg::Key ──────┐
//!  poll ─────▶ Msg::Snapshot ─┼─▶ update(&mut Model, Msg) ─▶ Vec<Effect> ─▶ engine, poll, terminal
//!  answers ──▶ Msg::Done ─────┘          │
//!                                        └─▶ view(&Model): only when something changed, at most 30 times a second
//! ```
//! Begin with [`keys`] (what can be asked), then `update` (what becomes of it). Knows nothing of SQL or HTTP, and acts
//! only through [`Engine`].

pub mod dialog;
pub mod keymap;
pub mod keys;
pub mod layout;
pub mod model;
pub mod msg;
pub mod past;
mod paste;
pub mod preferences;
pub mod rows;
mod runner;
mod terminal;
pub mod theme;
pub mod tree;
pub mod update;
pub mod view;
pub mod widget;

use std::{io, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use crossterm::event::EventStream;
use futures_util::StreamExt as _;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{Notify, mpsc, oneshot, watch},
    time::{Interval, MissedTickBehavior},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    model::{Model, Setting},
    msg::{Effect, Msg},
    preferences::{Preferences, Switch},
    runner::Runner,
    terminal::{OnScreen, PanicGuard, Screen},
    theme::Look,
    update::update,
};
use crate::{
    clock,
    domain::text::SafeText,
    engine::{Access, Engine, reader::Query},
    poll::{Snapshot, record::PlayClock},
};

/// At most 30 drawings a second.
const FRAME: Duration = Duration::from_millis(33);

/// Answers that wait for the loop; senders wait when it is full.
const ANSWERS: usize = 64;

/// Everything the dashboard is connected to.
pub struct Session {
    /// Where the pictures come from, and the way to act.
    pub source: Source,
    /// Pictures.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// What the screen wants to look at; the poll reads it.
    pub queries: watch::Sender<Query>,
    /// Asks the poll to look now.
    pub nudge: Arc<Notify>,
    /// Who acts.
    pub operator: String,
    /// What this is a dashboard of: `demo · sqlite`.
    pub title: String,
    /// The database's URL, for commands that are copied; `None` when it holds a secret or is not known.
    pub database: Option<String>,
    /// How often the poll looks: what is older than twice this, and 10 s, is stale.
    pub interval: Duration,
    /// Changes that.
    pub pace: watch::Sender<Duration>,
    /// Colours and characters.
    pub look: Look,
    /// Where pictures are recorded: answers why they are not any more.
    pub recording: Option<oneshot::Receiver<String>>,
    /// What the operator chose in the config file.
    pub preferences: Preferences,
    /// Ends the dashboard from outside.
    pub cancel: CancellationToken,
    /// Owns the tasks that the dashboard starts.
    pub tracker: TaskTracker,
}

/// Where pictures come from.
pub enum Source {
    /// From a poll; the engine's access says whether writes are offered.
    Live(Engine),
    /// From a recording, which goes by its own clock. Nothing can be changed in it.
    Recording(Arc<PlayClock>),
}

impl Source {
    fn now(&self) -> DateTime<Utc> {
        match self {
            Self::Live(_) => clock::now(),
            Self::Recording(clock) => clock.now(),
        }
    }

    fn access(&self) -> Access {
        match self {
            Self::Live(engine) => engine.access(),
            Self::Recording(_) => Access::ReadOnly,
        }
    }
}

/// Why the dashboard ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The operator asked.
    Asked,
    /// The operator wants to look at another context.
    Context(Switch),
    /// A signal; its number is [`Exit::code`] minus 128.
    Signal(i32),
    /// The terminal is gone.
    TerminalGone,
    /// The program around it ends.
    Cancelled,
}

impl Exit {
    /// The exit code a shell expects.
    pub fn code(self) -> u8 {
        match self {
            Self::Asked | Self::Context(_) | Self::Cancelled => 0,
            Self::TerminalGone => 1,
            Self::Signal(number) => u8::try_from(128 + number).unwrap_or(1),
        }
    }
}

/// Why there is no dashboard.
#[derive(Debug, thiserror::Error)]
pub enum TuiError {
    /// It could not be taken over.
    #[error(
        "cannot take over the terminal: {0}; run redrive in a terminal, or use `redrive status` without one"
    )]
    Terminal(#[source] io::Error),
    /// Signals could not be listened to.
    #[error("cannot listen to signals: {0}")]
    Signals(#[source] io::Error),
}

/// Shows the dashboard until the operator leaves or something ends it. The terminal is given back in any case.
///
/// # Errors
/// When there is no terminal. A terminal that goes away later is an [`Exit`].
pub async fn run(session: Session) -> Result<Exit, TuiError> {
    // From here on a signal is answered by the loop.
    let signals = Signals::listen().map_err(TuiError::Signals)?;
    let (answers, answered) = mpsc::channel(ANSWERS);
    let _guard = PanicGuard::set(answers.clone());
    let gone = CancellationToken::new();
    let screen = Screen::enter(session.preferences.mouse, gone.clone()).map_err(TuiError::Terminal)?;
    let size = screen.size().map_err(TuiError::Terminal)?;
    let setting = Setting {
        title: SafeText::new(&session.title),
        operator: session.operator,
        access: session.source.access(),
        database: session.database,
        interval: session.interval,
        playback: match &session.source {
            Source::Live(_) => None,
            Source::Recording(clock) => Some(clock.speed()),
        },
        recording: session.recording.is_some(),
        preferences: session.preferences,
    };
    // What the screen does not offer the engine refuses as well.
    let held = setting.preferences.production;
    let ui = Ui {
        model: Model::new(setting, session.look, size, session.source.now()),
        screen,
        runner: match &session.source {
            Source::Live(engine) => {
                let engine = if held { engine.clone().read_only() } else { engine.clone() };
                Some(Runner { engine, answers, tracker: session.tracker })
            }
            Source::Recording(_) => None,
        },
        source: session.source,
        recording: session.recording,
        pace: session.pace,
        queries: session.queries,
        nudge: session.nudge,
        gone,
    };
    Ok(OnScreen::new(ui.run(session.snapshots, answered, signals, session.cancel)).await)
}

struct Ui {
    model: Model,
    screen: Screen,
    /// Nobody does anything in a recording.
    runner: Option<Runner>,
    source: Source,
    recording: Option<oneshot::Receiver<String>>,
    pace: watch::Sender<Duration>,
    queries: watch::Sender<Query>,
    nudge: Arc<Notify>,
    /// The terminal cannot be read any more.
    gone: CancellationToken,
}

impl Ui {
    async fn run(
        mut self,
        mut snapshots: watch::Receiver<Arc<Snapshot>>,
        mut answers: mpsc::Receiver<Msg>,
        mut signals: Signals,
        cancel: CancellationToken,
    ) -> Exit {
        let mut events = EventStream::new();
        let mut seconds = every(Duration::from_secs(1));
        let mut frames = every(FRAME);
        let mut polled = true;
        let first = Msg::Snapshot(snapshots.borrow_and_update().clone());
        let mut changed = true;
        if let Some(exit) = self.take(first) {
            return exit;
        }
        loop {
            let msg = tokio::select! {
                biased;
                () = cancel.cancelled() => return Exit::Cancelled,
                () = self.gone.cancelled() => return Exit::TerminalGone,
                number = signals.next() => return Exit::Signal(number),
                event = events.next() => match event {
                    // A terminal that cannot be read any more is gone.
                    None | Some(Err(_)) => return Exit::TerminalGone,
                    Some(Ok(event)) => terminal::msg(event),
                },
                Some(answer) = answers.recv() => Some(answer),
                alive = snapshots.changed(), if polled => {
                    polled = alive.is_ok();
                    match (polled, &self.source) {
                        (true, _) => Some(Msg::Snapshot(snapshots.borrow_and_update().clone())),
                        (false, Source::Live(_)) => None,
                        (false, Source::Recording(_)) => Some(Msg::Ended),
                    }
                }
                why = ended(&mut self.recording), if self.recording.is_some() => {
                    self.recording = None;
                    // Dropped without a word: everything ends.
                    why.map(Msg::NotRecorded)
                }
                _ = frames.tick(), if changed => {
                    changed = false;
                    if self.screen.draw(|frame| view::draw(&self.model, frame)).is_err() {
                        return Exit::TerminalGone;
                    }
                    if let Some(exit) = self.take(Msg::Drawn) {
                        return exit;
                    }
                    continue;
                }
                _ = seconds.tick() => Some(Msg::Tick(self.source.now())),
            };
            let Some(msg) = msg else { continue };
            changed = true;
            if let Some(exit) = self.take(msg) {
                return exit;
            }
        }
    }

    /// Takes one message in and does what it leads to.
    fn take(&mut self, msg: Msg) -> Option<Exit> {
        let mut effects = update(&mut self.model, Msg::Tick(self.source.now()));
        effects.extend(update(&mut self.model, msg));
        effects.into_iter().find_map(|effect| self.perform(effect))
    }

    fn perform(&mut self, effect: Effect) -> Option<Exit> {
        let done = match effect {
            Effect::Look(query) => {
                self.queries.send_replace(query);
                self.nudge.notify_one();
                Ok(())
            }
            Effect::Nudge => {
                self.nudge.notify_one();
                Ok(())
            }
            Effect::Pace(interval) => {
                self.pace.send_replace(interval);
                self.nudge.notify_one();
                Ok(())
            }
            Effect::Arm(armed) => {
                if let (Source::Live(engine), Some(runner)) = (&self.source, &mut self.runner) {
                    runner.engine = if armed { engine.clone() } else { engine.clone().read_only() };
                }
                Ok(())
            }
            Effect::Preview(ticket, wish) => {
                self.runner.iter().for_each(|runner| runner.preview(ticket, wish.clone()));
                Ok(())
            }
            Effect::Submit(ticket, submission) => {
                self.runner.iter().for_each(|runner| runner.submit(ticket, submission.clone()));
                Ok(())
            }
            Effect::Match(ticket, query) => {
                self.runner.iter().for_each(|runner| runner.every_match(ticket, query.clone()));
                Ok(())
            }
            Effect::Hold(held) => {
                if let Source::Recording(clock) = &self.source {
                    clock.hold(held);
                }
                Ok(())
            }
            Effect::Repaint => self.screen.repaint(),
            Effect::Copy(text) => self.screen.copy(&text),
            Effect::Suspend => self.screen.suspend(),
            Effect::Quit(exit) => return Some(exit),
        };
        done.is_err().then_some(Exit::TerminalGone)
    }
}

/// Why pictures are not recorded any more; `None` when that is no news.
async fn ended(recording: &mut Option<oneshot::Receiver<String>>) -> Option<String> {
    recording.as_mut()?.await.ok()
}

fn every(period: Duration) -> Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// The signals that end the dashboard.
struct Signals([(Signal, i32); 4]);

impl Signals {
    fn listen() -> io::Result<Self> {
        let on = |kind: SignalKind| Ok::<_, io::Error>((signal(kind)?, kind.as_raw_value()));
        Ok(Self([
            on(SignalKind::terminate())?,
            on(SignalKind::interrupt())?,
            on(SignalKind::hangup())?,
            on(SignalKind::quit())?,
        ]))
    }

    /// The number of the next one.
    async fn next(&mut self) -> i32 {
        let [term, int, hup, quit] = &mut self.0;
        tokio::select! {
            _ = term.0.recv() => term.1,
            _ = int.0.recv() => int.1,
            _ = hup.0.recv() => hup.1,
            _ = quit.0.recv() => quit.1,
        }
    }
}
