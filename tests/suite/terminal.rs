//! The program in a real terminal: keys in, the screen out, and the terminal given back on every way out.

mod comfort;
mod demo;
mod loss;
mod plain;
mod record;
mod sizes;
mod ways_out;
mod writes;

use std::time::Duration;

use crate::support::{pty::Terminal, stores::TestStore};

/// For what takes a moment, on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// The dashboard of `store` in a terminal of 120 × 36, with a live picture on it.
fn dashboard(store: &TestStore, args: &[&str], env: &[(&str, &str)]) -> Terminal {
    let terminal = start(&store.url, args, env);
    terminal.wait_for("● live", LIMIT);
    terminal
}

/// The dashboard of the database at `url`, just started.
pub(crate) fn start(url: &str, args: &[&str], env: &[(&str, &str)]) -> Terminal {
    let args = [&["--database-url", url], args].concat();
    Terminal::start(&args, 120, 36, &[&[("REDRIVE_OPERATOR", "ana")], env].concat())
}

/// Leaves by `q`.
#[track_caller]
pub(crate) fn leave(mut terminal: Terminal) {
    terminal.press("q");
    assert_eq!(terminal.exit_code(LIMIT), 0);
    assert_eq!(terminal.not_restored(), Vec::<&str>::new());
}

/// Presses the writing `key` and confirms its preview, by `y` or by the count it asks for; leaves it when nothing
/// would run. Waits until the dialog is closed.
#[track_caller]
pub(crate) fn confirm(terminal: &mut Terminal, key: &str) {
    terminal.press(key);
    let asked =
        |screen: &str| ["y confirms", " to confirm:", "nothing would run"].map(|s| screen.contains(s));
    let screen = terminal.wait_until("a preview", LIMIT, |screen| asked(screen).contains(&true));
    match asked(&screen) {
        [true, _, _] => terminal.press("y"),
        [_, true, _] => {
            let before = screen.split(" to confirm:").next().unwrap_or_default();
            // Up from Cancel to the field, and down again past it to the button.
            terminal.press("Shift+Tab Shift+Tab");
            terminal.type_text(before.rsplit(' ').next().unwrap_or_default());
            terminal.press("Tab Tab Tab Enter");
        }
        _ => terminal.press("Esc"),
    }
    terminal.wait_gone("[ Cancel ]", LIMIT);
}

/// Shows the rows of the list that match `filter` alone.
#[track_caller]
pub(crate) fn filter(terminal: &mut Terminal, filter: &str) {
    terminal.press("/");
    terminal.wait_for("Esc leaves", LIMIT);
    terminal.press("Ctrl+U");
    terminal.type_text(filter);
    terminal.press("Enter");
    terminal.wait_for(&format!("filter {filter}"), LIMIT);
}
