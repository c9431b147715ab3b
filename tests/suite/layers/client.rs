//! What one client makes of answers and errors.

use std::{convert::Infallible, future::ready};

use http::Method;
use redrive::{
    domain::fault::Fault,
    resilience::{
        circuit::CircuitPolicy,
        layer::{CircuitLayer, HttpFault, RetryLayer},
        policy::{Failure, Reason},
    },
};
use tower::{Layer, ServiceExt as _, service_fn};

use super::*;

async fn asked(ledger: &Ledger, settings: Settings, request: Request<&'static str>) -> Response<()> {
    let service = {
        let ledger = ledger.clone();
        service_fn(move |request: Request<&'static str>| {
            ready(Ok::<_, Infallible>(ledger.answer(&request, ())))
        })
    };
    RetryLayer::http(policy(settings)).layer(service).oneshot(request).await.unwrap()
}

fn get() -> Request<&'static str> {
    Request::new("100")
}

#[tokio::test]
async fn a_failing_answer_is_asked_for_again_and_each_attempt_says_which_it_is() {
    let ledger = Ledger::new(&[(503, &[]), (429, &[("retry-after", "9")]), (200, &[])]);
    let answer = asked(&ledger, settings(), get()).await;
    assert_eq!(should_retry(&answer), (StatusCode::OK, None));
    assert_eq!(ledger.told("retry-attempt"), ["1", "2", "3"]);
    assert_eq!(ledger.told("request-timeout-ms"), ["20000", "20000", "20000"]);
}

#[tokio::test]
async fn the_last_answer_is_handed_on_and_says_that_it_was_tried_again() {
    let ledger = Ledger::new(&[(500, &[]), (502, &[]), (503, &[]), (200, &[])]);
    let answer = asked(&ledger, settings(), get()).await;
    assert_eq!(should_retry(&answer), (StatusCode::SERVICE_UNAVAILABLE, Some("false")));
    assert_eq!(ledger.made(), 3);
}

#[tokio::test]
async fn an_answer_is_read_by_its_status_and_its_headers() {
    let cases: [(u16, Lines, u32); 9] = [
        (200, &[("x-should-retry", "false")], 1),
        (304, &[("retry-after", "0")], 1),
        (404, &[], 1),
        (501, &[], 1),
        (403, &[], 1),
        (403, &[("x-ratelimit-remaining", " 0")], 3),
        (403, &[("x-ratelimit-remaining", "7")], 1),
        (404, &[("retry-after", "0")], 3),
        (418, &[], 2),
    ];
    for (status, headers, made) in cases {
        let ledger = Ledger::new(&[(status, headers)]);
        assert_eq!(asked(&ledger, settings(), get()).await.status(), status);
        assert_eq!(ledger.made(), made, "{status} {headers:?}");
    }
}

#[tokio::test]
async fn a_request_that_must_not_be_made_twice_is_made_once() {
    for (method, key, made) in [
        (Method::POST, None, 1),
        (Method::PATCH, None, 1),
        (Method::CONNECT, None, 1),
        (Method::from_bytes(b"BOOK").unwrap(), None, 1),
        (Method::POST, Some("order-42"), 3),
        (Method::PUT, None, 3),
        (Method::DELETE, None, 3),
    ] {
        let ledger = Ledger::new(&[(503, &[])]);
        let mut request = Request::builder().method(method.clone());
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let answer = asked(&ledger, settings(), request.body("100").unwrap()).await;
        assert_eq!(ledger.made(), made, "{method}");
        let told = (made > 1).then_some("false");
        assert_eq!(should_retry(&answer).1, told, "{method}: once here, so its caller may try again");
    }
}

