//! The terminal taken over, and given back on every way out: normal, a panic, a signal, Ctrl+Z.
//!
//! Also the one place that turns the terminal library's events into the program's own.

use std::{
    cell::Cell,
    future::Future,
    io::{self, Stdout, Write as _},
    mem::ManuallyDrop,
    panic,
    pin::Pin,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use crossterm::{
    clipboard::CopyToClipboard,
    cursor::{MoveTo, Show},
    event::{
        DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, Event, KeyCode, KeyEvent,
        KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
    },
    execute, queue,
    style::Print,
    terminal::{
        BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
        LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
    },
};
use ratatui::{Frame, Terminal, backend::CrosstermBackend, buffer::Buffer};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    msg::{Key, Mouse, Msg},
    paste::Filter,
};
use crate::domain::text::is_hostile;

/// The screen while it is ours; given back when dropped.
pub(super) struct Screen {
    /// Never dropped at the end: its own drop complains on standard error, and panics where that is the terminal which
    /// is gone. What it would undo is undone here.
    terminal: ManuallyDrop<Terminal<CrosstermBackend<Stdout>>>,
    mouse: bool,
    /// Cancelled when the terminal cannot be read any more.
    gone: CancellationToken,
    /// Whether a sentence stands there instead, because the terminal says it is larger than any.
    is_too_large: bool,
}

/// The most cells that are drawn: more than any screen has, and some hundred megabytes at most.
const MOST_CELLS: u32 = 1_000_000;

/// The terminal's size, or why it cannot be drawn.
fn drawable_size() -> io::Result<Result<(u16, u16), String>> {
    let (columns, rows) = crossterm::terminal::size()?;
    let cells = u32::from(columns) * u32::from(rows);
    Ok(match cells <= MOST_CELLS {
        true => Ok((columns, rows)),
        false => Err(format!("it says it has {columns} columns and {rows} rows, more than any screen")),
    })
}

impl Screen {
    /// Takes the terminal over, and its mouse where that is wanted.
    pub(super) fn enter(mouse: bool, gone: CancellationToken) -> io::Result<Self> {
        drawable_size()?.map_err(io::Error::other)?;
        take(mouse, &gone)?;
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout())).inspect_err(|_| give_back())?;
        Ok(Self { terminal: ManuallyDrop::new(terminal), mouse, gone, is_too_large: false })
    }

    /// Columns and rows.
    pub(super) fn size(&self) -> io::Result<(u16, u16)> {
        self.terminal.size().map(|size| (size.width, size.height))
    }

    /// Draws what changed, as one synchronized update where the terminal knows them: no frame is seen half drawn.
    pub(super) fn draw(&mut self, view: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        if let Err(why) = drawable_size()? {
            if !std::mem::replace(&mut self.is_too_large, true) {
                let said = format!("cannot draw in this terminal: {why}; make it smaller, or q quits");
                execute!(io::stdout(), Clear(ClearType::All), MoveTo(0, 0), Print(said))?;
            }
            return Ok(());
        }
        if self.is_too_large {
            self.repaint()?;
        }
        queue!(io::stdout(), BeginSynchronizedUpdate)?;
        self.terminal.draw(|frame| {
            view(frame);
            tame(frame.buffer_mut());
        })?;
        execute!(io::stdout(), EndSynchronizedUpdate)
    }

    /// Forgets what the terminal shows, so that the next drawing paints everything.
    ///
    /// Not `Terminal::clear`: that asks the terminal where its cursor is, and the answer would have to come in among
    /// the events that the loop is reading.
    pub(super) fn repaint(&mut self) -> io::Result<()> {
        self.is_too_large = false;
        execute!(io::stdout(), Clear(ClearType::All))?;
        if drawable_size()?.is_err() {
            return Ok(());
        }
        *self.terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        Ok(())
    }

    /// Puts `text` on the clipboard of the terminal's user, however far away (OSC 52).
    pub(super) fn copy(&mut self, text: &str) -> io::Result<()> {
        execute!(io::stdout(), CopyToClipboard::to_clipboard_from(text))
    }

    /// Gives the terminal back, stops the whole job as a shell expects, and takes it again after `fg`.
    ///
    /// The job, not the process: under `cargo run` the shell waits for cargo. Without a shell behind it the stop is
    /// ignored by the system, and the screen comes straight back.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        give_back();
        let stopped = Command::new("sh").args(["-c", "kill -TSTP 0"]).stdin(Stdio::null()).status();
        take(self.mouse, &self.gone)?;
        self.repaint()?;
        stopped.map(drop)
    }
}

