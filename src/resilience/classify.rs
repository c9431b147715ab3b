//! Which failures are worth another attempt, judged by what HTTP says.

use std::time::Duration;

use crate::domain::fault::FaultClass;

/// What an HTTP answer tells about trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The status code.
    pub status: u16,
    /// `Retry-After`, already turned into a wait.
    pub retry_after: Option<Duration>,
    /// `x-ratelimit-remaining`, as sent.
    pub ratelimit_remaining: Option<&'a str>,
    /// The beginning of the body.
    pub body: &'a str,
}

/// The class of a failed answer.
///
/// 408, 429 and 5xx but 501 are transient; so is any answer that says "rate limit" or "temporarily unavailable", or
/// carries `Retry-After` or `x-ratelimit-remaining: 0`, even a 403. 400, 401, 403, 404, 409, 422 and 501 otherwise
/// are permanent; what is left is unknown.
pub fn answer(answer: Answer<'_>) -> FaultClass {
    let body = answer.body.to_ascii_lowercase();
    let asks_to_wait = answer.retry_after.is_some()
        || answer.ratelimit_remaining.is_some_and(|left| left.trim() == "0")
        || body.contains("rate limit")
        || body.contains("temporarily unavailable");
    match answer.status {
        _ if asks_to_wait => FaultClass::Transient,
        501 => FaultClass::Permanent,
        408 | 429 | 500..=599 => FaultClass::Transient,
        400 | 401 | 403 | 404 | 409 | 410 | 422 => FaultClass::Permanent,
        _ => FaultClass::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> FaultClass {
        answer(Answer { status, retry_after: None, ratelimit_remaining: None, body })
    }

    #[test]
    fn server_errors_and_throttling_are_transient_but_not_implemented_is_not() {
        for status in [408, 429, 500, 502, 503, 504] {
            assert_eq!(of(status, ""), FaultClass::Transient, "{status}");
        }
        assert_eq!(of(501, ""), FaultClass::Permanent);
    }

    #[test]
    fn a_forbidden_that_speaks_of_a_rate_limit_is_transient() {
        assert_eq!(of(403, "API rate limit exceeded for installation"), FaultClass::Transient);
        assert_eq!(of(403, "Resource not accessible"), FaultClass::Permanent);
        let emptied = Answer { status: 403, retry_after: None, ratelimit_remaining: Some("0"), body: "" };
        assert_eq!(answer(emptied), FaultClass::Transient);
    }

    #[test]
    fn caller_errors_are_permanent_and_the_rest_is_unknown() {
        for status in [400, 401, 404, 409, 422] {
            assert_eq!(of(status, "no"), FaultClass::Permanent, "{status}");
        }
        assert_eq!(of(418, ""), FaultClass::Unknown);
    }
}
