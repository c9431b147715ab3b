//! Between the terminal and the library that reads it: a paste whose end mark is lost is given up.
//!
//! The library keeps everything behind `ESC[200~` to itself until `ESC[201~` comes, so a lost end mark would silence the
//! keyboard for good, and it cannot be told otherwise. It reads a pseudo-terminal of our own instead, into which a thread
//! passes on what the terminal sends, and puts the end mark where none came.

use std::{
    fs::{File, OpenOptions},
    io::{self, PipeReader, PipeWriter, Read as _, Write as _},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{ffi::OsStrExt as _, fs::OpenOptionsExt as _},
    },
    path::Path,
    thread,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::OFlags,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{OptionalActions, isatty, tcgetattr, tcsetattr},
};
use tokio_util::sync::CancellationToken;

const BEGIN: &[u8] = b"\x1b[200~";
const END: &[u8] = b"\x1b[201~";
/// A paste that stays silent so long is over.
const SILENCE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
/// The most that is taken of a paste; what follows of it is dropped.
const MOST: usize = 1 << 20;

/// Standard input while it is ours; put back when dropped.
pub(super) struct Filter {
    before: OwnedFd,
    /// Closed when this is dropped, which ends the thread.
    _stop: PipeWriter,
}

impl Filter {
    /// Puts itself between; `gone` is cancelled when the terminal cannot be read any more.
    pub(super) fn start(gone: CancellationToken) -> io::Result<Self> {
        let stdin = io::stdin();
        let before = stdin.as_fd().try_clone_to_owned()?;
        let real = if isatty(&before) { File::from(before.try_clone()?) } else { File::open("/dev/tty")? };
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let name = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
        let no_control = i32::try_from(OFlags::NOCTTY.bits()).unwrap_or_default();
        let slave = OpenOptions::new().read(true).write(true).custom_flags(no_control).open(name)?;
        let mut settings = tcgetattr(&slave)?;
        settings.make_raw();
        tcsetattr(&slave, OptionalActions::Now, &settings)?;
        let (stopped, stop) = io::pipe()?;
        rustix::stdio::dup2_stdin(&slave)?;
        let filter = Self { before, _stop: stop };
        thread::Builder::new().name("keys".to_owned()).spawn(move || {
            if pass_on(real, File::from(master), &stopped).is_err() {
                gone.cancel();
            }
        })?;
        Ok(filter)
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        let _ = rustix::stdio::dup2_stdin(&self.before);
    }
}

/// Until it is stopped. What fails, fails because the terminal is gone.
fn pass_on(mut terminal: File, mut library: File, stopped: &PipeReader) -> io::Result<()> {
    let mut paste = Paste::default();
    let mut bytes = [0; 4_096];
    loop {
        let mut ready = [PollFd::new(stopped, PollFlags::IN), PollFd::new(&terminal, PollFlags::IN)];
        match poll(&mut ready, paste.is_open().then_some(&SILENCE)) {
            Ok(0) => library.write_all(paste.give_up())?,
            Ok(_) if !ready[0].revents().is_empty() => return Ok(()),
            Ok(_) => match terminal.read(&mut bytes)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => library.write_all(&paste.pass(&bytes[..length]))?,
            },
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether a paste is open, in what has passed so far.
#[derive(Debug, Default)]
struct Paste {
    /// How much of it has passed.
    open: Option<usize>,
    /// How much of the mark that is looked for has passed just now.
    matched: usize,
}

impl Paste {
    fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// What of `bytes` is passed on.
    fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut passed = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            let mark = if self.is_open() { END } else { BEGIN };
            self.matched = match byte {
                byte if byte == mark[self.matched] => self.matched + 1,
                byte => usize::from(byte == mark[0]),
            };
            let is_marked = self.matched == mark.len();
            if is_marked {
                self.matched = 0;
            }
            match &mut self.open {
                None => {
                    passed.push(byte);
                    self.open = is_marked.then_some(0);
                }
                Some(MOST) if is_marked => self.open = None,
                Some(MOST) => {}
                Some(length) => {
                    *length += 1;
                    passed.push(byte);
                    if is_marked {
                        self.open = None;
                    } else if *length == MOST {
                        passed.extend(END);
                    }
                }
            }
        }
        passed
    }

    /// Nothing came for too long: what is to be passed on instead of the end mark.
    fn give_up(&mut self) -> &'static [u8] {
        self.matched = 0;
        match self.open.take() {
            Some(MOST) | None => &[],
            Some(_) => END,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_whole_pastes_pass_as_they_are() {
        let sent = b"q\x1b[A\x1b\x1b[200~a\x1b[20b\x1b\x1b[201~q\x1b[201~".as_slice();
        let mut whole = Paste::default();
        assert_eq!(whole.pass(sent), sent);
        let mut piecemeal = Paste::default();
        let passed: Vec<u8> = sent.iter().flat_map(|byte| piecemeal.pass(&[*byte])).collect();
        assert_eq!(passed, sent);
        assert!(!whole.is_open() && !piecemeal.is_open());
    }

    #[test]
    fn a_paste_that_falls_silent_is_ended() {
        let mut paste = Paste::default();
        paste.pass(b"\x1b[200~abc\x1b[2");
        assert!(paste.is_open());
        assert_eq!(paste.give_up(), END);
        assert!(!paste.is_open());
        assert_eq!(paste.pass(b"q"), b"q");
    }

    #[test]
    fn a_paste_without_end_is_cut_and_the_rest_of_it_presses_no_keys() {
        let mut paste = Paste::default();
        paste.pass(BEGIN);
        let passed = paste.pass(&vec![b'q'; MOST + 100]);
        assert!(passed.len() == MOST + END.len() && passed.ends_with(END));
        assert_eq!(paste.pass(b"qq"), b"");
        assert_eq!(paste.give_up(), b"");
        assert_eq!(paste.pass(b"q"), b"q");
    }

    #[test]
    fn the_late_end_of_a_cut_paste_is_dropped_with_it() {
        let mut paste = Paste { open: Some(MOST), matched: 0 };
        assert_eq!(paste.pass(b"q\x1b[201~k"), b"k");
    }
}
