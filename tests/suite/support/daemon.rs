//! `redrive` as a service: a worker, or the stand-ins; killed when dropped.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use super::program::redrive;

/// The longest a daemon may take to say where it listens.
const START: Duration = Duration::from_secs(20);

/// A running daemon.
pub(crate) struct Daemon {
    child: Child,
    said: mpsc::Receiver<String>,
    /// Everything it said before its last line of `until`.
    pub(crate) lines: Vec<String>,
}

impl Daemon {
    /// Starts `redrive ARGS` and waits until it said a line with `until` in it.
    pub(crate) fn start(args: &[&str], env: &[(&str, &str)], until: &str) -> Self {
        let mut command = redrive(args);
        command.envs(env.iter().copied());
        Self::of(command, until)
    }

    /// Starts `command`, whose output is piped, and waits until it said a line with `until` in it.
    pub(crate) fn of(mut command: Command, until: &str) -> Self {
        let mut child = command.stderr(Stdio::inherit()).spawn().expect("the binary starts");
        let out = child.stdout.take().expect("its output is captured");
        let (say, said) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if say.send(line).is_err() {
                    return;
                }
            }
        });
        let mut daemon = Self { child, said, lines: Vec::new() };
        daemon.hear(until, START);
        daemon
    }

    /// Waits until it says a line with `until` in it.
    pub(crate) fn hear(&mut self, until: &str, limit: Duration) {
        loop {
            let line = self
                .said
                .recv_timeout(limit)
                .unwrap_or_else(|_| panic!("it never said {until:?}, only {:?}", self.lines));
            self.lines.push(line);
            if self.lines.last().is_some_and(|line| line.contains(until)) {
                return;
            }
        }
    }

    /// The first `http://host:port` it said.
    pub(crate) fn base(&self) -> String {
        let text = self.lines.join("\n");
        let at = text.find("http://").unwrap_or_else(|| panic!("no address in {text}"));
        let host: String =
            text[at + 7..].chars().take_while(|c| !c.is_whitespace() && !matches!(c, '/' | ',')).collect();
        format!("http://{host}")
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// Sends a signal, `TERM` say.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = std::process::Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.expect("there is a kill").success());
    }

    /// Waits for its end: its exit code.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<i32> {
        // Its standard output closes when it ends.
        loop {
            match self.said.recv_timeout(limit) {
                Ok(_) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return self.child.wait().expect("it can be waited for").code();
                }
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("it did not end within {limit:?}"),
            }
        }
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}
