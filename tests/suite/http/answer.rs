//! Answers: which are kept, and those that cannot be.

use std::sync::Arc;

use axum::{Router, body::Bytes, http::header, response::IntoResponse as _, routing::post};
use futures_util::{StreamExt as _, stream};

use super::{Answered, Api, Inside, pieces};

#[tokio::test]
async fn a_status_says_whether_its_answer_is_kept() {
    let api = Api::start().await;
    for (code, status, phase) in [
        (200, "COMPLETED", "completed"),
        (202, "COMPLETED", "completed"),
        (204, "COMPLETED", "completed"),
        (303, "COMPLETED", "completed"),
        (400, "FAILED", "failed"),
        (402, "FAILED", "failed"),
        (404, "FAILED", "failed"),
        (422, "FAILED", "failed"),
        (401, "FAILED", "freed"),
        (408, "FAILED", "freed"),
        (409, "FAILED", "freed"),
        (425, "FAILED", "freed"),
        (429, "FAILED", "freed"),
        (500, "FAILED", "freed"),
        (503, "FAILED", "freed"),
    ] {
        let (path, key) = (format!("/status/{code}"), format!("k{code}"));
        let first = api.pay(&path, &key, "{}").await;
        let row = format!("SELECT status || ' ' || phase FROM idempotency_keys WHERE client_key = '{key}'");
        assert_eq!(api.store.cell(&row).await, format!("{status} {phase}"), "{code}");
        let again = api.pay(&path, &key, "{}").await;
        assert_eq!((first.status, again.status), (code, code));
        assert_eq!(again.is_replayed(), phase != "freed", "{code}");
        assert_eq!(again.body == first.body, phase != "freed" || code == 204, "{code}");
    }
}

/// Routes whose answers are hard to keep.
fn odd(inside: &Inside) -> Router {
    let (large, broken, panics, events) = (inside.clone(), inside.clone(), inside.clone(), inside.clone());
    let part = |n: usize| Ok::<_, std::io::Error>(Bytes::from(vec![u8::try_from(n).unwrap(); 400]));
    Router::new()
        .route(
            "/large",
            post(async move || {
                large.effect();
                pieces(stream::iter((0..5).map(part)))
            }),
        )
        .route(
            "/broken",
            post(async move || match broken.effect() {
                1 => pieces(stream::iter([part(0), Err(std::io::Error::other("the disk is gone"))])),
                _ => pieces(stream::iter([part(0)])),
            }),
        )
        .route(
            "/panics",
            post(async move || match panics.effect() {
                1 => panic!("as told"),
                n => format!("try {n}"),
            }),
        )
        .route(
            "/events",
            post(async move || {
                events.effect();
                let gate = Arc::clone(&events.gate);
                let later = stream::once(async move {
                    gate.acquire().await.expect("the gate stays").forget();
                    Ok(Bytes::from_static(b"data: 2\n\n"))
                });
                let now = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"data: 1\n\n"))]);
                ([(header::CONTENT_TYPE, "text/event-stream")], pieces(now.chain(later))).into_response()
            }),
        )
}

async fn phase(api: &Api) -> String {
    api.store.cell("SELECT phase FROM idempotency_keys").await
}

#[tokio::test]
async fn an_answer_too_large_to_keep_reaches_its_caller_whole() {
    let api = Api::with(|layer| layer.max_answer(1_000), |inside, layer| odd(inside).layer(layer)).await;
    let whole: Vec<u8> = (0..5).flat_map(|n| vec![n; 400]).collect();
    for effects in 1..=2 {
        let answer = api.pay("/large", "k", "{}").await;
        assert_eq!((answer.status, answer.is_replayed()), (200, false));
        assert_eq!(answer.body, whole);
        assert_eq!(phase(&api).await, "freed");
        assert_eq!(api.inside.effects(), effects, "the next try runs again");
    }
    let api = Api::with(|layer| layer.max_answer(2_000), |inside, layer| odd(inside).layer(layer)).await;
    assert_eq!(api.pay("/large", "k", "{}").await.body, whole);
    let again = api.pay("/large", "k", "{}").await;
    assert_eq!((again.is_replayed(), again.body.as_ref()), (true, whole.as_slice()), "as large as may be");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error_and_frees_its_key() {
    let api = Api::with(|layer| layer, |inside, layer| odd(inside).layer(layer)).await;
    let broken = api.pay("/broken", "k", "{}").await;
    assert_eq!(broken.problem(500).0, "answer-broken-off");
    assert_eq!(phase(&api).await, "freed");
    let again = api.pay("/broken", "k", "{}").await;
    assert_eq!((again.status, again.body.len(), again.is_replayed()), (200, 400, false));
}

#[tokio::test]
async fn a_handler_that_panics_is_an_error_and_frees_its_key() {
    let api = Api::with(|layer| layer, |inside, layer| odd(inside).layer(layer)).await;
    assert_eq!(api.pay("/panics", "k", "{}").await.problem(500).0, "handler-failed");
    assert_eq!(phase(&api).await, "freed");
    let again = api.pay("/panics", "k", "{}").await;
    assert_eq!((again.status, again.text()), (200, "try 2"));
    assert!(api.pay("/panics", "k", "{}").await.is_replayed());
}

#[tokio::test]
async fn events_reach_their_caller_as_they_come() {
    let api = Api::with(|layer| layer, |inside, layer| odd(inside).layer(layer)).await;
    let mut stream = api.post("/events", "k").body("{}").send().await.unwrap();
    assert_eq!(stream.chunk().await.unwrap().unwrap(), "data: 1\n\n");
    api.inside.gate.add_permits(1);
    assert_eq!(stream.chunk().await.unwrap().unwrap(), "data: 2\n\n");
    assert_eq!(Answered::of(stream).await.body, "");
    assert_eq!(phase(&api).await, "freed");
}