#[tokio::test]
async fn a_server_that_says_not_to_is_not_asked_again_and_counts_as_ill_all_the_same() {
    let says: [(Lines, u32); 6] = [
        (&[("x-should-retry", "false"), ("retry-after", "0")], 1),
        (&[("x-should-retry", " FALSE ")], 1),
        (&[("x-should-retry", "true")], 3),
        (&[("grpc-retry-pushback-ms", "-1")], 1),
        (&[("grpc-retry-pushback-ms", "soon")], 1),
        (&[("grpc-retry-pushback-ms", "99999999999999999999")], 3),
    ];
    for (headers, made) in says {
        let ledger = Ledger::new(&[(503, headers)]);
        let policy = policy(settings());
        let service = {
            let ledger = ledger.clone();
            service_fn(move |request: Request<()>| ready(Ok::<_, Infallible>(ledger.answer(&request, ()))))
        };
        RetryLayer::http(policy.clone()).layer(service).oneshot(Request::new(())).await.unwrap();
        assert_eq!(ledger.made(), made, "{headers:?}");
        let counts = policy.circuit().standing(redrive::clock::instant()).counts;
        assert_eq!((counts.calls, counts.failed), (made, made), "{headers:?}");
    }
}

#[tokio::test]
async fn any_service_is_tried_again_by_its_errors() {
    let made = AtomicU32::new(0);
    let made: &'static AtomicU32 = Box::leak(Box::new(made));
    let service = service_fn(async |cents: u32| match (cents, made.fetch_add(1, Ordering::SeqCst)) {
        (0, _) => Err(Fault::permanent("nothing to book")),
        (_, 0 | 1) => Err(Fault::transient("the ledger is busy")),
        _ => Ok(cents),
    });
    let service = RetryLayer::plain(policy(settings())).layer(service);
    assert_eq!(service.clone().oneshot(100).await, Ok(100));
    assert_eq!(made.load(Ordering::SeqCst), 3);
    let stopped = service.oneshot(0).await.unwrap_err();
    assert_eq!((stopped.reason, stopped.attempts), (Reason::Permanent, 1));
    assert_eq!(stopped.last, Some(Failure::Error(Fault::permanent("nothing to book"))));
}

#[tokio::test]
async fn a_layer_around_a_layer_does_not_try_again_what_was_tried_again() {
    let ledger = Ledger::new(&[(503, &[])]);
    let service = {
        let ledger = ledger.clone();
        service_fn(move |request: Request<()>| ready(Ok::<_, Infallible>(ledger.answer(&request, ()))))
    };
    let inner = RetryLayer::http(policy(settings())).layer(service);
    let outer = RetryLayer::http(policy(settings())).layer(inner);
    outer.oneshot(Request::new(())).await.unwrap();
    assert_eq!(ledger.made(), 3, "not 9");

    let made: &'static AtomicU32 = Box::leak(Box::new(AtomicU32::new(0)));
    let service = service_fn(async |(): ()| {
        made.fetch_add(1, Ordering::SeqCst);
        Err::<(), _>(Fault::transient("busy"))
    });
    let inner = RetryLayer::plain(policy(settings())).layer(service);
    let outer = RetryLayer::plain(policy(settings())).layer(inner);
    assert_eq!(outer.oneshot(()).await.unwrap_err().reason, Reason::PushedBack);
    assert_eq!(made.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_circuit_passes_what_cannot_be_cloned_once_and_then_nothing() {
    struct Upload;
    let ledger = Ledger::new(&[(503, &[])]);
    let circuit = CircuitPolicy { minimum_calls: 2, ..CircuitPolicy::default() };
    let service = {
        let ledger = ledger.clone();
        service_fn(move |request: Request<Upload>| ready(Ok::<_, HttpFault>(ledger.answer(&request, ()))))
    };
    let service = CircuitLayer::http(policy(Settings { circuit, ..settings() })).layer(service);
    for made in [1, 2] {
        let answer = service.clone().oneshot(Request::new(Upload)).await.unwrap();
        assert_eq!((should_retry(&answer), ledger.made()), ((StatusCode::SERVICE_UNAVAILABLE, None), made));
    }
    let stopped = service.oneshot(Request::new(Upload)).await.unwrap_err();
    assert!(matches!(stopped.reason, Reason::Circuit(_)), "{stopped}");
    assert_eq!((stopped.attempts, ledger.made()), (0, 2));
}
