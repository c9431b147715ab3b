//! `redrive circuits`: the twin of the Circuits screen, and whole workers that obey it.

use redrive::{
    domain::circuit::CircuitState,
    engine::store::{CircuitReport, Heartbeat},
};
use serde_json::{Value, json};

use crate::support::{
    place::{PATIENCE, Place},
    program::run,
    stores::{TestStore, anything, report},
    wait::eventually,
};

const HOOK: &str = "github.create_hook";

async fn known() -> TestStore {
    let store = TestStore::sqlite().await;
    let open = CircuitReport { state: CircuitState::Open, failure_rate: None, ..report(HOOK) };
    let beat = Heartbeat {
        worker: "one".into(),
        metrics_url: None,
        running: 0,
        runs: anything().newest(),
        circuits: vec![open],
    };
    store.time.free();
    store.opened.store.beat(&beat).await.expect("it beats");
    store
}

fn twin(store: &TestStore, args: &[&str]) -> (i32, String, String) {
    run(&[&["circuits"], args, &["--database-url", &store.url, "--operator", "ana"]].concat())
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

#[tokio::test]
async fn a_circuit_is_listed_shown_forced_and_left_to_the_workers_again() {
    let store = known().await;
    let (code, out, err) = twin(&store, &["list"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("github.create_hook  open      -"), "{out}");
    let force = ["force", HOOK, "open", "--for", "10m", "--yes"];
    let (code, _, err) = twin(&store, &force);
    assert_eq!(code, 1);
    assert!(err.contains("github.create_hook: every worker obeys it: give a reason"), "{err}");
    let (code, out, err) = twin(&store, &[&force[..], &["--reason", "GitHub asked"]].concat());
    assert_eq!((code, out.trim()), (0, "force: applied to 1 of 1"), "{err}");
    let (_, out, _) = twin(&store, &["show", HOOK]);
    assert!(out.contains("forced     forced_open by ana until") && out.contains(": GitHub asked"), "{out}");
    assert!(out.contains("worker     one open, n/a of 20 calls failing"), "{out}");
    let (_, out, _) = twin(&store, &["show", HOOK, "--json"]);
    assert_eq!((&json(&out)["forced"], &json(&out)["state"]), (&json!("forced_open"), &json!("open")));
    let (code, _, err) = twin(&store, &["force", HOOK, "auto", "--for", "10m", "--yes"]);
    assert_eq!(code, 1);
    assert!(err.contains("auto has no time limit"), "{err}");
    let (code, out, err) = twin(&store, &["force", HOOK, "auto", "--yes", "--json"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(json(&out)["kind"], "force");
    let (code, _, err) = twin(&store, &["force", HOOK, "auto", "--yes"]);
    assert_eq!(code, 1);
    assert!(err.contains("not forced: each worker computes its own state"), "{err}");
}

#[tokio::test]
async fn an_operation_is_paused_and_let_go_and_a_dry_run_changes_nothing() {
    let store = known().await;
    let pause = ["pause", "onboarding", "--for", "ever", "--reason", "maintenance"];
    let (code, out, err) = twin(&store, &[&pause[..], &["--dry-run", "--json"]].concat());
    assert_eq!(code, 0, "{err}");
    let warnings = json(&out)["warnings"].to_string();
    assert!(
        warnings.contains("nothing goes forward") && warnings.contains("without a time limit"),
        "{warnings}"
    );
    let (_, out, _) = twin(&store, &["list", "--json"]);
    assert_eq!(json(&out)["pauses"], json!([]));
    let (code, _, err) = twin(&store, &pause);
    assert_eq!(code, 1);
    assert!(err.contains("--yes"), "{err}");
    let (code, _, err) = twin(&store, &[&pause[..], &["--yes"]].concat());
    assert_eq!(code, 0, "{err}");
    let (_, out, _) = twin(&store, &["list"]);
    assert!(out.contains("onboarding is paused by ana until it is taken back: maintenance"), "{out}");
    let (_, out, _) = run(&["status", "--database-url", &store.url]);
    assert!(
        out.contains(
            "onboarding is paused by ana until somebody lets it go on: nothing goes forward: P lets it go on"
        ),
        "{out}"
    );
    let (code, _, err) = twin(&store, &["unpause", "onboarding", "--yes"]);
    assert_eq!(code, 0, "{err}");
    let (code, _, err) = twin(&store, &["unpause", "onboarding", "--yes"]);
    assert_eq!(code, 1);
    assert!(err.contains("not paused"), "{err}");
}

#[tokio::test]
async fn what_nobody_knows_is_refused_and_a_limit_has_to_make_sense() {
    let store = known().await;
    let (code, _, err) = twin(&store, &["pause", "githb.create_hook", "--reason", "x", "--yes"]);
    assert_eq!(code, 1);
    assert!(err.contains("githb.create_hook: not found"), "{err}");
    let (code, _, err) = twin(&store, &["show", "githb.create_hook"]);
    assert_eq!(code, 1);
    assert!(err.contains("redrive circuits list"), "{err}");
    for limit in ["0s", "31days", "500ms"] {
        let (code, _, err) = twin(&store, &["pause", HOOK, "--for", limit, "--reason", "x", "--yes"]);
        assert_eq!(code, 1);
        assert!(err.contains("between 1 second and 30 days"), "{limit}: {err}");
    }
    let (code, _, err) = twin(&store, &["pause", HOOK, "--for", "soon", "--reason", "x"]);
    assert_eq!(code, 2, "{err}");
}

#[tokio::test]
async fn what_is_decided_is_over_after_ten_minutes_unless_somebody_says_otherwise() {
    let store = known().await;
    let minutes = |decision: &Value| {
        let at = |name| decision[name].as_str()?.parse::<chrono::DateTime<chrono::Utc>>().ok();
        Some((at("until")? - at("at")?).num_minutes())
    };
    for (limit, held) in
        [(&[][..], Some(10)), (&["--for", "2h"][..], Some(120)), (&["--for", "ever"][..], None)]
    {
        for verb in [&["pause", HOOK][..], &["force", HOOK, "open"][..]] {
            let (code, _, err) = twin(&store, &[verb, limit, &["--reason", "x", "--yes"]].concat());
            assert_eq!(code, 0, "{err}");
        }
        let (_, out, _) = twin(&store, &["show", HOOK, "--json"]);
        let row = json(&out);
        assert_eq!((minutes(&row["paused"]), minutes(&row["forced_by"])), (held, held), "{limit:?}: {row}");
    }
    let (code, _, err) = twin(&store, &["force", HOOK, "auto", "--yes"]);
    assert_eq!(code, 0, "auto has no time limit to be given: {err}");
}

#[tokio::test]
async fn a_workflow_that_is_held_back_is_listed_and_shown() {
    let store = known().await;
    let (code, out, err) = twin(&store, &["show", "onboarding"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("onboarding is not paused"), "{out}");
    let (code, _, err) = twin(&store, &["pause", "onboarding", "--reason", "maintenance", "--yes"]);
    assert_eq!(code, 0, "{err}");
    let (_, out, _) = twin(&store, &["list"]);
    let row = out.lines().find(|line| line.starts_with("onboarding  ")).unwrap_or_else(|| panic!("{out}"));
    assert!(row.contains(" paused "), "{row}");
    let (code, out, err) = twin(&store, &["show", "onboarding"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("onboarding is paused by ana until") && out.contains(": maintenance"), "{out}");
    let (_, out, _) = twin(&store, &["show", "onboarding", "--json"]);
    assert_eq!(json(&out)["decision"]["reason"], "maintenance");
}

/// Two workers of the whole program, on the database of `store`.
async fn obeyed_by_whole_workers(store: TestStore) {
    let place = Place::open(&store.url);
    let (_one, _two) = (place.worker("one"), place.worker("two"));
    let circuits = || place.twin(&["circuits", "list"])["circuits"].as_array().cloned().unwrap_or_default();
    eventually("both workers told of their circuits", PATIENCE, async || {
        let all = circuits();
        (all.len() == 12 && all.iter().all(|row| row["instances"] == json!([2, 2]))).then_some(())
    })
    .await;
    let reason = ["--reason", "GitHub asked", "--yes", "--database-url", &store.url];
    let (code, _, err) = run(&[&["circuits", "force", HOOK, "open"], &reason[..]].concat());
    assert_eq!(code, 0, "{err}");
    let forced = redrive::clock::instant();
    eventually("a second has passed", PATIENCE, async || (forced.elapsed().as_secs() >= 1).then_some(()))
        .await;
    let ids: Vec<String> = (0..4).map(|n| place.trigger(&format!("held-{n}"))).collect();
    let phase = |id: &str| place.twin(&["onboardings", "show", id])["row"]["phase"].clone();
    for id in &ids {
        eventually("it is parked", PATIENCE, async || (phase(id) == "parked").then_some(())).await;
    }
    assert_eq!(place.ledger().await["counts"]["hooks"], 0, "nobody called");
    let (code, _, err) = run(&[&["circuits", "force", HOOK, "auto"], &reason[..]].concat());
    assert_eq!(code, 0, "{err}");
    for id in &ids {
        eventually("it is completed", PATIENCE, async || (phase(id) == "completed").then_some(())).await;
    }
    assert_eq!(place.ledger().await["counts"]["hooks"], 4);
    assert_eq!(circuits().len(), 12, "every operation the pipeline calls was known before its first call");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_workers_obey_a_forced_circuit_on_sqlite() {
    obeyed_by_whole_workers(TestStore::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_workers_obey_a_forced_circuit_on_postgres() {
    obeyed_by_whole_workers(TestStore::postgres().await).await;
}
