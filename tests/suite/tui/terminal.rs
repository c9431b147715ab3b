//! The loop in a real terminal: this test binary starts itself again as a dashboard over a world.

use std::{
    future::Future,
    path::PathBuf,
    pin::pin,
    sync::Arc,
    task::{Context, Wake, Waker},
    time::Duration,
};

use redrive::{
    clock,
    engine::{Access, reader::Query},
    poll::Snapshot,
    tui::{self, Exit, Session, Source, preferences::Preferences, theme::Look},
};
use tokio::sync::{Notify, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{engine, worlds};
use crate::support::pty::Terminal;

const SOON: Duration = Duration::from_secs(20);

/// Asks the dashboard for a panic of the screen as soon as it wants a picture.
const PANICS: &str = "REDRIVE_TEST_SCREEN_PANICS";

/// Wakes nobody: whoever calls it panics, on the spot.
struct Panic;

impl Wake for Panic {
    fn wake(self: Arc<Self>) {
        panic!("asked for by a test: the screen panics");
    }
}

/// Not a test: the dashboard that the tests below look at.
#[test]
#[ignore = "the program under test of the others in this module"]
fn dashboard() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let exit = runtime.block_on(async {
        let world = worlds::storm();
        let (queries, mut asked) = watch::channel(Query::default());
        let picture = {
            let world = world.clone();
            move |query: &Query| -> Arc<Snapshot> {
                let mut snapshot = (*world.picture(query)).clone();
                snapshot.at = clock::now();
                snapshot.database.last_ok = Some(snapshot.at);
                Arc::new(snapshot)
            }
        };
        let (pictures, snapshots) = watch::channel(picture(&Query::default()));
        let tracker = TaskTracker::new();
        let nudge = Arc::new(Notify::new());
        tracker.spawn({
            let nudge = nudge.clone();
            async move {
                // Who waits for a nudge is woken by the screen itself, in the middle of its turn.
                let mut woken = pin!(nudge.notified());
                if std::env::var_os(PANICS).is_some() {
                    let waker = Waker::from(Arc::new(Panic));
                    let _ = woken.as_mut().poll(&mut Context::from_waker(&waker));
                }
                loop {
                    let query = asked.borrow_and_update().clone();
                    pictures.send_replace(picture(&query));
                    tokio::select! {
                        changed = asked.changed() => if changed.is_err() { return },
                        () = nudge.notified() => {}
                        () = clock::sleep(Duration::from_secs(1)) => {}
                    }
                }
            }
        });
        let session = Session {
            source: Source::Live(engine::over(world, Access::ReadWrite)),
            snapshots,
            queries,
            nudge,
            operator: "ana".to_owned(),
            title: "a world".to_owned(),
            database: None,
            interval: Duration::from_secs(1),
            pace: watch::Sender::new(Duration::from_secs(1)),
            preferences: Preferences { mouse: true, ..Preferences::default() },
            look: Look::of_environment(|name| std::env::var(name).ok()),
            recording: None,
            cancel: CancellationToken::new(),
            tracker,
        };
        tui::run(session).await.unwrap()
    });
    std::process::exit(i32::from(Exit::code(exit)));
}

fn start(env: &[(&str, &str)]) -> Terminal {
    let own: PathBuf = std::env::current_exe().expect("a test knows its own binary");
    let args = ["--exact", "tui::terminal::dashboard", "--ignored", "--nocapture", "--test-threads=1"];
    Terminal::spawn(&own, &args, 100, 30, env)
}

#[test]
fn it_draws_goes_on_reads_keys_and_gives_the_terminal_back() {
    let mut terminal = start(&[]);
    terminal.wait_for("STORM", SOON);
    terminal.press("2");
    terminal.wait_for("CONFIGURING_SYNC", SOON);
    terminal.press("Shift+U");
    terminal.wait_for("Resume 1", SOON);
    terminal.press("y");
    terminal.wait_for("1 onboarding resumed", SOON);
    terminal.press("q");
    assert_eq!(terminal.exit_code(SOON), 0);
    assert!(terminal.not_restored().is_empty(), "{:?}", terminal.not_restored());
}

#[test]
fn every_signal_gives_the_terminal_back_and_is_told_by_the_exit_code() {
    for (name, number) in [("TERM", 15), ("INT", 2), ("HUP", 1), ("QUIT", 3)] {
        let terminal = start(&[]);
        terminal.wait_for("STORM", SOON);
        terminal.signal(name);
        assert_eq!(terminal.exit_code(SOON), 128 + number, "SIG{name}");
        assert!(terminal.not_restored().is_empty(), "SIG{name}: {:?}", terminal.not_restored());
    }
}

#[test]
fn a_resized_terminal_is_drawn_anew_and_a_tiny_one_says_so() {
    let terminal = start(&[]);
    terminal.wait_for("STORM", SOON);
    terminal.resize(30, 5);
    terminal.wait_for("enlarge the", SOON);
    terminal.resize(120, 36);
    terminal.wait_for("operations by caller", SOON);
}

