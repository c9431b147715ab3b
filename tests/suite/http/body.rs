//! Bodies: what makes two the same, and those that are too large, too slow or no JSON.

use std::{io::Write as _, time::Duration};

use super::{Api, read_all};

#[tokio::test]
async fn white_space_and_order_do_not_matter_and_values_do() {
    let api = Api::start().await;
    let body = r#"{"amount":100.10,"to":{"iban":"x","bic":null}}"#;
    assert_eq!(api.pay("/payments", "k", body).await.status, 201);
    for same in [
        " { \"to\" : {\"bic\":null ,\r\n\t\"iban\":\"x\"},\"amount\":100.10 }\n",
        r#"{"amount":100.10,"to":{"iban":"\u0078","bic":null}}"#,
    ] {
        assert!(api.pay("/payments", "k", same).await.is_replayed(), "{same}");
    }
    for other in [
        r#"{"amount":100.1,"to":{"iban":"x","bic":null}}"#,
        r#"{"amount":100.10000000000000001,"to":{"iban":"x","bic":null}}"#,
        r#"{"amount":"100.10","to":{"iban":"x","bic":null}}"#,
        r#"{"amount":100.10,"to":{"iban":"x"}}"#,
        "",
    ] {
        let (slug, detail) = api.pay("/payments", "k", other).await.problem(422);
        assert_eq!(
            (slug.as_str(), detail.contains("used for another request")),
            ("idempotency-key-reused", true)
        );
    }
    assert_eq!(api.inside.effects(), 1);
}

#[tokio::test]
async fn what_is_no_json_counts_byte_for_byte() {
    let api = Api::start().await;
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    for (n, body) in ["{\"a\":1,}", "{\"a\":1,\"a\":2}", "not json", deep.as_str()].into_iter().enumerate() {
        let key = format!("k{n}");
        assert_eq!(api.pay("/payments", &key, body.to_owned()).await.status, 201);
        assert!(api.pay("/payments", &key, body.to_owned()).await.is_replayed(), "{body}");
        assert_eq!(api.pay("/payments", &key, format!("{body} ")).await.status, 422, "{body}");
    }
    let plain = |body: &'static str| {
        api.post("/payments", "plain").header("content-type", "text/plain").body(body).send()
    };
    assert_eq!(plain("{}").await.unwrap().status(), 201);
    assert_eq!(plain("{ }").await.unwrap().status(), 422, "white space is text in a text");
}

#[tokio::test]
async fn another_path_query_or_method_is_another_request() {
    let api = Api::start().await;
    assert_eq!(api.pay("/payments", "k", "{}").await.status, 201);
    assert_eq!(api.pay("/payments?express", "k", "{}").await.status, 422);
    assert_eq!(api.pay("/gated", "k", "{}").await.status, 422);
}

#[tokio::test]
async fn a_body_over_the_cap_is_refused_and_one_at_the_cap_is_not() {
    let api = Api::ruled(|layer| layer.max_body(1_000)).await;
    let answer = api.pay("/payments", "k", "x".repeat(1_001)).await;
    let (slug, detail) = answer.problem(413);
    assert_eq!((slug.as_str(), detail.contains("more than 1000 bytes")), ("body-too-large", true));
    assert_eq!(api.pay_in_pieces("k", &"x".repeat(1_001)).await.0, 413);
    assert_eq!((api.inside.effects(), api.keys().await.as_str()), (0, "0"));
    assert_eq!(api.pay("/payments", "k", "x".repeat(1_000)).await.status, 201);
    let (status, rest) = api.pay_in_pieces("k", &"x".repeat(1_000)).await;
    assert!(status == 201 && rest.contains("idempotent-replayed: true"), "{rest}");
}

#[tokio::test]
async fn a_hundred_megabytes_are_refused_long_before_they_are_sent() {
    let api = Api::start().await;
    // Announced: refused by its length alone, without a byte of it.
    let announced =
        b"POST /payments HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nContent-Length: 104857600\r\n\r\n";
    assert_eq!(read_all(api.send(announced)).await.0, 413);
    // Not announced: refused as soon as it passes the cap.
    let mut stream = api.send(
        b"POST /payments HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    let answer = read_all(stream.try_clone().unwrap());
    let sending = tokio::task::spawn_blocking(move || {
        stream.set_write_timeout(Some(super::PATIENCE)).unwrap();
        let chunk = [b"10000\r\n".as_slice(), &[b'x'; 65_536], b"\r\n"].concat();
        (0..1_600).take_while(|_| stream.write_all(&chunk).is_ok()).count() * 65_536
    });
    assert_eq!(answer.await.0, 413);
    let sent = sending.await.unwrap();
    assert!(sent < 32 * 1_024 * 1_024, "{sent} bytes were taken: more than the cap and the sockets' buffers");
    assert_eq!((api.inside.effects(), api.keys().await.as_str()), (0, "0"));
}

#[tokio::test]
async fn a_body_that_drips_is_cut_off_and_holds_no_key() {
    let api = Api::ruled(|layer| layer.body_timeout(Duration::from_millis(100))).await;
    let head = b"POST /payments HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nContent-Length: 1000\r\n\r\n{";
    let (status, rest) = read_all(api.send(head)).await;
    assert_eq!(status, 408);
    assert!(rest.contains("#body-too-slow") && rest.contains("did not arrive within 100ms"), "{rest}");
    assert_eq!((api.inside.effects(), api.keys().await.as_str()), (0, "0"));
    assert_eq!(api.pay("/payments", "k", "{}").await.status, 201);
}
