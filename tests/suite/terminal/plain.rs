//! Without colours and without Unicode everything is still said.

use tempfile::TempDir;

use super::LIMIT;
use crate::support::pty::Terminal;

/// A demo in which all is well, once it has drawn its chart, and the folder it lives in.
fn calm(env: &[(&str, &str)]) -> (TempDir, Terminal) {
    let args = ["demo", "--scenario", "calm", "--time-factor", "0.1"];
    let folder = tempfile::tempdir().expect("a temporary folder");
    let own = ("TMPDIR", folder.path().to_str().expect("a plain name"));
    let terminal = Terminal::start(&args, 120, 36, &[&[own], env].concat());
    terminal.wait_until("the verdict and the chart", LIMIT, |screen| {
        screen.contains(" live ") && screen.contains("min ago") && screen.contains(" calm ")
    });
    (folder, terminal)
}

fn has_braille(screen: &str) -> bool {
    screen.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c))
}

fn is_coloured(terminal: &Terminal) -> bool {
    let screen = terminal.cells();
    let (rows, cols) = screen.size();
    let mut cells = (0..rows).flat_map(|y| (0..cols).map(move |x| (x, y)));
    cells.any(|(x, y)| {
        let cell = screen.cell(y, x).expect("it is on the screen");
        cell.fgcolor() != vt100::Color::Default || cell.bgcolor() != vt100::Color::Default
    })
}

#[test]
fn a_terminal_that_can_do_all_is_given_all() {
    let (_folder, terminal) = calm(&[]);
    terminal.wait_until("the chart is drawn in braille", LIMIT, |screen| {
        screen.lines().any(|line| line.contains('┤') && has_braille(line))
    });
    assert!(is_coloured(&terminal));
}

#[test]
fn no_color_takes_the_colours_away_and_nothing_else() {
    let (_folder, terminal) = calm(&[("NO_COLOR", "1")]);
    assert!(has_braille(&terminal.screen()));
    assert!(!is_coloured(&terminal), "{}", terminal.screen());
}

#[test]
fn a_dumb_terminal_is_given_ascii_without_colours() {
    let (_folder, terminal) = calm(&[("TERM", "dumb")]);
    let screen = terminal.screen();
    assert!(screen.is_ascii(), "{screen}");
    assert!(screen.contains("* live") && screen.contains("+ circuits"), "{screen}");
    assert!(!is_coloured(&terminal), "{screen}");
}

#[test]
fn a_locale_without_utf_8_is_given_ascii_in_colours() {
    let (_folder, terminal) = calm(&[("LANG", "C")]);
    assert!(terminal.screen().is_ascii(), "{}", terminal.screen());
    assert!(is_coloured(&terminal));
}
