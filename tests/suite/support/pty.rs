//! A program in a real pseudo-terminal: keys in, the screen out. Knows nothing of redrive; pictures are taken with it too.
//!
//! Waiting means waiting for output: a thread reads, whoever waits is woken, nothing sleeps.

use std::{
    ffi::OsString,
    io::{Read, Write},
    path::Path,
    process::Command,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::Duration,
};

use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};

/// A running program and what it has drawn; dropped, it is killed with all of its process group.
pub(crate) struct Terminal {
    seen: Arc<Seen>,
    master: Box<dyn MasterPty + Send>,
    writer: Box<dyn Write + Send>,
    pid: u32,
    /// The line settings (echo, line by line) before the program changed them.
    before: Option<String>,
}

struct Seen {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    parser: vt100::Parser<Frames>,
    raw: Vec<u8>,
    exit: Option<ExitStatus>,
    /// Nobody holds the other side any more: all output was seen.
    closed: bool,
}

/// Between "begin" and "end of synchronized update" a frame is half drawn, and nobody should look.
#[derive(Default)]
struct Frames {
    drawing: bool,
}

impl vt100::Callbacks for Frames {
    fn unhandled_csi(
        &mut self,
        _: &mut vt100::Screen,
        intermediate: Option<u8>,
        _: Option<u8>,
        parameters: &[&[u16]],
        letter: char,
    ) {
        if intermediate == Some(b'?') && parameters == [[2026]] {
            self.drawing = letter == 'h';
        }
    }
}

/// Names of environment variables that would make the outcome depend on whoever runs this.
pub(crate) fn settings_of_others() -> impl Iterator<Item = OsString> {
    std::env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.to_string_lossy();
        let others = ["DATABASE_URL", "NO_COLOR", "COLUMNS", "LINES", "RUST_BACKTRACE", "RUST_LOG"];
        ["REDRIVE_", "LC_"].iter().any(|prefix| name.starts_with(prefix)) || others.contains(&&*name)
    })
}

impl Terminal {
    /// Starts `program` in a terminal of `cols` × `rows`, with `env` over a neutral environment.
    pub(crate) fn spawn(program: &Path, args: &[&str], cols: u16, rows: u16, env: &[(&str, &str)]) -> Self {
        let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("the system has pseudo-terminals");
        let mut command = CommandBuilder::new(program);
        command.args(args);
        command.cwd(std::env::current_dir().expect("there is a current folder"));
        for name in settings_of_others() {
            command.env_remove(name);
        }
        for (name, value) in [("TERM", "xterm-256color"), ("COLORTERM", "truecolor"), ("LANG", "C.UTF-8")] {
            command.env(name, value);
        }
        for (name, value) in env {
            command.env(name, value);
        }
        let before = pair.master.get_termios().map(|settings| format!("{settings:?}"));
        let child = pair.slave.spawn_command(command).expect("the program starts");
        drop(pair.slave); // so that reading ends when the program does
        let pid = child.process_id().expect("a started program has an id");
        let reader = pair.master.try_clone_reader().expect("a terminal can be read");
        let writer = pair.master.take_writer().expect("a terminal can be written to");
        let parser = vt100::Parser::new_with_callbacks(rows, cols, 0, Frames::default());
        let state = Mutex::new(State { parser, raw: Vec::new(), exit: None, closed: false });
        let seen = Arc::new(Seen { state, changed: Condvar::new() });
        std::thread::spawn({
            let seen = Arc::clone(&seen);
            move || seen.read(reader)
        });
        std::thread::spawn({
            let seen = Arc::clone(&seen);
            move || seen.wait_for(child)
        });
        Self { seen, master: pair.master, writer, pid, before }
    }

    /// Presses keys, named as in redrive's help and separated by spaces: `j`, `Enter`, `Ctrl+C`, `Shift+R`, `F1`.
    ///
    /// `Esc` must be the last of a call: bytes right behind it would read as Alt with that key.
    #[track_caller]
    pub(crate) fn press(&mut self, keys: &str) {
        let mut names = keys.split_whitespace().peekable();
        let mut bytes = Vec::new();
        while let Some(name) = names.next() {
            assert!(
                name != "Esc" || names.peek().is_none(),
                "wait for what Esc does before pressing more: {keys}"
            );
            bytes.extend(bytes_of(name).unwrap_or_else(|| panic!("no key is named {name}")));
        }
        self.write(&bytes);
    }

