//! `redrive letters` and `redrive replays`: the twins of the Letters screen.

use serde_json::{Value, json};

use crate::support::{program::run, stores::TestStore};

fn twin(store: &TestStore, args: &[&str]) -> (i32, String, String) {
    run(&[args, &["--database-url", &store.url, "--operator", "ana"]].concat())
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

#[tokio::test]
async fn a_letter_is_discarded_kept_and_restored() {
    let store = TestStore::sqlite().await;
    let (_, letter) = store.failed("payments").await;
    let (code, out, err) = twin(&store, &["letters", "discard", &letter, "--yes"]);
    assert_eq!((code, out.trim()), (0, "discard: applied to 1 of 1"), "{err}");
    let (code, _, err) = twin(&store, &["letters", "replay", &letter, "--yes"]);
    assert_eq!(code, 1);
    assert!(err.contains("discarded"), "{err}");
    let (_, out, _) = twin(&store, &["letters", "list", "--json"]);
    assert_eq!(json(&out)[0]["status"], "discarded");
    let (code, out, err) = twin(&store, &["letters", "restore", &letter, "--yes"]);
    assert_eq!((code, out.trim()), (0, "restore: applied to 1 of 1"), "{err}");
    let (_, out, _) = twin(&store, &["letters", "list", "--json"]);
    assert_eq!(json(&out)[0]["status"], "open");
}

#[tokio::test]
async fn a_replay_is_listed_shown_stopped_and_leaves_its_letters_open() {
    let store = TestStore::sqlite().await;
    let mut letters = Vec::new();
    for n in 0..3 {
        letters.push(store.failed(&format!("repo-{n}")).await.1);
    }
    let ids: Vec<&str> = letters.iter().map(String::as_str).collect();
    for (flag, value, said) in [
        ("--stop-above", "1.5", "between 0 and 1"),
        ("--stop-above", "-0.5", "between 0 and 1"),
        ("--per-second", "NaN", "above 0 and at most 10,000"),
        ("--per-second", "-1", "above 0 and at most 10,000"),
    ] {
        let (code, _, err) = twin(&store, &[&["letters", "replay", "--yes", flag, value], &ids[..]].concat());
        assert_eq!(code, 2, "{err}");
        assert!(err.contains(said), "{err}");
    }
    let (code, _, err) = twin(&store, &[&["letters", "replay", "--yes"], &ids[..]].concat());
    assert_eq!(code, 0, "{err}");
    let (_, out, err) = twin(&store, &["replays", "list", "--json"]);
    let listed = json(&out);
    assert_eq!((&listed[0]["total"], &listed[0]["waiting"]), (&json!(3), &json!(3)), "{out} {err}");
    let id = listed[0]["id"].as_str().expect("it has an id").to_owned();
    let (code, out, _) = twin(&store, &["replays", "show", &id]);
    assert_eq!(code, 0);
    assert!(out.contains("running") && out.contains("ana"), "{out}");
    let (code, out, err) = twin(&store, &["replays", "stop", &id, "--yes"]);
    assert_eq!((code, out.trim()), (0, "stop: applied to 1 of 1"), "{err}");
    let (_, out, _) = twin(&store, &["replays", "list"]);
    assert!(out.contains("stopped: by ana") && out.contains("OPEN AGAIN"), "{out}");
    let (_, out, _) = twin(&store, &["replays", "show", &id, "--json"]);
    assert_eq!((&json(&out)["skipped"], &json(&out)["open_again"]), (&json!(0), &json!(3)), "{out}");
    let (code, _, err) = twin(&store, &["replays", "stop", &id, "--yes"]);
    assert_eq!(code, 1, "{err}");
    let (_, out, _) = twin(&store, &["letters", "list", "--json"]);
    assert!(json(&out).as_array().unwrap().iter().all(|row| row["status"] == "open"), "{out}");
    let (code, _, err) = twin(&store, &["replays", "show", "none"]);
    assert_eq!(code, 1);
    assert!(err.contains("no replay none: `redrive replays list` shows the newest"), "{err}");
}
