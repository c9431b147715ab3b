//! Any size: the layout from 60 × 15 up, one true sentence below.

use super::{LIMIT, dashboard, leave};
use crate::support::stores::TestStore;

#[tokio::test]
async fn a_small_terminal_shows_one_true_sentence_and_a_larger_one_everything_again() {
    let store = TestStore::sqlite().await;
    let terminal = dashboard(&store, &[], &[]);
    for (cols, rows) in [(59, 15), (60, 14), (40, 6), (20, 8)] {
        terminal.resize(cols, rows);
        terminal.wait_until(&format!("the sentence at {cols}x{rows}"), LIMIT, |screen| {
            let words: Vec<_> = screen.split_whitespace().collect();
            words.join(" ") == "redrive needs 60 columns and 15 rows: enlarge the terminal, or q quits"
        });
    }
    for (cols, rows) in [(3, 2), (1, 1)] {
        terminal.resize(cols, rows);
        terminal.wait_until(&format!("what fits of it at {cols}x{rows}"), LIMIT, |screen| {
            screen.starts_with('r')
        });
    }
    for (cols, rows) in [(60, 15), (80, 24), (200, 60), (120, 36)] {
        terminal.resize(cols, rows);
        terminal.wait_until(&format!("Pulse at {cols}x{rows}"), LIMIT, |screen| {
            let lines: Vec<_> = screen.lines().collect();
            lines.len() == usize::from(rows)
                && lines[0].contains("redrive")
                && lines[usize::from(rows) - 1].contains("R replay")
                && screen.contains("┌ circuits")
        });
    }
    terminal.resize(30, 3);
    terminal.wait_for("redrive needs", LIMIT);
    leave(terminal);
}
