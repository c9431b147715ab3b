//! Requests that are odd but allowed, and crowds around a handler that fails: nobody is hung up on, nothing runs twice at
//! once, and what may pass is tried again.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::{Router, routing::post};
use tokio::task::JoinSet;

use super::{Answered, Api, read_all};

#[tokio::test]
async fn whoever_panics_before_a_crowd_leaves_a_key_that_one_of_them_takes() {
    static INSIDE: AtomicUsize = AtomicUsize::new(0);
    static RAN: AtomicUsize = AtomicUsize::new(0);
    async fn fails_nine_times() -> String {
        assert_eq!(INSIDE.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
        tokio::task::yield_now().await;
        INSIDE.fetch_sub(1, Ordering::SeqCst);
        let run = RAN.fetch_add(1, Ordering::SeqCst) + 1;
        assert!(run > 9, "told to");
        format!("run {run}")
    }
    let api =
        Api::with(|layer| layer, |_, layer| Router::new().route("/odd", post(fails_nine_times)).layer(layer))
            .await;
    while RAN.load(Ordering::SeqCst) < 10 {
        let crowd: JoinSet<_> = (0..100).map(|_| Answered::sent(api.post("/odd", "k").body("{}"))).collect();
        for answer in crowd.join_all().await {
            match answer.status {
                200 => assert_eq!(answer.text(), "run 10"),
                409 | 500 => {}
                503 => panic!("the store was there: {answer:?}"),
                other => panic!("{other}: {answer:?}"),
            }
        }
    }
    let replayed = Answered::sent(api.post("/odd", "k").body("{}")).await;
    assert_eq!((replayed.text(), replayed.is_replayed(), RAN.load(Ordering::SeqCst)), ("run 10", true, 10));
}

#[tokio::test]
async fn old_and_odd_requests_are_answered() {
    let api = Api::start().await;
    for (name, request, expected, effects) in [
        (
            "HTTP/1.0",
            "POST /payments HTTP/1.0\r\nIdempotency-Key: old\r\nContent-Length: 2\r\n\r\n{}",
            201,
            1,
        ),
        (
            "no body",
            "POST /payments HTTP/1.1\r\nHost: x\r\nConnection: close\r\nIdempotency-Key: none\r\n\r\n",
            201,
            2,
        ),
        (
            "Expect",
            "POST /payments HTTP/1.1\r\nHost: x\r\nConnection: close\r\nIdempotency-Key: e\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
            100,
            3,
        ),
        (
            "HEAD",
            "HEAD /payments HTTP/1.1\r\nHost: x\r\nConnection: close\r\nIdempotency-Key: h\r\n\r\n",
            405,
            3,
        ),
        (
            "OPTIONS",
            "OPTIONS /payments HTTP/1.1\r\nHost: x\r\nConnection: close\r\nIdempotency-Key: o\r\n\r\n",
            405,
            3,
        ),
        (
            "no route",
            "POST /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\nIdempotency-Key: n\r\nContent-Length: 2\r\n\r\n{}",
            404,
            3,
        ),
        (
            "trailers",
            "POST /payments HTTP/1.1\r\nHost: x\r\nConnection: close\r\nIdempotency-Key: t\r\nTransfer-Encoding: chunked\r\nTrailer: Idempotency-Key\r\n\r\n2\r\n{}\r\n0\r\nIdempotency-Key: other\r\n\r\n",
            201,
            4,
        ),
        (
            "an absolute target",
            "POST http://elsewhere/payments HTTP/1.1\r\nHost: x\r\nConnection: close\r\nIdempotency-Key: a\r\nContent-Length: 2\r\n\r\n{}",
            201,
            5,
        ),
    ] {
        let (status, rest) = read_all(api.send(request.as_bytes())).await;
        assert_eq!(status, expected, "{name}: {rest}");
        if status == 100 {
            assert!(rest.contains("HTTP/1.1 201"), "{rest}");
        }
        assert_eq!(api.inside.effects(), effects, "{name}");
    }
    let keys = api.store.column("SELECT client_key FROM idempotency_keys ORDER BY 1").await;
    assert_eq!(keys, ["a", "e", "n", "none", "old", "t"]);
}

#[tokio::test]
async fn who_is_refused_before_the_body_is_read_is_told_that_the_connection_ends() {
    let api = Api::start().await;
    for (status, header) in
        [(413, "Idempotency-Key: k\r\nContent-Length: 104857600"), (400, "Content-Length: 9")]
    {
        let request = format!("POST /payments HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n");
        let (answered, rest) = read_all(api.send(request.as_bytes())).await;
        assert_eq!(answered, status, "{rest}");
        assert!(rest.to_lowercase().contains("\r\nconnection: close\r\n"), "{rest}");
    }
}
