//! What is configured: whom the layer means, what a replay is, and what happens without a store.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::{Extension, Router, http::Method, routing::post};
use redrive::{
    domain::id::KeyId,
    engine::{
        idempotency::{Keys, Operation, WhenDown},
        key::{Hold, KeyBegun, KeyEnd, KeyIntent, KeyStore},
        observer::{KeyOutcome, Observer},
        store::StoreError,
    },
    service::idempotency::{Replay, Replayed, Storing},
};

use super::{Answered, Api};
use crate::support::stores::TestStore;

#[tokio::test]
async fn a_key_is_needed_only_where_the_layer_means_it() {
    let api = Api::ruled(|layer| layer.paths(["/payments/"])).await;
    let at = |path: &str| format!("http://{}{path}", api.address);
    let status = async |request: reqwest::RequestBuilder| request.send().await.unwrap().status().as_u16();
    assert_eq!(status(api.client.post(at("/payments"))).await, 400);
    assert_eq!(status(api.client.post(at("/payments/7"))).await, 400);
    assert_eq!(status(api.client.get(at("/payments/7"))).await, 200, "a GET needs none");
    assert_eq!(status(api.client.get(at("/free"))).await, 200);
    assert_eq!(status(api.client.post(at("/status/201"))).await, 201, "another path");
    assert_eq!(status(api.client.post(at("/payments-old"))).await, 404, "not below it");
    for tries in 2..=3 {
        assert_eq!(api.pay("/status/201", "k", "{}").await.text(), format!("try {tries}"), "let through");
    }
    let api = Api::ruled(|layer| layer.methods([Method::PUT])).await;
    assert_eq!(status(api.client.post(format!("http://{}/payments", api.address))).await, 201);
}

#[tokio::test]
async fn an_optional_key_protects_whoever_sends_one() {
    let api = Api::ruled(|layer| layer.optional()).await;
    for effects in 1..=2 {
        let bare = api.client.post(format!("http://{}/payments", api.address)).send().await.unwrap();
        assert_eq!((bare.status().as_u16(), api.inside.effects()), (201, effects));
    }
    assert!(!api.pay("/payments", "k", "{}").await.is_replayed());
    assert!(api.pay("/payments", "k", "{}").await.is_replayed());
    assert_eq!(api.pay("/payments", "", "{}").await.problem(400).0, "idempotency-key-malformed");
}

#[tokio::test]
async fn an_operation_is_named_by_its_route() {
    let api = Api::with(
        |layer| layer.operations(|route| Operation::new(route)),
        |inside, layer| Router::new().nest("/v1", inside.routes()).layer(layer),
    )
    .await;
    assert_eq!(api.pay("/v1/payments/7?x=1", "k", "{}").await.status, 200);
    assert_eq!(
        api.store.column("SELECT key FROM idempotency_keys").await,
        ["POST %2Fv1%2Fpayments%2F{id}/k"]
    );
    let other = api.pay("/v1/payments/8?x=1", "k", "{}").await;
    assert_eq!(other.status, 422, "one operation, another request");
}

#[tokio::test]
async fn a_reread_skips_the_effect_and_answers_how_things_are_now() {
    let api = Api::with(
        |layer| layer.replay(Replay::Reread),
        |inside, layer| {
            let (account, refused) = (inside.clone(), inside.clone());
            let read = async move |replayed: Option<Extension<Replayed>>| match replayed {
                None => format!("made {}", account.effect()),
                Some(Extension(Replayed(first))) => {
                    format!("{} was {}", account.effects(), String::from_utf8(first.body).unwrap())
                }
            };
            let refuse =
                async move || (axum::http::StatusCode::PAYMENT_REQUIRED, refused.effect().to_string());
            Router::new().route("/accounts", post(read)).route("/refused", post(refuse)).layer(layer)
        },
    )
    .await;
    assert_eq!(api.pay("/accounts", "k", "{}").await.text(), "made 1");
    assert_eq!(api.pay("/accounts", "other", "{}").await.text(), "made 2");
    let again = api.pay("/accounts", "k", "{}").await;
    assert_eq!((again.is_replayed(), again.text()), (true, "2 was made 1"));
    assert_eq!(api.pay("/refused", "r", "{}").await.text(), "3");
    let again = api.pay("/refused", "r", "{}").await;
    assert_eq!(
        (again.status, again.text(), again.is_replayed()),
        (402, "3", true),
        "errors are not read anew"
    );
}