    /// Types `text` as it stands.
    pub(crate) fn type_text(&mut self, text: &str) {
        self.write(text.as_bytes());
    }

    /// Hands bytes to the program as if the terminal had sent them.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        // A program that has just ended cannot be written to; what was expected of it shows that better.
        let _ = self.writer.write_all(bytes).and_then(|()| self.writer.flush());
    }

    /// Waits until `text` stands somewhere on the screen, and returns the screen.
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str, limit: Duration) -> String {
        self.wait_until(&format!("{text:?} on the screen"), limit, |screen| screen.contains(text))
    }

    /// Waits until `text` stands nowhere on the screen, and returns the screen.
    #[track_caller]
    pub(crate) fn wait_gone(&self, text: &str, limit: Duration) -> String {
        self.wait_until(&format!("{text:?} no longer on the screen"), limit, |screen| !screen.contains(text))
    }

    /// Waits until `condition` holds for the screen, and returns that screen; panics with the screen otherwise.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, limit: Duration, condition: impl Fn(&str) -> bool) -> String {
        self.look_for(what, limit, condition).unwrap_or_else(|fault| panic!("{fault}"))
    }

    /// As [`Self::wait_until`], but hands back what there is to say when `limit` has passed.
    pub(crate) fn look_for(
        &self,
        what: &str,
        limit: Duration,
        condition: impl Fn(&str) -> bool,
    ) -> Result<String, String> {
        let whole = |state: &State| state.closed || !state.parser.callbacks().drawing;
        let holds = |state: &State| whole(state) && condition(&state.text());
        let state = self.seen.wait_while(limit, |state| !state.closed && !holds(state));
        let screen = state.text();
        if holds(&state) {
            return Ok(screen);
        }
        let exit = state.exit.as_ref().map_or("still running".to_owned(), ToString::to_string);
        Err(format!("waited {limit:?} for {what}; the program: {exit}; its screen:\n{screen}"))
    }

    /// Waits until the program has written `bytes`: for what is sent to the terminal but not drawn, as a copied text.
    #[track_caller]
    pub(crate) fn wait_for_bytes(&self, bytes: &[u8], limit: Duration) {
        let written = |state: &State| state.raw.windows(bytes.len()).any(|window| window == bytes);
        let state = self.seen.wait_while(limit, |state| !state.closed && !written(state));
        let found = written(&state);
        drop(state);
        assert!(found, "waited {limit:?} for {:?} among what was written", String::from_utf8_lossy(bytes));
    }

    /// Waits until nothing more was drawn for `quiet`, at most `limit`: for pictures, where no text says "whole".
    pub(crate) fn settle(&self, quiet: Duration, limit: Duration) {
        for _ in 0..limit.as_millis() / quiet.as_millis().max(1) {
            let drawn = self.seen.lock().raw.len();
            let state = self.seen.wait_while(quiet, |state| !state.closed && state.raw.len() == drawn);
            if state.raw.len() == drawn {
                return;
            }
        }
    }

    /// The screen as text: one line a row, without trailing spaces.
    pub(crate) fn screen(&self) -> String {
        self.seen.lock().text()
    }

    /// The screen with its colours, cursor and modes.
    pub(crate) fn cells(&self) -> vt100::Screen {
        self.seen.lock().parser.screen().clone()
    }

    /// Every byte the program has written.
    pub(crate) fn raw(&self) -> Vec<u8> {
        self.seen.lock().raw.clone()
    }

    /// What the program left behind that a shell would not want: empty when the terminal is as it was before.
    pub(crate) fn not_restored(&self) -> Vec<&'static str> {
        let screen = self.cells();
        let settings = self.master.get_termios().map(|settings| format!("{settings:?}"));
        let faults = [
            (screen.alternate_screen(), "still in the alternate screen"),
            (screen.hide_cursor(), "the cursor is hidden"),
            (screen.bracketed_paste(), "bracketed paste is on"),
            (screen.mouse_protocol_mode() != vt100::MouseProtocolMode::None, "the mouse is captured"),
            (screen.application_keypad() || screen.application_cursor(), "application keys are on"),
            (self.seen.lock().parser.callbacks().drawing, "a synchronized update never ended"),
            (settings != self.before, "the line settings (raw mode, echo) differ from before"),
        ];
        faults.into_iter().filter_map(|(fault, what)| fault.then_some(what)).collect()
    }

    /// Changes the size, as a window does.
    pub(crate) fn resize(&self, cols: u16, rows: u16) {
        self.seen.lock().parser.screen_mut().set_size(rows, cols);
        self.claim_size(cols, rows);
    }

    /// Claims a size, which the picture of the screen kept here does not follow.
    pub(crate) fn claim_size(&self, cols: u16, rows: u16) {
        let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
        self.master.resize(size).expect("a terminal can be resized");
    }

    /// Sends a signal, named without `SIG`: `TERM`, `INT`, `HUP`, `KILL`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid)]).status();
        assert!(sent.expect("there is a sh").success(), "the program can be sent {name}");
    }

    /// Waits for the end of the program and all its output.
    #[track_caller]
    pub(crate) fn exit(&self, limit: Duration) -> ExitStatus {
        let state = self.seen.wait_while(limit, |state| !(state.closed && state.exit.is_some()));
        let (exit, closed, screen) = (state.exit.clone(), state.closed, state.text());
        drop(state);
        match exit {
            Some(exit) if closed => exit,
            Some(_) => panic!("the program ended, but something it started still holds the terminal"),
            None => panic!("waited {limit:?} for the program's end; its screen:\n{screen}"),
        }
    }

    /// As [`Self::exit`], for a program that no signal is to have ended.
    #[track_caller]
    pub(crate) fn exit_code(&self, limit: Duration) -> u32 {
        let exit = self.exit(limit);
        assert_eq!(exit.signal(), None, "the program was ended by a signal");
        exit.exit_code()
    }

    /// The process id of the program.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let group = format!("kill -KILL -{0} 2>/dev/null || kill -KILL {0}", self.pid);
        if self.seen.lock().exit.is_none() {
            let _ = Command::new("sh").args(["-c", &group]).status();
        }
    }
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn wait_while(
        &self,
        limit: Duration,
        mut condition: impl FnMut(&State) -> bool,
    ) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_timeout_while(self.lock(), limit, |state| condition(state));
        waited.unwrap_or_else(std::sync::PoisonError::into_inner).0
    }

    fn read(&self, mut reader: Box<dyn Read + Send>) {
        let mut buffer = [0; 16 * 1024];
        loop {
            // Linux answers EIO once the last holder of the other side is gone.
            let read = reader.read(&mut buffer).unwrap_or(0);
            let mut state = self.lock();
            if read == 0 {
                state.closed = true;
                self.changed.notify_all();
                return;
            }
            state.parser.process(&buffer[..read]);
            state.raw.extend_from_slice(&buffer[..read]);
            self.changed.notify_all();
        }
    }

    fn wait_for(&self, mut child: Box<dyn Child + Send + Sync>) {
        let exit = child.wait().expect("our own child can be waited for");
        self.lock().exit = Some(exit);
        self.changed.notify_all();
    }
}

