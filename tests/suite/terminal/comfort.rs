//! Contexts and the mouse in a real terminal: switched and clicked, and the terminal given back on every way out.

use super::{LIMIT, dashboard, leave};
use crate::support::{pty::Terminal, stores::TestStore};

fn captured(terminal: &Terminal) -> bool {
    terminal.cells().mouse_protocol_mode() != vt100::MouseProtocolMode::None
}

#[tokio::test]
async fn a_click_goes_to_a_screen_and_every_way_out_gives_the_mouse_back() {
    let store = TestStore::sqlite().await;
    store.failed("payments").await;
    let mut terminal = dashboard(&store, &[], &[]);
    assert!(captured(&terminal));
    let tabs = terminal.screen().lines().nth(1).unwrap_or_default().to_owned();
    let column = tabs.find("2 Onboardings").expect("the tabs are shown") + 2;
    // Reported as SGR does, counted from 1: pressed, and let go.
    terminal.write(format!("\x1b[<0;{column};2M\x1b[<0;{column};2m").as_bytes());
    terminal.wait_for("acme/payments", LIMIT);
    terminal.signal("TERM");
    assert_eq!(terminal.exit_code(LIMIT), 143);
    assert_eq!(terminal.not_restored(), Vec::<&str>::new());
    leave(dashboard(&store, &[], &[]));
}

#[tokio::test]
async fn without_the_mouse_the_terminal_keeps_it() {
    let store = TestStore::sqlite().await;
    let terminal = dashboard(&store, &["top", "--no-mouse"], &[]);
    assert!(!captured(&terminal));
    leave(terminal);
}

#[tokio::test]
async fn another_context_is_shown_in_the_same_run_and_one_that_is_away_is_said() {
    let (here, there) = (TestStore::sqlite().await, TestStore::sqlite().await);
    here.failed("payments").await;
    there.failed("ledger").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("redrive.toml");
    let text = format!(
        "[context.staging]\ndatabase_url = \"{}\"\n[context.live]\ndatabase_url = \"{}\"\nproduction = true\n\
         [context.away]\ndatabase_url = \"sqlite:/nowhere.db\"\n",
        here.url, there.url
    );
    std::fs::write(&path, text).unwrap();
    let args = ["--config", path.to_str().unwrap(), "--context", "staging"];
    let mut terminal = Terminal::start(&args, 120, 36, &[("REDRIVE_OPERATOR", "ana")]);
    terminal.wait_for("● live", LIMIT);
    terminal.press("2");
    terminal.wait_for("acme/payments", LIMIT);
    let go = |terminal: &mut Terminal, name: &str| {
        terminal.press(":");
        terminal.wait_for("to do", LIMIT);
        terminal.type_text(&format!("ctx {name}"));
        terminal.press("Enter");
    };
    go(&mut terminal, "live");
    let screen = terminal.wait_for("acme/ledger", LIMIT);
    assert!(screen.contains("PRODUCTION") && screen.contains("read-only"), "{screen}");
    terminal.press("U");
    terminal.wait_for("read-only until :rw", LIMIT);
    go(&mut terminal, "away");
    terminal.wait_for("cannot go to context away", LIMIT);
    terminal.wait_for("acme/ledger", LIMIT);
    go(&mut terminal, "staging");
    terminal.wait_for("acme/payments", LIMIT);
    leave(terminal);
    assert_eq!(
        there.cell("SELECT count(*) FROM redrive_operator_actions WHERE kind <> 'trigger'").await,
        "0"
    );
}
