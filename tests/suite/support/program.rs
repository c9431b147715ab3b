//! The built binary, in a terminal or without one.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

use super::pty::Terminal;

/// The binary under test.
pub(crate) const REDRIVE: &str = env!("CARGO_BIN_EXE_redrive");

impl Terminal {
    /// Starts `redrive ARGS` in a terminal of `cols` × `rows`.
    pub(crate) fn start(args: &[&str], cols: u16, rows: u16, env: &[(&str, &str)]) -> Self {
        Self::spawn(Path::new(REDRIVE), args, cols, rows, env)
    }
}

/// `redrive ARGS` without a terminal, not yet started: standard input is empty, the output captured, and no setting of
/// whoever runs the tests reaches it.
pub(crate) fn redrive(args: &[&str]) -> Command {
    let mut command = Command::new(REDRIVE);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in super::pty::settings_of_others() {
        command.env_remove(name);
    }
    command
}

/// Runs `redrive ARGS` to its end: exit code, standard output, standard error.
pub(crate) fn run(args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = redrive(args).output().expect("the binary starts");
    let text = |bytes| String::from_utf8(bytes).expect("redrive prints UTF-8");
    (status.code().expect("redrive was not killed"), text(stdout), text(stderr))
}
