//! The whole program in its own processes: stand-ins, workers and twins, on both databases.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::support::{
    place::{PATIENCE, Place},
    program,
    stores::TestStore,
    wait::eventually,
};

/// Hooks standing on the repository.
fn hooks(ledger: &Value, repo: &str) -> usize {
    let standing = ledger["hooks"].as_array().unwrap();
    standing.iter().filter(|h| h["repository"] == format!("acme/{repo}")).count()
}

async fn kill_9_in_the_middle_of_an_effect_leaves_one_hook_and_one_set_of_entities(store: &TestStore) {
    let place = Place::open(&store.url);
    // The hook is created and the answer never comes: the worst moment to die.
    place.trouble(json!({ "github.create_hook": { "mode": "hang", "times": 1 } })).await;
    // Its lease is long enough that the call still hangs when it dies.
    let victim = place.worker_with("victim", "8s", "1");
    let id = place.trigger("payments");
    eventually("the hook stands", PATIENCE, async || {
        (hooks(&place.ledger().await, "payments") == 1).then_some(())
    })
    .await;
    assert_eq!(place.twin(&["onboardings", "show", &id])["row"]["current_state"], "CONFIGURING_SYNC");
    victim.kill();
    let _heir = place.worker("heir");
    let page = place.until(&id, "completed").await;
    let ledger = place.ledger().await;
    assert_eq!(hooks(&ledger, "payments"), 1, "{ledger:#}");
    assert_eq!(ledger["notifications"].as_array().unwrap().len(), 1, "{ledger:#}");
    let lost = page["attempts"].as_array().unwrap().iter().filter(|a| a["outcome"] == "lost").count();
    assert_eq!(lost, 1);
    let entities: Vec<_> = page["entities"].as_array().unwrap().iter().map(|e| e.as_str().unwrap()).collect();
    let different: HashSet<_> = entities.iter().collect();
    assert!(!entities.is_empty() && different.len() == entities.len(), "{entities:?}");
    // Undone, nothing is left: the hook that the dead worker made was ours.
    place.twin(&["onboardings", "rollback", &id, "--yes"]);
    let page = place.until(&id, "rolled_back").await;
    let ledger = place.ledger().await;
    assert_eq!(hooks(&ledger, "payments"), 0, "{ledger:#}");
    assert_eq!(ledger["notifications"].as_array().unwrap().len(), 0, "{ledger:#}");
    assert_eq!(page["entities"], json!([]));
    assert_eq!(page["row"]["status"], "failed_cleaned_up");
}

async fn onboardings_that_failed_in_an_outage_resume_from_there_and_replay(store: &TestStore) {
    let place = Place::open(&store.url);
    place.trouble(json!({ "github.create_hook": { "mode": "unavailable" } })).await;
    let _worker = place.worker("one");
    let (resumed, rolled, replayed) =
        (place.trigger("billing"), place.trigger("ledger"), place.trigger("search"));
    for id in [&resumed, &rolled, &replayed] {
        let page = place.until(id, "failed").await;
        assert_eq!(page["row"]["current_state"], "CONFIGURING_SYNC");
    }
    place.trouble(json!({})).await;
    place.twin(&["onboardings", "resume", &resumed, "--yes", "--reason", "GitHub is back"]);
    let page = place.until(&resumed, "completed").await;
    let discovered =
        page["attempts"].as_array().unwrap().iter().filter(|a| a["state"] == "DISCOVERING").count();
    assert_eq!(discovered, 1, "it went on from CONFIGURING_SYNC");
    place.twin(&["onboardings", "rollback", &rolled, "--yes"]);
    let page = place.until(&rolled, "rolled_back").await;
    assert_eq!(page["entities"], json!([]));
    let letter =
        place.twin(&["onboardings", "show", &replayed])["row"]["letter"].as_str().unwrap().to_owned();
    place.twin(&["letters", "replay", &letter, "--yes"]);
    place.until(&replayed, "completed").await;
    let ledger = place.ledger().await;
    assert_eq!((hooks(&ledger, "billing"), hooks(&ledger, "ledger"), hooks(&ledger, "search")), (1, 0, 1));
    let open = place.twin(&["letters", "list", "status:open"]);
    assert_eq!(open, json!([]), "the board is clear");
}

