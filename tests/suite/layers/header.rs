//! What the other side says, however it says it.

use std::time::Instant;

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use redrive::{
    clock,
    resilience::{layer::Caller, layer::HttpFault, policy::Attempt},
};

use super::*;

/// Header lines, as bytes.
type Raw<'a> = [(&'static str, &'a [u8])];
/// An attempt, and for how many milliseconds it is waited.
type Read = (u32, Option<u128>);

fn heads(lines: &Raw<'_>) -> HeaderMap {
    let line = |(name, value): &(&'static str, &[u8])| {
        (HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap())
    };
    lines.iter().map(line).collect()
}

fn read(lines: &Raw<'_>, now: Instant) -> Read {
    let caller = Caller::read(&heads(lines), now);
    (caller.attempt(), caller.until().map(|until| (until - now).as_millis()))
}

#[test]
fn an_attempt_and_a_time_are_read_and_nonsense_says_nothing() {
    let now = clock::instant();
    let cases: [(&Raw<'_>, Read); 13] = [
        (&[], (1, None)),
        (&[("retry-attempt", b"2"), ("request-timeout-ms", b"1500")], (2, Some(1500))),
        (&[("retry-attempt", b" 3\t")], (3, None)),
        (&[("retry-attempt", b"0")], (1, None)),
        (&[("retry-attempt", b"-2"), ("request-timeout-ms", b"-1")], (1, None)),
        (&[("retry-attempt", b"2.5"), ("request-timeout-ms", b"1e3")], (1, None)),
        (&[("retry-attempt", b"\xff2"), ("request-timeout-ms", b"")], (1, None)),
        (&[("retry-attempt", b"99999999999999999999999")], (u32::MAX, None)),
        (&[("retry-attempt", b"1"), ("retry-attempt", b"4"), ("retry-attempt", b"x")], (4, None)),
        (&[("retry-attempt", b"1"), ("x-envoy-attempt-count", b"2")], (2, None)),
        (&[("request-timeout-ms", b"900"), ("x-envoy-expected-rq-timeout-ms", b"800")], (1, Some(800))),
        (&[("request-timeout-ms", b"0")], (1, Some(0))),
        (&[("request-timeout-ms", b"86400000")], (1, Some(86_400_000))),
    ];
    for (lines, wanted) in cases {
        assert_eq!(read(lines, now), wanted, "{lines:?}");
    }
}

#[test]
fn a_retry_stays_one_all_the_way_down_however_high_its_number() {
    let attempt = Attempt { number: 3, until: clock::instant(), limit: Duration::from_micros(1_999) };
    for (said, told) in [("1", "3"), ("2", "4"), ("4294967295", "4294967295")] {
        let caller = Caller::read(&heads(&[("retry-attempt", said.as_bytes())]), clock::instant());
        let headers = caller.headers(attempt);
        assert_eq!(headers["retry-attempt"], told);
        assert_eq!(headers["request-timeout-ms"], "1");
        assert_eq!(caller.allowance().attempts == 1, said != "1");
    }
}

proptest! {
    #[test]
    fn no_header_makes_reading_panic_or_ask_for_more(
        name in 0..7_usize,
        value in prop::collection::vec(any::<u8>(), 0..30),
        digits in "[0-9]{1,30}",
    ) {
        let names = [
            "retry-attempt", "request-timeout-ms", "x-envoy-attempt-count", "x-envoy-expected-rq-timeout-ms",
            "retry-after", "grpc-retry-pushback-ms", "x-ratelimit-remaining",
        ];
        let now = clock::instant();
        for value in [value.as_slice(), digits.as_bytes()] {
            let Ok(value) = HeaderValue::from_bytes(value) else { continue };
            let headers: HeaderMap = [(HeaderName::from_static(names[name]), value)].into_iter().collect();
            let caller = Caller::read(&headers, now);
            prop_assert!(caller.attempt() >= 1);
            prop_assert!(caller.until().is_none_or(|until| until >= now));
            let fault = HttpFault::check(StatusCode::BAD_GATEWAY, &headers).unwrap_err();
            prop_assert!(fault.fault.retry_after.is_none_or(|wait| wait <= Duration::from_secs(86_400)));
        }
    }
}
