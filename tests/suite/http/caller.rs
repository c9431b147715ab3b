//! Keys that belong to callers.

use axum::http::request::Parts;

use super::{Answered, Api};

fn tenant(head: &Parts) -> Option<String> {
    Some(head.headers.get("x-tenant")?.to_str().ok()?.to_owned())
}

#[tokio::test]
async fn one_caller_is_never_answered_what_another_was() {
    let api = Api::ruled(|layer| layer.callers(tenant)).await;
    let pay = async |tenant: &str, key: &str| {
        Answered::sent(api.post("/payments", key).header("x-tenant", tenant).body("{}")).await
    };
    // The same key and the same request, and callers whose names try to run into the key.
    for (effects, (tenant, key)) in
        [("acme", "k"), ("globex", "k"), ("acme/k", "k"), ("acme", "k/k"), ("acme%2Fk", "k"), ("", "acme/k")]
            .into_iter()
            .enumerate()
    {
        let first = pay(tenant, key).await;
        assert_eq!((first.status, first.is_replayed()), (201, false), "{tenant} {key}");
        assert_eq!(api.inside.effects(), effects + 1);
        let again = pay(tenant, key).await;
        assert_eq!((again.is_replayed(), again.body), (true, first.body), "{tenant} {key}");
    }
    let rows = "SELECT key || ' ' || client_key FROM idempotency_keys WHERE client_key = 'k/k' OR key = 'pay/acme%2Fk/k'";
    assert_eq!(
        api.store.column(&format!("{rows} ORDER BY 1")).await,
        ["pay/acme%2Fk/k k", "pay/acme/k/k k/k"]
    );
}

#[tokio::test]
async fn a_caller_without_a_name_has_no_key() {
    let api = Api::ruled(|layer| layer.callers(tenant)).await;
    assert_eq!(api.pay("/payments", "k", "{}").await.problem(403).0, "caller-unknown");
    assert_eq!((api.inside.effects(), api.keys().await.as_str()), (0, "0"));
}
