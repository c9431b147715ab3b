//! Recording the demo and playing it again, in a real terminal.

use std::{fs, time::Duration};

use redrive::poll::record::Recording;

use super::{LIMIT, leave};
use crate::support::{program::run, pty::Terminal};

#[test]
fn a_recorded_demo_is_played_again_to_its_end_and_stepped_through() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("demo.jsonl");
    let file = file.to_str().expect("a plain name");
    let temporary = folder.path().to_str().expect("a plain name");
    let args = ["demo", "--time-factor", "0.25", "--record", file];
    let mut terminal = Terminal::start(&args, 120, 36, &[("TMPDIR", temporary)]);
    terminal.wait_for("recording", LIMIT);
    terminal.press("2");
    terminal.wait_for("┌ onboardings · ", LIMIT);
    terminal.press("1");
    terminal.wait_for("STORM", Duration::from_secs(60));
    leave(terminal);
    // Nobody writes over it, and it is told before anything is set up.
    let (code, _, err) = run(&["demo", "--record", file]);
    assert_eq!(code, 1);
    assert!(err.contains("there is such a file already"), "{err}");

    let recording = Recording::open(file.as_ref()).expect("it can be played");
    assert!(recording.pictures > 5, "{recording:?}");
    let text = fs::read_to_string(file).unwrap();
    assert!(!text.contains("\"context\"") && !text.contains("\"request\""), "no payloads");

    // Neither the demo nor its database is there any more.
    let args = ["top", "--playback", file, "--speed", "20"];
    let mut terminal =
        Terminal::start(&args, 120, 36, &[("REDRIVE_DATABASE_URL", "postgres://nobody@127.0.0.1:1/x")]);
    terminal.wait_for("demo · sqlite", LIMIT);
    terminal.wait_for("the recording ends here", LIMIT);
    let end = terminal.wait_for("‖ frozen", LIMIT);
    assert!(end.contains("STORM") && end.contains("read-only"), "{end}");
    terminal.press("Left Left Left");
    terminal.wait_until("an earlier picture", LIMIT, |screen| {
        screen.contains(" ago") && !screen.contains(", 0 s ago")
    });
    terminal.press("Shift+R");
    terminal.wait_for("this is a recording: nothing can be changed in it", LIMIT);
    leave(terminal);
}
