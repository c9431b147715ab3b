//! The headers by which callers and services tell each other about retries: their names, and reading them. From
//! outside: hostile. What is no number says nothing; whatever is said only makes less happen.
//!
//! | header | of | says | also read |
//! | --- | --- | --- | --- |
//! | `retry-attempt` | a request | which attempt it is, from 1 | `x-envoy-attempt-count` |
//! | `request-timeout-ms` | a request | how long its sender waits, from its arrival on | `x-envoy-expected-rq-timeout-ms` |
//! | `x-should-retry` | an answer | `false`: do not try again | `grpc-retry-pushback-ms` below 0 or no number |
//!
//! Attempts count from 1 as Envoy and the AWS SDKs count them, and the time is a length because the two clocks need
//! not agree, as in gRPC and Envoy. The names are plain: `grpc-` is reserved, and Envoy rewrites its own for each hop,
//! which is why its word is read too: a proxy's retry is a retry. `x-should-retry` is what client libraries obey already.

use std::time::Duration;

use ::http::{HeaderMap, HeaderName, HeaderValue};

/// Which attempt a request is, from 1, counted over everybody who tried.
pub const ATTEMPT: HeaderName = HeaderName::from_static("retry-attempt");
/// How many milliseconds the sender of a request waits for its answer.
pub const TIMEOUT: HeaderName = HeaderName::from_static("request-timeout-ms");
/// On an answer, `false`: do not try again.
pub const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

const ENVOY_ATTEMPT: &str = "x-envoy-attempt-count";
const ENVOY_TIMEOUT: &str = "x-envoy-expected-rq-timeout-ms";
const GRPC_PUSHBACK: &str = "grpc-retry-pushback-ms";

/// The attempt a request says it is, the highest where it says several; 1 where it says nothing.
pub(super) fn attempt(headers: &HeaderMap) -> u32 {
    let said = headers.get_all(ATTEMPT).into_iter().chain(headers.get_all(ENVOY_ATTEMPT));
    let highest = said.filter_map(number).max().unwrap_or(1);
    u32::try_from(highest).unwrap_or(u32::MAX).max(1)
}

/// How long a request's sender waits, the shortest where it says several.
pub(super) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let said = headers.get_all(TIMEOUT).into_iter().chain(headers.get_all(ENVOY_TIMEOUT));
    said.filter_map(number).min().map(Duration::from_millis)
}

/// Says both on a request, in place of what it said before.
pub(super) fn tell(headers: &mut HeaderMap, attempt: u32, limit: Duration) {
    headers.insert(ATTEMPT, HeaderValue::from(attempt));
    // Rounded down: who waits less long than it says is given up on in the middle of work.
    headers.insert(TIMEOUT, HeaderValue::from(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)));
}

/// Whether an answer says not to try again.
pub(super) fn pushed_back(headers: &HeaderMap) -> bool {
    let no = |said: &HeaderValue| said.as_bytes().trim_ascii().eq_ignore_ascii_case(b"false");
    headers.get_all(SHOULD_RETRY).into_iter().any(no)
        || headers.get_all(GRPC_PUSHBACK).into_iter().any(|said| number(said).is_none())
}

/// How long an answer asks to wait in gRPC's way.
pub(super) fn grpc_wait(headers: &HeaderMap) -> Option<Duration> {
    headers.get_all(GRPC_PUSHBACK).into_iter().filter_map(number).max().map(Duration::from_millis)
}

/// Says on an answer not to try again.
pub(super) fn push_back(headers: &mut HeaderMap) {
    headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
}

/// Digits only. One too large to hold is still a number: the largest.
fn number(value: &HeaderValue) -> Option<u64> {
    let digits = value.as_bytes().trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0_u64, |n, digit| n.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}