#[tokio::test]
async fn headers_statuses_caps_and_the_page_of_problems_can_be_chosen() {
    use axum::http::header::{ETAG, SET_COOKIE};
    let api = Api::ruled(|layer| {
        layer
            .headers([ETAG, SET_COOKIE])
            .storing(|status| if status == 503 { Storing::Failed } else { Storing::Completed })
            .documented_at("https://example.com/keys")
    })
    .await;
    api.pay("/payments", "k", "{}").await;
    let again = api.pay("/payments", "k", "{}").await;
    assert_eq!((again.header("etag"), again.header("location")), (Some("\"v1\""), None));
    assert_eq!(again.header("set-cookie"), None, "not even when it is asked for");
    api.pay("/status/503", "down", "{}").await;
    assert!(api.pay("/status/503", "down", "{}").await.is_replayed());
    assert!(
        api.pay("/payments", "k", "[]")
            .await
            .text()
            .contains("https://example.com/keys#idempotency-key-reused")
    );
}

/// A store that does not answer.
struct Down;

fn down<T>() -> Result<T, StoreError> {
    Err(StoreError::Unreachable { database: "postgres://secret".to_owned(), why: "it is down".to_owned() })
}

#[async_trait]
impl KeyStore for Down {
    async fn begin(&self, _: &KeyIntent, _: &Hold) -> Result<KeyBegun, StoreError> {
        down()
    }
    async fn keep(&self, _: &KeyId, _: &Hold) -> Result<bool, StoreError> {
        down()
    }
    async fn end(&self, _: &KeyId, _: &Hold, _: &KeyEnd) -> Result<bool, StoreError> {
        down()
    }
    async fn sweep(&self, _: u32) -> Result<u64, StoreError> {
        down()
    }
}

/// Hears what keys answered.
#[derive(Default)]
struct Heard(Mutex<Vec<KeyOutcome>>);

impl Observer for Heard {
    fn key_asked(&self, operation: &str, outcome: KeyOutcome) {
        assert_eq!(operation, "pay");
        self.0.lock().unwrap().push(outcome);
    }
}

async fn without_a_store(when_down: WhenDown) -> (Api, Arc<Heard>) {
    let heard = Arc::new(Heard::default());
    let keys = Keys::new(Arc::new(Down), "api").observed_by(heard.clone());
    let api = Api::over(
        TestStore::sqlite().await,
        keys,
        |layer| layer.operations(move |_| Operation::new("pay").when_down(when_down)),
        |inside, layer| inside.routes().layer(layer),
    )
    .await;
    (api, heard)
}

#[tokio::test]
async fn without_a_store_nothing_runs_and_the_caller_is_told_to_come_again() {
    let (api, heard) = without_a_store(WhenDown::Refuse).await;
    let answer = api.pay("/payments", "k", "{}").await;
    let (slug, detail) = answer.problem(503);
    assert_eq!((slug.as_str(), answer.header("retry-after")), ("key-store-down", Some("5")));
    assert!(detail.contains("nothing was done") && !detail.contains("secret"), "{detail}");
    assert_eq!((api.inside.effects(), heard.0.lock().unwrap().as_slice()), (0, &[KeyOutcome::Error][..]));
}

#[tokio::test]
async fn without_a_store_work_may_run_unprotected_which_is_counted() {
    let (api, heard) = without_a_store(WhenDown::RunUnprotected).await;
    for effects in 1..=2 {
        let answer = Answered::sent(api.post("/payments", "k").body("{}")).await;
        assert_eq!((answer.status, answer.is_replayed(), api.inside.effects()), (201, false, effects));
        assert_eq!(
            answer.header("set-cookie"),
            Some(format!("session={effects}").as_str()),
            "the handler's own"
        );
    }
    assert_eq!(*heard.0.lock().unwrap(), [KeyOutcome::Unprotected; 2]);
}
