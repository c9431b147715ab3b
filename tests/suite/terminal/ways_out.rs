//! Every way out gives the terminal back, and a terminal that goes away takes the program with it.

use std::{io::Read as _, path::Path, sync::mpsc, time::Duration};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

use super::{LIMIT, dashboard, leave};
use crate::support::{program::REDRIVE, pty::Terminal, stores::TestStore};

/// How long a program may outlive its terminal.
const DEAD: Duration = Duration::from_secs(2);

#[tokio::test]
async fn signals_and_ctrl_c_and_q_end_it_and_give_the_terminal_back() {
    let store = TestStore::sqlite().await;
    for (signal, code) in [("TERM", 143), ("INT", 130), ("HUP", 129), ("QUIT", 131)] {
        let terminal = dashboard(&store, &[], &[]);
        terminal.signal(signal);
        assert_eq!(terminal.exit_code(LIMIT), code, "SIG{signal}");
        assert_eq!(terminal.not_restored(), Vec::<&str>::new(), "SIG{signal}");
    }
    let mut terminal = dashboard(&store, &[], &[]);
    terminal.press("Ctrl+C");
    assert_eq!(terminal.exit_code(LIMIT), 0);
    assert_eq!(terminal.not_restored(), Vec::<&str>::new());
    leave(dashboard(&store, &[], &[]));
}

#[tokio::test]
async fn the_last_key_of_a_burst_is_not_lost() {
    let store = TestStore::sqlite().await;
    let mut terminal = dashboard(&store, &[], &[]);
    // More than a read of the terminal takes at once.
    let mut burst = "23456".repeat(500).into_bytes();
    burst.push(0x03);
    terminal.write(&burst);
    assert_eq!(terminal.exit_code(LIMIT), 0);
    assert_eq!(terminal.not_restored(), Vec::<&str>::new());
}

#[tokio::test]
async fn ctrl_z_gives_the_terminal_to_the_shell_and_fg_paints_everything_again() {
    let store = TestStore::sqlite().await;
    let mut terminal = Terminal::spawn(Path::new("sh"), &["-i"], 120, 36, &[("PS1", "ready> "), ("ENV", "")]);
    terminal.wait_for("ready>", LIMIT);
    terminal.type_text(&format!("{REDRIVE} --database-url {}\r", store.url));
    terminal.wait_for("● live", LIMIT);
    for _ in 0..2 {
        terminal.press("Ctrl+Z");
        terminal.wait_until("the shell says so", LIMIT, |screen| {
            screen.contains("Stopped") && screen.trim_end().ends_with("ready>")
        });
        assert_eq!(terminal.not_restored(), Vec::<&str>::new(), "{}", terminal.screen());
        terminal.type_text("fg\r");
        terminal.wait_until("every part is painted", LIMIT, |screen| {
            let parts = ["● live", "1 Pulse", "┌ no metrics", "┌ failed keys", "? help"];
            parts.iter().all(|part| screen.contains(part))
        });
        assert!(terminal.cells().alternate_screen());
    }
    terminal.press("q");
    terminal.wait_until("the shell is back", LIMIT, |screen| screen.trim_end().ends_with("ready>"));
    terminal.type_text("echo code $?\r");
    terminal.wait_for("code 0", LIMIT);
    terminal.type_text("exit\r");
    assert_eq!(terminal.exit_code(LIMIT), 0);
    assert_eq!(terminal.not_restored(), Vec::<&str>::new());
}

#[tokio::test]
async fn a_dead_terminal_ends_it_within_two_seconds() {
    let store = TestStore::sqlite().await;
    let folder = tempfile::tempdir().unwrap();
    dies_with_its_terminal(&["--database-url", &store.url], folder.path());
    dies_with_its_terminal(&["demo"], folder.path());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the demo's folder is gone");
}

/// Starts it in a terminal, closes that as a killed terminal emulator does, and waits for its end.
fn dies_with_its_terminal(args: &[&str], folder: &Path) {
    let size = PtySize { rows: 36, cols: 120, pixel_width: 0, pixel_height: 0 };
    let pair = native_pty_system().openpty(size).unwrap();
    let mut command = CommandBuilder::new(REDRIVE);
    command.args(args);
    for (name, value) in [("TERM", "xterm-256color"), ("LANG", "C.UTF-8")] {
        command.env(name, value);
    }
    command.env("TMPDIR", folder);
    let mut child = pair.slave.spawn_command(command).unwrap();
    drop(pair.slave);
    let mut reader = pair.master.try_clone_reader().unwrap();
    let (mut drawn, mut buffer) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&drawn).contains("● live") {
        let read = reader.read(&mut buffer).unwrap_or(0);
        assert!(read > 0, "{args:?} ended: {}", String::from_utf8_lossy(&drawn));
        drawn.extend_from_slice(&buffer[..read]);
    }
    let mut killer = child.clone_killer();
    let (ended, end) = mpsc::channel();
    std::thread::spawn(move || ended.send(child.wait()));
    drop(reader);
    drop(pair.master);
    let closed = redrive::clock::instant();
    let end = end.recv_timeout(LIMIT);
    let took = closed.elapsed();
    if end.is_err() {
        let _ = killer.kill();
    }
    assert!(end.is_ok() && took < DEAD, "{args:?} lived on for {took:?}");
}