async fn a_hook_goes_with_the_last_onboarding_that_relies_on_it(store: &TestStore) {
    let place = Place::open(&store.url);
    let _worker = place.worker("one");
    let first = place.trigger("payments");
    place.until(&first, "completed").await;
    // The same repository from another workspace: it finds the hook.
    let url = "https://github.com/acme/payments";
    let args = ["onboardings", "trigger", "--tenant", "acme", "--repo-url", url, "--workspace-id", "ws-b2"];
    let second = place.twin(&args)["triggered"]["onboardingId"].as_str().unwrap().to_owned();
    place.until(&second, "completed").await;
    let preview = place.twin(&["onboardings", "rollback", &first, "--dry-run"]);
    assert!(preview.to_string().contains(r#""will":"kept""#), "{preview:#}");
    place.twin(&["onboardings", "rollback", &first, "--yes"]);
    place.until(&first, "rolled_back").await;
    assert_eq!(hooks(&place.ledger().await, "payments"), 1, "the second works with it");
    place.twin(&["onboardings", "rollback", &second, "--yes"]);
    place.until(&second, "rolled_back").await;
    assert_eq!(hooks(&place.ledger().await, "payments"), 0, "nobody does");
}

async fn rows_of_others_are_shown_resumed_and_rolled_back(store: &TestStore) {
    let place = Place::open(&store.url);
    // Only the columns every writer knows, as another service or a person at the prompt would write them.
    store
        .sql(
            "INSERT INTO onboarding_history (id, tenant_id, repo_url, fingerprint, status, current_state, created_at) VALUES
             ('theirs-1', 'acme', 'https://github.com/acme/orders', 'f1', 'failed', 'REGISTERING', '2026-11-22 10:00:00+00:00'),
             ('theirs-2', 'acme', 'https://github.com/acme/billing', 'f2', 'failed', 'REGISTERING', '2026-11-22 10:00:01+00:00'),
             ('theirs-3', 'acme', 'https://github.com/acme/search', 'f3', 'in_progress', 'DISCOVERING', '2026-11-22 10:00:02+00:00');
             INSERT INTO entities (id, api_version, kind, metadata, spec, tenant_id, updated_at) VALUES
             ('e-2', 'backstage.io/v1alpha1', 'Component', '{\"name\": \"billing\"}', '{}', 'acme', '2026-11-22 10:00:01+00:00');
             INSERT INTO onboarding_state (onboarding_id, current_state, context, last_checkpoint, updated_at) VALUES
             ('theirs-2', 'REGISTERING', '{\"entityIds\": [\"e-2\"]}', '2026-11-22 10:00:00+00:00', '2026-11-22 10:00:01+00:00')",
        )
        .await;
    let _worker = place.worker("one");
    let listed = place.twin(&["onboardings", "list"]);
    assert_eq!(listed.as_array().unwrap().len(), 3);
    assert!(listed.as_array().unwrap().iter().all(|row| row["phase"].is_null()), "shown as elsewhere");
    place.twin(&["onboardings", "resume", "theirs-1", "--yes"]);
    place.until("theirs-1", "completed").await;
    place.twin(&["onboardings", "rollback", "theirs-2", "--yes"]);
    place.until("theirs-2", "rolled_back").await;
    assert_eq!(
        store.cell("SELECT count(*) FROM entities WHERE id = 'e-2'").await,
        "0",
        "cleaned up as its writer would"
    );
    let (code, _, err) =
        program::run(&["onboardings", "resume", "theirs-3", "--yes", "--database-url", &place.url]);
    assert_eq!(code, 1);
    assert!(err.contains("take it over"), "{err}");
    let untouched = place.twin(&["onboardings", "show", "theirs-3"]);
    assert_eq!(untouched["row"]["status"], "in_progress");
}

async fn a_worker_that_is_asked_to_stop_says_goodbye(store: &TestStore) {
    let place = Place::open(&store.url);
    let mut worker = place.worker("one");
    let id = place.trigger("orders");
    place.until(&id, "completed").await;
    worker.signal("TERM");
    assert_eq!(worker.wait(PATIENCE), Some(0));
    assert_eq!(place.twin(&["status"])["workers"], json!([]));
}

async fn a_caller_that_never_finishes_its_request_does_not_keep_a_worker_from_stopping(store: &TestStore) {
    use std::io::{Read as _, Write as _};
    let place = Place::open(&store.url);
    let mut worker = place.worker("one");
    let mut stalled = std::net::TcpStream::connect(worker.base().trim_start_matches("http://")).unwrap();
    stalled
        .write_all(
            b"POST /onboardings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\
              Expect: 100-continue\r\n\r\n",
        )
        .unwrap();
    // Its request is in hand once the worker asks for the body, which never comes.
    let mut asked = [0; 12];
    stalled.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100");
    worker.signal("TERM");
    assert_eq!(worker.wait(PATIENCE), Some(0));
}

async fn every_refusal_of_the_intake_is_a_problem_document(store: &TestStore) {
    let place = Place::open(&store.url);
    let worker = place.worker("one");
    let at = |path: &str| format!("{}{path}", worker.base());
    let post = || place.client.post(at("/onboardings"));
    let json = |body: String| post().header("content-type", "application/json").body(body);
    for (asked, status) in [
        (place.client.get(at("/onboardings/%FF")), 400),
        (place.client.get(at("/onboardings/nobody")), 404),
        (place.client.get(at("/nowhere")), 404),
        (place.client.get(at("/onboardings")), 405),
        (place.client.delete(at("/metrics")), 405),
        (json("[".to_owned()), 400),
        (json("x".repeat(100_000)), 413),
        (post().body("{}"), 415),
        (json("{}".to_owned()).header("origin", "https://evil.example"), 403),
        (json("{}".to_owned()).header("host", "evil.example"), 421),
    ] {
        let answer = asked.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{}", answer.url());
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{}", answer.url());
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["status"], status);
    }
}

/// Each on both databases.
macro_rules! on_both {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(&super::TestStore::sqlite().await).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(&super::TestStore::postgres().await).await;
            })+
        }
    };
}

on_both! {
    kill_9_in_the_middle_of_an_effect_leaves_one_hook_and_one_set_of_entities,
    onboardings_that_failed_in_an_outage_resume_from_there_and_replay,
    a_hook_goes_with_the_last_onboarding_that_relies_on_it,
    rows_of_others_are_shown_resumed_and_rolled_back,
    a_worker_that_is_asked_to_stop_says_goodbye,
    a_caller_that_never_finishes_its_request_does_not_keep_a_worker_from_stopping,
    every_refusal_of_the_intake_is_a_problem_document,
}
