//! What writes and what does not: a paste never does, a read-only dashboard refuses, a confirmed dialog does.

use super::{LIMIT, dashboard, leave};
use crate::support::stores::TestStore;

async fn untouched(store: &TestStore) {
    assert_eq!(store.cell("SELECT status FROM redrive_dead_letters").await, "open");
    assert_eq!(
        store.cell("SELECT count(*) FROM redrive_operator_actions WHERE kind <> 'trigger'").await,
        "0"
    );
}

#[tokio::test]
async fn a_paste_is_text_and_never_keys() {
    let store = TestStore::sqlite().await;
    store.failed("payments").await;
    let mut terminal = dashboard(&store, &[], &[]);
    terminal.press("4 Enter");
    terminal.wait_for("┌ dead letters: 503 from api.github · 1 ", LIMIT);
    terminal.write(b"\x1b[200~R\ny\n\x1b[201~");
    // Typing shows that the paste was read before.
    terminal.press("/");
    terminal.wait_for("Enter applies", LIMIT);
    assert!(!terminal.screen().contains("Replay?"), "{}", terminal.screen());
    terminal.write(b"\x1b[200~tenant:acme\nU\ny\n\x1b[201~");
    terminal.wait_for("/tenant:acme U y", LIMIT);
    terminal.press("Esc");
    terminal.wait_gone("Enter applies", LIMIT);
    // Over an open dialog neither.
    terminal.press("R");
    terminal.wait_for("y confirms", LIMIT);
    terminal.write(b"\x1b[200~y\n\x1b[201~");
    terminal.press("Tab");
    terminal.press("Esc");
    terminal.wait_gone("Replay?", LIMIT);
    untouched(&store).await;
    leave(terminal);
}

#[tokio::test]
async fn a_read_only_dashboard_refuses_to_write_in_a_sentence() {
    let store = TestStore::sqlite().await;
    store.failed("payments").await;
    let mut terminal = dashboard(&store, &["--read-only"], &[]);
    assert!(terminal.screen().contains("read-only"));
    terminal.press("4 Enter");
    terminal.wait_for("┌ dead letters: 503 from api.github · 1 ", LIMIT);
    for (key, label) in [("R", "replay"), ("U", "resume"), ("B", "roll back")] {
        terminal.press(key);
        let sentence =
            format!("{label} is not possible: this dashboard is read-only; start it without --read-only");
        let screen = terminal.wait_for(&sentence, LIMIT);
        assert!(!screen.contains(" R replay"), "the hint line promises nothing:\n{screen}");
    }
    terminal.press("?");
    terminal.wait_for("keys · j k scroll", LIMIT);
    terminal.press("End PgDn PgDn PgDn");
    let screen = terminal.wait_gone("keys · j k scroll", LIMIT);
    assert!(!screen.contains("Replay?"), "{screen}");
    untouched(&store).await;
    leave(terminal);
}

#[tokio::test]
async fn a_confirmed_resume_is_applied_once_and_stands_in_the_audit() {
    let store = TestStore::sqlite().await;
    store.failed("payments").await;
    let mut terminal = dashboard(&store, &[], &[]);
    terminal.press("2");
    terminal.wait_for("acme/payments", LIMIT);
    terminal.press("U");
    terminal.wait_for("y confirms", LIMIT);
    // The key, and keys behind it that have nothing to confirm any more.
    terminal.press("y y y");
    terminal.wait_for("1 onboarding resumed", LIMIT);
    terminal.press("6");
    terminal.wait_until("ana is in the audit", LIMIT, |screen| {
        screen.contains("┌ audit") && screen.contains("ana") && screen.contains("resume")
    });
    assert_eq!(store.cell("SELECT count(*) FROM redrive_operator_actions WHERE kind = 'resume'").await, "1");
    leave(terminal);
}
