//! The worker's own intake behind the layer, as its own process.

use serde_json::json;

use super::Answered;
use crate::support::{place::Place, stores::TestStore};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_intake_keeps_its_word_about_keys() {
    let store = TestStore::sqlite().await;
    let place = Place::open(&store.url);
    let worker = place.worker("one");
    let at = |path: &str| format!("{}{path}", worker.base());
    let send = async |key: Option<&str>, body: String| {
        let request =
            place.client.post(at("/onboardings")).header("content-type", "application/json").body(body);
        Answered::sent(match key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        })
        .await
    };
    let trigger = |tenant: &str| json!({"tenantId": tenant, "repoUrl": "https://github.com/acme/payments"});
    let first = send(Some("k"), trigger("acme").to_string()).await;
    assert_eq!((first.status, first.is_replayed()), (202, false), "{first:?}");
    let again = send(Some("\"k\""), format!("{:#}", trigger("acme"))).await;
    assert_eq!((again.status, again.is_replayed(), &again.body), (202, true, &first.body));
    assert_eq!(again.header("content-type"), Some("application/json"));
    assert_eq!(send(Some("k"), trigger("globex").to_string()).await.problem(422).0, "idempotency-key-reused");
    assert_eq!(
        send(Some("a, b"), trigger("acme").to_string()).await.problem(400).0,
        "idempotency-key-malformed"
    );
    assert_eq!(send(Some("big"), "x".repeat(70_000)).await.problem(413).0, "body-too-large");
    let bare = send(None, trigger("acme").to_string()).await;
    assert_eq!((bare.status / 100, bare.is_replayed()), (2, false), "a key is optional here");
    for replayed in [false, true] {
        let wrong = send(Some("wrong"), "[".to_owned()).await;
        assert_eq!((wrong.status, wrong.is_replayed()), (400, replayed));
        assert_eq!(wrong.header("content-type"), Some("application/problem+json"));
    }
    assert_eq!(store.cell("SELECT count(*) FROM onboarding_history").await, "1");
    let metrics = place.client.get(at("/metrics")).send().await.unwrap().text().await.unwrap();
    let counted =
        "redrive_idempotency_requests_total{operation=\"onboardings.trigger\",outcome=\"replayed\"} 2";
    assert!(metrics.contains(counted), "{metrics}");
}
