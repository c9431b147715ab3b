//! Keys as clients send them: well, badly, twice, and at the same time.

use super::{Answered, Api};

#[tokio::test]
async fn a_retry_is_answered_as_the_first_was_and_says_so() {
    let api = Api::start().await;
    let first = api.pay("/payments", "k", "{}").await;
    assert_eq!((first.status, first.is_replayed()), (201, false));
    assert_eq!(first.header("set-cookie"), Some("session=1"), "the first answer is whole");
    for _ in 0..2 {
        let again = api.pay("/payments", "k", "{}").await;
        assert!(again.is_replayed());
        assert_eq!((again.status, &again.body), (201, &first.body), "byte for byte");
        for name in ["location", "etag", "content-type"] {
            assert_eq!(again.header(name), first.header(name), "{name}");
        }
        assert_eq!(again.header("set-cookie"), None, "a cookie is its first reader's");
    }
    assert_eq!(api.inside.effects(), 1);
    assert_eq!(api.pay("/payments", "another", "{}").await.header("location"), Some("/payments/2"));
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_refused_in_words() {
    let api = Api::start().await;
    let long = format!("Idempotency-Key: {}", "k".repeat(252));
    for (lines, why) in [
        (&[][..], "this operation needs an Idempotency-Key"),
        (&[&b"Idempotency-Key:"[..]][..], "the idempotency key is empty"),
        (&[b"Idempotency-Key: \"\""], "the idempotency key is empty"),
        (&[long.as_bytes()], "256 bytes together with its operation: at most 255 fit"),
        (&["Idempotency-Key: schlüssel".as_bytes()], "a byte that is not ASCII"),
        (&[b"Idempotency-Key: a\tb"], "a control character"),
        (&[b"Idempotency-Key: \"a"], "a quote that no other closes"),
        (&[b"Idempotency-Key: \"a\\b\""], "only a quote or a backslash may follow a backslash"),
        (&[b"Idempotency-Key: \"a\" b"], "something follows the closing quote"),
        (&[b"Idempotency-Key: a, b"], "send such a value in quotes"),
        (&[b"Idempotency-Key: a", b"Idempotency-Key: a"], "more than one Idempotency-Key was sent"),
        (&[b"Idempotency-Key: a", b"idempotency-key: b"], "more than one Idempotency-Key was sent"),
    ] {
        let (status, rest) = api.by_hand(lines).await;
        assert_eq!(status, 400, "{why}: {rest}");
        assert!(rest.contains("application/problem+json") && rest.contains(why), "{why}: {rest}");
        let slug = if lines.is_empty() { "#idempotency-key-missing" } else { "#idempotency-key-malformed" };
        assert!(rest.contains(slug), "{why}: {rest}");
    }
    // Other control characters never reach a service: HTTP itself refuses them.
    assert_eq!(api.by_hand(&[b"Idempotency-Key: a\x01b"]).await.0, 400);
    assert_eq!((api.inside.effects(), api.keys().await.as_str()), (0, "0"), "nothing ran, nothing is kept");
    let longest = format!("Idempotency-Key: {}", "k".repeat(251));
    assert_eq!(api.by_hand(&[longest.as_bytes()]).await.0, 201);
}

#[tokio::test]
async fn a_quoted_string_and_a_bare_value_are_one_key() {
    let api = Api::start().await;
    for (first, second) in [("\"order-42\"", "order-42"), ("a\\b", "\"a\\\\b\"")] {
        assert!(!api.pay("/payments", first, "{}").await.is_replayed());
        assert!(api.pay("/payments", second, "{}").await.is_replayed(), "{first} is {second}");
    }
    assert_eq!(
        api.store.column("SELECT client_key FROM idempotency_keys ORDER BY 1").await,
        ["a\\b", "order-42"]
    );
}

#[tokio::test]
async fn of_two_at_once_one_runs_and_the_other_is_told_to_wait() {
    let api = Api::start().await;
    let first = tokio::task::JoinSet::from_iter([Answered::sent(api.post("/gated", "k").body("{}"))]);
    api.inside.one_has_begun().await;
    let second = Answered::sent(api.post("/gated", "k").body("{}")).await;
    let (slug, detail) = second.problem(409);
    assert_eq!(slug, "idempotency-key-in-flight");
    assert!(detail.contains("is being worked on: try again in 30 s"), "{detail}");
    assert_eq!(second.header("retry-after"), Some("30"), "the lease's rest");
    let other = api.post("/gated", "k").body("{\"a\":1}").send().await.unwrap();
    assert_eq!(Answered::of(other).await.problem(422).0, "idempotency-key-reused");
    api.inside.gate.add_permits(1);
    let first = first.join_all().await.pop().unwrap();
    assert_eq!(first.status, 201);
    let third = Answered::sent(api.post("/gated", "k").body("{}")).await;
    assert!(third.is_replayed());
    assert_eq!((third.body, api.inside.effects()), (first.body, 1));
}

#[tokio::test]
async fn a_client_that_goes_away_finds_its_answer_when_it_asks_again() {
    let api = Api::start().await;
    let request = b"POST /gated HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nContent-Length: 2\r\n\r\n{}";
    let gone = api.send(request);
    api.inside.one_has_begun().await;
    drop(gone);
    // The server has seen the end of the connection once it answers on no other: asking again is refused meanwhile.
    assert_eq!(Answered::sent(api.post("/gated", "k").body("{}")).await.status, 409);
    api.inside.gate.add_permits(1);
    api.idle().await;
    assert_eq!(api.inside.effects(), 1, "the work was not dropped with its caller");
    let again = Answered::sent(api.post("/gated", "k").body("{}")).await;
    assert_eq!((again.status, again.is_replayed(), api.inside.effects()), (201, true, 1));
}

#[tokio::test]
async fn a_client_that_goes_away_while_it_sends_holds_no_key() {
    let api = Api::start().await;
    let request = b"POST /payments HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nContent-Length: 9\r\n\r\n{}";
    let half = api.send(request);
    half.shutdown(std::net::Shutdown::Write).unwrap();
    let _ = tokio::task::spawn_blocking(move || std::io::copy(&mut &half, &mut std::io::sink())).await;
    assert_eq!((api.inside.effects(), api.keys().await.as_str()), (0, "0"));
    assert_eq!(api.pay("/payments", "k", "{\"a\": 1}").await.status, 201, "the key is unused");
}
