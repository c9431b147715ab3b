//! The twins over a hostile database: tables and `--json` hold no sequence that a terminal would obey, rows that differ
//! look different, and a payload is shown only with a reason.

use redrive::domain::text::is_hostile;

use super::json;
use crate::support::{program::run, stores::TestStore};

/// As others write it: controls, a title, the clipboard, a link, bidi, zero width, tags, marks, tabs and line ends.
const EVIL: &str = "a\u{1b}[2J\u{1b}]0;t\u{7}\u{1b}]52;c;eA==\u{7}\u{1b}]8;;x\u{1b}\\\u{9b}\u{202e}\u{200b}\u{e0041}\r\n\t東京";

async fn world() -> (TestStore, String, String) {
    let store = TestStore::sqlite().await;
    let (id, letter) = store.failed("payments").await;
    let marks = format!("e{}", "\u{301}".repeat(1_000));
    for (key, by) in [("k", EVIL), ("k\u{200b}", &marks), ("k\t", "w"), (&"k".repeat(10_000), "w")] {
        store
            .sql(&format!(
                "INSERT INTO idempotency_keys (key, request_hash, status, created_at, locked_at, locked_by) \
                 VALUES ('{key}', '{EVIL}', 'STARTED', '2026-03-01T10:00:00.000000+00:00', '2026-03-01T10:00:00.000000+00:00', '{by}')"
            ))
            .await;
    }
    store
        .sql(&format!(
            "UPDATE redrive_attempts SET error = '{EVIL}{marks}', reason = '{EVIL}', worker = '{EVIL}'"
        ))
        .await;
    store.sql(&format!("UPDATE onboarding_history SET tenant_id = '{EVIL}', error = '{marks}'")).await;
    store
        .sql(&format!(
            "UPDATE redrive_dead_letters SET error = '{EVIL}', request = json_object('note', 'hunter2' || '{EVIL}', '{EVIL}', 1)"
        ))
        .await;
    store
        .sql(&format!(
            "UPDATE onboarding_state SET context = json_object('note', 'hunter2' || '{EVIL}'), current_state = '{EVIL}'"
        ))
        .await;
    (store, id.to_string(), letter)
}

#[tokio::test]
async fn what_the_twins_print_obeys_nobody() {
    let (store, id, letter) = world().await;
    for command in [
        vec!["status"],
        vec!["onboardings", "list"],
        vec!["onboardings", "show", &id],
        vec!["keys", "list"],
        vec!["keys", "show", "k"],
        vec!["letters", "list"],
        vec!["letters", "show", &letter],
        vec!["letters", "show", &letter, "--reveal", "--reason", "why"],
        vec!["onboardings", "show", &id, "--reveal", "--reason", "why"],
        vec!["circuits", "list"],
        vec!["replays", "list"],
        vec!["audit", "list"],
    ] {
        for form in [&[][..], &["--json"]] {
            let (code, out, err) = run(&[&command[..], form, &["--database-url", &store.url]].concat());
            assert_eq!((code, err.as_str()), (0, ""), "{command:?} {form:?}");
            let hostile: Vec<char> = out.chars().filter(|c| *c != '\n' && is_hostile(*c)).collect();
            assert!(hostile.is_empty(), "{command:?} {form:?} {hostile:?}");
            if form == ["--json"] {
                json(&out);
            }
        }
    }
    let (_, out, _) = run(&["keys", "list", "--database-url", &store.url]);
    let shown: std::collections::HashSet<&str> =
        out.lines().skip(1).map(|line| line.split("  ").next().unwrap_or_default()).collect();
    assert_eq!(shown.len(), 4, "keys that differ look different:\n{out}");
}

#[tokio::test]
async fn what_the_twins_refuse_and_do_obeys_nobody_either() {
    let (store, id, letter) = world().await;
    store
        .sql(&format!(
            "UPDATE redrive_dead_letters SET state = '{EVIL}', operation = '{EVIL}'; \
             UPDATE onboarding_history SET current_state = '{EVIL}'"
        ))
        .await;
    for command in [
        vec!["onboardings", "resume", &id],
        vec!["onboardings", "resume", EVIL],
        vec!["onboardings", "show", EVIL],
        vec!["onboardings", "list", EVIL],
        vec!["onboardings", "list", &format!("status:{EVIL}")],
        vec!["letters", "replay", &letter],
        vec!["letters", "replay", EVIL],
        vec!["letters", "show", EVIL],
        vec!["keys", "release", "k", EVIL],
        vec!["keys", "show", EVIL],
        vec!["circuits", "force", EVIL, "open"],
        vec!["onboardings", "rollback", &id],
    ] {
        let acts = ["resume", "replay", "release", "rollback", "force"].contains(&command[1]);
        let forms: &[&[&str]] =
            if acts { &[&["--dry-run"], &["--dry-run", "--json"], &["--yes"]] } else { &[&[]] };
        for form in forms {
            let (_, out, err) = run(&[&command[..], form, &["--database-url", &store.url]].concat());
            let hostile: Vec<char> = (out + &err).chars().filter(|c| *c != '\n' && is_hostile(*c)).collect();
            assert!(hostile.is_empty(), "{command:?} {form:?} {hostile:?}");
        }
    }
}

#[tokio::test]
async fn a_payload_is_revealed_with_a_reason_and_audited() {
    let (store, id, letter) = world().await;
    let at = |command: &[&str]| run(&[command, &["--database-url", &store.url]].concat());
    for command in [["onboardings", "show", &id], ["letters", "show", &letter]] {
        let (_, out, _) = at(&command);
        assert!(!out.contains("hunter2") && out.contains("characters›"), "{out}");
        let (code, _, err) = at(&[&command[..], &["--reveal"]].concat());
        assert_eq!(code, 2, "{err}");
        let revealed = [&command[..], &["--reveal", "--reason", "the tenant asks"]].concat();
        let (code, out, err) = at(&[&revealed[..], &["--read-only"]].concat());
        assert_eq!((code, out.as_str()), (1, ""));
        assert!(err.contains("read-only"), "{err}");
        let (code, out, _) = at(&revealed);
        assert!(code == 0 && out.contains("hunter2") && out.contains("in the clear"), "{out}");
        let (_, out, _) = at(&[&revealed[..], &["--json"]].concat());
        let shown = json(&out);
        let payload = shown.get("context").or(shown.get("request")).expect("a payload");
        assert!(
            payload["note"].as_str().is_some_and(|note| note.starts_with("hunter2a\u{1b}[2J")),
            "{payload}"
        );
    }
    let audited =
        "SELECT count(*) FROM redrive_operator_actions WHERE kind = 'reveal' AND reason = 'the tenant asks'";
    assert_eq!(store.cell(audited).await, "4");
    let (code, _, err) = at(&["keys", "show", "k", "--reveal", "--reason", "why"]);
    assert_eq!(code, 1);
    assert!(err.contains("it has no payload"), "{err}");
}
