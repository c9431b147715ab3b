//! A server that never outlives the test process, however that ends: its leash is a pipe, and a pipe closes.

use std::{
    ffi::OsStr,
    fs::File,
    path::Path,
    process::{Child, Command, Stdio},
};

/// Waits for the end of its own input, then for the end of the server it kills. `sh` alone, so that it is always there.
const HOLD: &str =
    r#"exec 3<&0; "$@" </dev/null 3<&- & server=$!; read -r _ <&3; kill -KILL $server; wait $server"#;

/// A running server; dropped, it is killed and waited for.
#[derive(Debug)]
pub(crate) struct Leash(Child);

impl Leash {
    /// Starts `program`; what it prints goes to `log`.
    pub(crate) fn hold<A: AsRef<OsStr>>(
        program: &Path,
        args: impl IntoIterator<Item = A>,
        log: &Path,
    ) -> Self {
        let log = File::create(log).expect("the log of a test's server can be written");
        let child = Command::new("sh")
            .args(["-c", HOLD, "leash"])
            .arg(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a file can be cloned"))
            .stderr(log)
            .spawn()
            .expect("there is a sh");
        Self(child)
    }

    /// A program that does itself what this type asks for: it ends when its standard input closes.
    pub(crate) fn of(child: Child) -> Self {
        assert!(child.stdin.is_some(), "a leash is the pipe to a program's standard input");
        Self(child)
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // Nothing to do about a failure here, and a panic would hide the test's own.
        let _ = self.0.wait();
    }
}