/// The last door: texts are made safe where they come in, and what slipped past is still not sent.
fn tame(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if cell.symbol().contains(is_hostile) {
            cell.set_symbol("?");
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Buttons and wheel, without moves, which nobody asked for; reported as SGR does, at any width.
const MOUSE: &str = "\x1b[?1000h\x1b[?1006h";

/// Whether the terminal is ours. Given back twice, its cursor would go back over what was said in between.
static OURS: AtomicBool = AtomicBool::new(false);

/// What stands between the terminal and the library that reads it, while it is ours.
static FILTER: Mutex<Option<Filter>> = Mutex::new(None);

fn take(mouse: bool, gone: &CancellationToken) -> io::Result<()> {
    enable_raw_mode()?;
    OURS.store(true, Ordering::Release);
    match Filter::start(gone.clone()) {
        Ok(filter) => *FILTER.lock().unwrap_or_else(PoisonError::into_inner) = Some(filter),
        // All else goes without it.
        Err(error) => tracing::warn!(%error, "a paste whose end is lost cannot be given up"),
    }
    execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste).inspect_err(|_| give_back())?;
    if mouse {
        execute!(io::stdout(), Print(MOUSE)).inspect_err(|_| give_back())?;
    }
    Ok(())
}

/// Safe to repeat. What fails here fails because the terminal is gone.
fn give_back() {
    if !OURS.swap(false, Ordering::AcqRel) {
        return;
    }
    let _ = execute!(
        io::stdout(),
        EndSynchronizedUpdate,
        DisableMouseCapture,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        Show
    );
    // It is the terminal's own settings that are put back.
    drop(FILTER.lock().unwrap_or_else(PoisonError::into_inner).take());
    let _ = disable_raw_mode();
    let _ = io::stdout().flush();
}

thread_local! {
    static DRAWS: Cell<bool> = const { Cell::new(false) };
}

/// A future whose panics are the screen's own: while it is polled, a panic gives the terminal back.
pub(super) struct OnScreen<F>(Pin<Box<F>>);

impl<F: Future> OnScreen<F> {
    pub(super) fn new(future: F) -> Self {
        Self(Box::pin(future))
    }
}

impl<F: Future> Future for OnScreen<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        DRAWS.set(true);
        let polled = self.0.as_mut().poll(context);
        DRAWS.set(false);
        polled
    }
}

/// The hook that was there before; put back when dropped.
pub(super) struct PanicGuard(Arc<dyn Fn(&panic::PanicHookInfo<'_>) + Send + Sync>);

impl PanicGuard {
    /// From now on a panic of the screen gives the terminal back first, and a panic elsewhere is told to the screen
    /// by its place alone: its text may hold a payload.
    pub(super) fn set(told: mpsc::Sender<Msg>) -> Self {
        let before: Arc<dyn Fn(&panic::PanicHookInfo<'_>) + Send + Sync> = panic::take_hook().into();
        let then = before.clone();
        panic::set_hook(Box::new(move |info| {
            if DRAWS.get() {
                give_back();
                then(info);
            } else {
                let place = info.location().map_or("an unknown place".to_owned(), ToString::to_string);
                tracing::error!(%place, "a task panicked");
                // A full queue has worse to tell.
                let _ = told.try_send(Msg::Panicked(place));
            }
        }));
        Self(before)
    }
}

impl Drop for PanicGuard {
    fn drop(&mut self) {
        // Hooks cannot be changed while unwinding.
        if !std::thread::panicking() {
            let before = self.0.clone();
            panic::set_hook(Box::new(move |info| before(info)));
        }
    }
}

/// What an event means to the program, if anything.
pub(super) fn msg(event: Event) -> Option<Msg> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => Some(Msg::Key(self::key(key))),
        Event::Mouse(event) => mouse(event).map(Msg::Mouse),
        Event::Paste(text) => Some(Msg::Paste(text)),
        Event::Resize(columns, rows) => Some(Msg::Resize(columns, rows)),
        _ => None,
    }
}

fn mouse(event: MouseEvent) -> Option<Mouse> {
    match event.kind {
        MouseEventKind::Down(MouseButton::Left) => {
            Some(Mouse::Click { column: event.column, row: event.row })
        }
        MouseEventKind::ScrollUp => Some(Mouse::WheelUp),
        MouseEventKind::ScrollDown => Some(Mouse::WheelDown),
        _ => None,
    }
}

fn key(event: KeyEvent) -> Key {
    let held = event.modifiers;
    match event.code {
        KeyCode::Char(c) if held.contains(KeyModifiers::CONTROL) => Key::Ctrl(c.to_ascii_lowercase()),
        KeyCode::Char(_) if held.intersects(KeyModifiers::ALT | KeyModifiers::SUPER | KeyModifiers::META) => {
            Key::Other
        }
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Esc,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Delete => Key::Delete,
        _ => Key::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_the_screen_does_counts_as_its_own() {
        assert!(!DRAWS.get());
        OnScreen::new(async { assert!(DRAWS.get()) }).await;
        assert!(!DRAWS.get());
    }

    #[test]
    fn what_slipped_past_is_not_sent() {
        let mut buffer = Buffer::with_lines(["plain"]);
        buffer[(1, 0)].set_symbol("\u{1b}[2J");
        buffer[(3, 0)].set_symbol("i\u{202e}");
        tame(&mut buffer);
        assert_eq!(buffer, Buffer::with_lines(["p?a?n"]));
    }

    #[test]
    fn control_and_alt_are_told_apart_from_letters() {
        let pressed = |c, held| key(KeyEvent::new(KeyCode::Char(c), held));
        assert_eq!(pressed('R', KeyModifiers::SHIFT), Key::Char('R'));
        assert_eq!(pressed('r', KeyModifiers::CONTROL), Key::Ctrl('r'));
        assert_eq!(pressed('R', KeyModifiers::CONTROL | KeyModifiers::SHIFT), Key::Ctrl('r'));
        assert_eq!(pressed('y', KeyModifiers::ALT), Key::Other);
    }
}