impl State {
    fn text(&self) -> String {
        self.parser.screen().contents()
    }
}

/// What a terminal sends for the key named `name`.
fn bytes_of(name: &str) -> Option<Vec<u8>> {
    let mut letters = name.chars();
    if let (Some(letter), None) = (letters.next(), letters.next()) {
        return Some(letter.to_string().into_bytes());
    }
    if let Some(letter) = name.strip_prefix("Shift+").filter(|rest| rest.len() == 1) {
        return Some(letter.to_ascii_uppercase().into_bytes());
    }
    if let Some(letter) = name.strip_prefix("Ctrl+").filter(|rest| rest.len() == 1) {
        return Some(vec![letter.as_bytes()[0].to_ascii_uppercase() & 0x1f]);
    }
    if let Some(rest) = name.strip_prefix("Alt+") {
        return Some([b"\x1b".to_vec(), bytes_of(rest)?].concat());
    }
    let bytes: &[u8] = match name {
        "Enter" => b"\r",
        "Esc" => b"\x1b",
        "Tab" => b"\t",
        "Shift+Tab" => b"\x1b[Z",
        "Space" => b" ",
        "Backspace" => b"\x7f",
        "Delete" => b"\x1b[3~",
        "Up" | "↑" => b"\x1b[A",
        "Down" | "↓" => b"\x1b[B",
        "Right" | "→" => b"\x1b[C",
        "Left" | "←" => b"\x1b[D",
        "Home" => b"\x1b[H",
        "End" => b"\x1b[F",
        "PgUp" => b"\x1b[5~",
        "PgDn" => b"\x1b[6~",
        "F1" => b"\x1bOP",
        "F5" => b"\x1b[15~",
        _ => return None,
    };
    Some(bytes.to_vec())
}