#[test]
fn a_task_that_panics_is_told_and_the_screen_stays() {
    let mut terminal = start(&[]);
    terminal.wait_for("STORM", SOON);
    terminal.press("2");
    terminal.wait_for("CONFIGURING_SYNC", SOON);
    terminal.press("Shift+B");
    let screen = terminal.wait_for("a task of this program failed", SOON);
    assert!(screen.contains("engine.rs"), "{screen}");
    terminal.press("Esc");
    terminal.wait_gone("reading what it would do", SOON);
    terminal.press("1");
    terminal.wait_for("STORM", SOON);
}

#[test]
fn a_screen_that_panics_gives_the_terminal_back_and_says_where() {
    let terminal = start(&[(PANICS, "1")]);
    terminal.wait_for_bytes(b"\x1b[?1049h", SOON);
    assert_eq!(terminal.exit_code(SOON), 101);
    assert!(terminal.not_restored().is_empty(), "{:?}", terminal.not_restored());
    let screen = terminal.screen();
    assert!(screen.contains("asked for by a test: the screen panics"), "{screen}");
    assert!(screen.contains("terminal.rs"), "{screen}");
}

#[test]
fn an_id_is_copied_through_the_terminal() {
    let mut terminal = start(&[]);
    terminal.wait_for("STORM", SOON);
    terminal.press("2");
    terminal.wait_for("CONFIGURING_SYNC", SOON);
    terminal.press("y");
    // base64 of on-0000
    terminal.wait_for_bytes(b"\x1b]52;c;b24tMDAwMA==", SOON);
}

#[test]
fn a_terminal_larger_than_any_screen_is_told_so_and_drawn_again_when_it_is_none() {
    let mut terminal = start(&[]);
    terminal.wait_for("STORM", SOON);
    terminal.claim_size(u16::MAX, u16::MAX);
    terminal.wait_for("cannot draw in this terminal: it says it has 65535 columns and 65535 rows", SOON);
    terminal.press("2");
    terminal.claim_size(100, 30);
    terminal.wait_for("CONFIGURING_SYNC", SOON);
    terminal.press("q");
    assert_eq!(terminal.exit_code(SOON), 0);
}

#[test]
fn none_is_begun_in_a_terminal_larger_than_any_screen() {
    let own = std::env::current_exe().unwrap();
    let script = format!(
        "stty cols 65535 rows 65535; exec {} --exact tui::terminal::dashboard --ignored --nocapture --test-threads=1",
        own.display()
    );
    let terminal = Terminal::spawn(&PathBuf::from("/bin/sh"), &["-c", &script], 100, 30, &[]);
    assert_eq!(terminal.exit_code(SOON), 101);
    let screen = terminal.screen();
    assert!(screen.contains("it says it has 65535 columns and 65535 rows, more than any screen"), "{screen}");
}

#[test]
fn a_paste_presses_no_keys() {
    let mut terminal = start(&[]);
    terminal.wait_for("STORM", SOON);
    terminal.write(b"\x1b[200~q\x03\x1b[201~");
    terminal.press("2");
    terminal.wait_for("CONFIGURING_SYNC", SOON);
}

#[test]
fn a_paste_whose_end_is_lost_is_given_up_and_keys_are_keys_again() {
    let mut terminal = start(&[]);
    terminal.wait_for("STORM", SOON);
    terminal.press("2");
    terminal.wait_for("CONFIGURING_SYNC", SOON);
    terminal.press("/");
    terminal.wait_for("Esc leaves", SOON);
    terminal.write(b"\x1b[200~lost-end");
    terminal.wait_for("lost-end", SOON);
    terminal.press("Esc");
    terminal.wait_gone("Esc leaves", SOON);
    terminal.press("q");
    assert_eq!(terminal.exit_code(SOON), 0);
    assert!(terminal.not_restored().is_empty(), "{:?}", terminal.not_restored());
}

#[test]
fn a_plain_terminal_gets_ascii_without_colours() {
    let terminal = start(&[("TERM", "dumb"), ("LANG", "C")]);
    let screen = terminal.wait_for("STORM", SOON);
    assert!(screen.is_ascii(), "{screen}");
    let raw = terminal.raw();
    let raw = String::from_utf8_lossy(&raw);
    assert!(!raw.contains("38;2;") && !raw.contains("48;2;"), "no colour was asked for");
}

#[test]
fn a_suspended_dashboard_comes_back_whole() {
    // A shell with job control stands behind it, as in life.
    let own = std::env::current_exe().unwrap();
    let script = format!(
        "set -m; {} --exact tui::terminal::dashboard --ignored --nocapture --test-threads=1; echo stopped with $?; fg; echo left with $?",
        own.display()
    );
    let mut terminal = Terminal::spawn(&PathBuf::from("/bin/sh"), &["-c", &script], 100, 30, &[]);
    terminal.wait_for("STORM", SOON);
    terminal.press("Ctrl+Z");
    terminal.wait_for_bytes(b"stopped with", SOON);
    terminal.wait_for("STORM", SOON);
    terminal.press("2");
    terminal.wait_for("CONFIGURING_SYNC", SOON);
    terminal.press("q");
    terminal.wait_for("left with 0", SOON);
    assert!(terminal.not_restored().is_empty(), "{:?}", terminal.not_restored());
}
