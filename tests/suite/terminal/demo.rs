//! `redrive demo` as somebody meets it: the first frame, the six screens, the storm, and nothing left behind.

use std::{path::Path, time::Duration};

use super::{LIMIT, confirm, filter};
use crate::support::pty::Terminal;

/// The promise: the storm is on the screen so long after the first frame.
const STORM: Duration = Duration::from_secs(30);

fn demo(args: &[&str], folder: &Path) -> Terminal {
    let folder = folder.to_str().expect("a plain name");
    let terminal = Terminal::start(&[&["demo"], args].concat(), 120, 36, &[("TMPDIR", folder)]);
    terminal.wait_for("● live", LIMIT);
    terminal
}

fn leftovers(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn the_demo_shows_six_screens_help_and_a_filter_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = demo(&["--scenario", "calm"], folder.path());
    assert_eq!(leftovers(folder.path()).len(), 1, "everything it keeps is in one folder");
    for (key, title) in [
        ("2", "┌ onboardings · "),
        ("3", "┌ keys · "),
        ("4", "┌ dead letters by error · "),
        ("5", "┌ circuits · "),
        ("6", "┌ audit · "),
        ("1", "first tries and"),
    ] {
        terminal.press(key);
        terminal.wait_for(title, LIMIT);
    }
    terminal.press("?");
    terminal.wait_for("One row down.", LIMIT);
    terminal.press("Esc");
    terminal.wait_gone("One row down.", LIMIT);
    terminal.press("2 /");
    terminal.wait_for("Enter applies", LIMIT);
    terminal.type_text("tenant:nobody");
    terminal.press("Enter");
    terminal.wait_for("no onboarding matches: Esc clears the filter", LIMIT);
    terminal.press("Esc");
    terminal.wait_gone("no onboarding matches", LIMIT);
    terminal.press("Enter");
    terminal.wait_for("VALIDATING", LIMIT);
    terminal.press("q");
    assert_eq!(terminal.exit_code(LIMIT), 0);
    assert_eq!(terminal.not_restored(), Vec::<&str>::new());
    assert!(terminal.screen().contains("side by side"), "what protection was worth:\n{}", terminal.screen());
    assert_eq!(leftovers(folder.path()), Vec::<String>::new());
}

#[test]
fn the_outage_is_a_storm_within_half_a_minute_and_its_letters_go_when_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = demo(&["--time-factor", "0.25"], folder.path());
    let screen = terminal.wait_for("STORM", STORM);
    assert!(screen.contains("github.create_hook") && screen.contains("legacy-crm"), "{screen}");
    terminal.wait_until("our circuit opens", STORM, |screen| {
        screen.lines().any(|line| line.contains("github.create_hook") && line.contains("OPEN"))
    });
    terminal.press("4");
    terminal.wait_for("503", LIMIT);
    terminal.press("5");
    terminal.wait_until("every circuit closes when the outage is over", Duration::from_secs(90), |screen| {
        screen.contains("┌ circuits") && !screen.contains("OPEN") && !screen.contains("half open")
    });
    terminal.press("4");
    filter(&mut terminal, "503");
    // A circuit may close by luck before the outage is over; what fails again is a letter again.
    let gone = |screen: &str| screen.contains("no dead letter matches");
    let cleared = (0..4).any(|_| {
        gone(&terminal.screen()) || {
            replay_marked(&mut terminal);
            terminal.look_for("the letters go", Duration::from_secs(25), gone).is_ok()
        }
    });
    assert!(cleared, "the letters are still there:\n{}", terminal.screen());
    terminal.signal("TERM");
    assert_eq!(terminal.exit_code(LIMIT), 143);
    assert_eq!(terminal.not_restored(), Vec::<&str>::new());
    assert_eq!(leftovers(folder.path()), Vec::<String>::new());
}

/// Marks every group on the screen and replays them.
fn replay_marked(terminal: &mut Terminal) {
    terminal.press("*");
    let _ = terminal.look_for("marks", Duration::from_secs(2), |screen| screen.contains("marked"));
    confirm(terminal, "R");
}
