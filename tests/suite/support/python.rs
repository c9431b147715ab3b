//! A Python that has Prometheus's own client, to be asked what it makes of an exposition, and psycopg, to be asked what it
//! makes of our tables.

use std::{
    env,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Runs `script` with `input`; answers what it printed.
pub(crate) fn run(script: &Path, input: &str) -> String {
    let mut child = Command::new(program())
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "the script {} failed", script.display());
    String::from_utf8(output.stdout).expect("what it prints is UTF-8")
}

/// `REDRIVE_TEST_PYTHON`, which `tests/run` sets, else Debian's, else the one on the path: whichever has both.
pub(crate) fn program() -> PathBuf {
    if let Some(program) = env::var_os("REDRIVE_TEST_PYTHON") {
        return program.into();
    }
    let has_both = |program: &PathBuf| {
        let tried = Command::new(program)
            .args(["-c", "import prometheus_client, psycopg"])
            .stderr(Stdio::null())
            .status();
        tried.is_ok_and(|status| status.success())
    };
    let path = env::var_os("PATH").unwrap_or_default();
    let candidates = [PathBuf::from("/usr/bin")].into_iter().chain(env::split_paths(&path));
    let found = candidates.map(|folder| folder.join("python3")).find(has_both);
    found
        .expect("no Python with prometheus_client and psycopg for the tests: start them by tests/run, which provides one")
}
