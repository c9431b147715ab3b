//! One HTTP call to an upstream: what it answered, or a [`Fault`] that says in one sentence what was being done, to
//! what and what went wrong.
//!
//! The messages keep one shape for one kind of failure, so that equal failures group, and never hold a token, a
//! query string or a whole body. Every single request goes through [`StepCalls`], so that its circuit is asked and it is
//! counted. Knows no upstream in particular, and never tries again: retries are the engine's.

use std::{error::Error as _, time::Duration};

use chrono::{DateTime, Utc};
use reqwest::{
    RequestBuilder, Url,
    header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    clock,
    domain::fault::{Fault, FaultClass},
    engine::call::StepCalls,
    resilience::{
        classify::{self, Classify},
        retry_after,
    },
};

/// The header our key travels in, the same for every attempt of one effect.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Answers longer than this are refused: nothing the pipeline asks for comes near it.
const MAX_BODY: usize = 32 << 20;

/// How much of an upstream's own message is repeated in ours, in characters.
const MAX_SAID: usize = 200;

/// What is being asked of whom, as it is named in faults.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// The other side as people call it: `GitHub`.
    pub(super) service: &'static str,
    /// The operation, `github.create_hook`.
    pub(super) operation: &'static str,
    /// `POST /repos/acme/payments/hooks`, without a query.
    pub(super) what: String,
}

/// An answer with a status of 2xx.
#[derive(Debug)]
struct Answer {
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Call {
    /// Sends `request` through `calls` and waits for the whole answer.
    ///
    /// # Errors
    /// Anything but a complete 2xx.
    pub(super) async fn send(&self, calls: &StepCalls, request: RequestBuilder) -> Result<(), Fault> {
        calls.call(self.operation, self.exchange(request)).await.map(|_| ())
    }

    /// Sends `request` through `calls` and reads the answer as JSON of the shape `T`.
    ///
    /// # Errors
    /// Anything but a complete 2xx with a JSON document of that shape.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        calls: &StepCalls,
        request: RequestBuilder,
    ) -> Result<(T, HeaderMap), Fault> {
        let exchange = async { self.read(self.exchange(request).await?) };
        calls.call(self.operation, exchange).await
    }

    async fn exchange(&self, request: RequestBuilder) -> Result<Answer, Fault> {
        let mut response = request.send().await.map_err(|error| self.broken(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(&error))? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(self.fault(FaultClass::Permanent, "more than 32 MiB: it was not read further"));
            }
            body.extend_from_slice(&chunk);
        }
        match status.is_success() {
            true => Ok(Answer { headers, body }),
            false => Err(self.refused(status.as_u16(), &headers, &body)),
        }
    }

    fn read<T: DeserializeOwned>(&self, answer: Answer) -> Result<(T, HeaderMap), Fault> {
        if is_html(&answer.headers, &answer.body) {
            let page = "an HTML page instead of JSON: check its URL, and whether a proxy or a login page stands in between";
            return Err(self.fault(FaultClass::Unknown, page));
        }
        match serde_json::from_slice(&answer.body) {
            Ok(value) => Ok((value, answer.headers)),
            Err(error) if error.is_data() => {
                let message =
                    format!("JSON of another shape than expected: {}", one_line(&error.to_string()));
                Err(self.fault(FaultClass::Unknown, &message))
            }
            Err(_) => Err(self.fault(FaultClass::Unknown, "something that is not JSON: check its URL")),
        }
    }

    /// `GitHub answered POST /repos/… with {what}`.
    pub(super) fn fault(&self, class: FaultClass, what: &str) -> Fault {
        Fault::new(class, format!("{} answered {} with {what}", self.service, self.what)).of(self.operation)
    }

    /// What an answer that is not a 2xx says.
    fn refused(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> Fault {
        let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
        let beginning = String::from_utf8_lossy(&body[..body.len().min(4_096)]).into_owned();
        let retry_after =
            header(RETRY_AFTER.as_str()).and_then(|v| retry_after::parse(v, clock::now().into()));
        let class = classify::answer(classify::Answer {
            status,
            retry_after,
            ratelimit_remaining: header("x-ratelimit-remaining"),
            body: &beginning,
        });
        let said = match is_html(headers, body) {
            true => "an HTML page, which is not the API's own answer".to_owned(),
            false => said(body),
        };
        let mut message = format!("{} answered {status} to {}", self.service, self.what);
        if !said.is_empty() {
            message = format!("{message}: {said}");
        }
        let mut fault = Fault::new(class, message).of(self.operation);
        fault.http_status = Some(status);
        fault.retry_after = retry_after.or_else(|| {
            let emptied = header("x-ratelimit-remaining").is_none_or(|left| left.trim() == "0");
            let throttled = emptied && class == FaultClass::Transient;
            header("x-ratelimit-reset").filter(|_| throttled).and_then(|v| reset(v, clock::now()))
        });
        fault
    }

    /// What it means that no complete answer came.
    fn broken(&self, error: &reqwest::Error) -> Fault {
        let (service, what) = (self.service, &self.what);
        let message = match error {
            e if e.is_timeout() => {
                format!("{service} did not answer {what} in time: whether it was done is not known")
            }
            e if e.is_builder() => {
                let cause = root(e);
                format!("cannot ask {service} for {what}: {cause}; check its URL and token in the settings")
            }
            e if e.is_connect() => format!("cannot reach {service} for {what}: {}", root(e)),
            e => format!("the connection to {service} broke during {what}: {}", root(e)),
        };
        Fault::new(error.class(), message).of(self.operation)
    }
}

impl Classify for reqwest::Error {
    fn class(&self) -> FaultClass {
        match self {
            e if e.is_timeout() => FaultClass::Timeout,
            e if e.is_builder() => FaultClass::Permanent,
            e => match e.status() {
                None => FaultClass::Transient,
                Some(status) => classify::answer(classify::Answer {
                    status: status.as_u16(),
                    retry_after: None,
                    ratelimit_remaining: None,
                    body: "",
                }),
            },
        }
    }

    fn throttled(&self) -> bool {
        self.status().is_some_and(|status| status.as_u16() == 429)
    }
}

/// The innermost cause: the outer ones repeat the URL, with its query.
fn root(error: &reqwest::Error) -> String {
    let Some(mut cause) = error.source() else { return "the request could not be made".to_owned() };
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    one_line(&cause.to_string())
}

fn is_html(headers: &HeaderMap, body: &[u8]) -> bool {
    let named = headers
        .get(CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html"));
    named || body.trim_ascii_start().starts_with(b"<")
}

/// The upstream's own words: GitHub's `message` and `errors`, a JSON:API document's `errors`, else the text itself.
fn said(body: &[u8]) -> String {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let Ok(document) = serde_json::from_slice::<Value>(body) else {
        return one_line(&String::from_utf8_lossy(&body[..body.len().min(4 * MAX_SAID)]));
    };
    let errors = document.get("errors").and_then(Value::as_array).into_iter().flatten();
    let details = errors.filter_map(|error| {
        text(error, "message").or_else(|| text(error, "detail")).or_else(|| text(error, "title"))
    });
    let mut parts: Vec<String> = text(&document, "message").into_iter().chain(details).collect();
    parts.dedup();
    one_line(&parts.join(": "))
}

fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_SAID) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// `x-ratelimit-reset`: GitHub sends the second since 1970, Terraform Cloud how many seconds are left.
fn reset(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let seconds = value.trim().parse::<f64>().ok().filter(|s| s.is_finite() && *s >= 0.0)?;
    let left = match seconds {
        s if s > 1e9 => s - now.timestamp() as f64,
        s => s,
    };
    Duration::try_from_secs_f64(left.max(0.0)).ok()
}

/// `base` and `segments`, each escaped so that a name can never become a path of its own.
///
/// # Errors
/// A permanent fault of `operation` when `base`, which is not repeated because it may hold a password, is not a URL.
pub(super) fn url(base: &str, segments: &[&str], operation: &str) -> Result<Url, Fault> {
    let bad = || {
        let text =
            "the upstream's URL in the settings is not one: expected something like https://api.github.com";
        Fault::permanent(text).of(operation)
    };
    let mut url = Url::parse(base).map_err(|_| bad())?;
    url.path_segments_mut().map_err(|()| bad())?.pop_if_empty().extend(segments);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn a_rate_limit_reset_is_read_as_an_instant_and_as_what_is_left() {
        let now = at("2026-01-02T03:04:05Z");
        assert_eq!(reset(&(now.timestamp() + 90).to_string(), now), Some(Duration::from_secs(90)));
        assert_eq!(reset("0.5", now), Some(Duration::from_millis(500)));
        assert_eq!(reset("NaN", now), None);
    }

    #[test]
    fn the_upstreams_own_words_are_found_shortened_and_kept_on_one_line() {
        let github = br#"{"message":"Validation Failed","errors":[{"message":"Hook already exists on this repository"}]}"#;
        assert_eq!(said(github), "Validation Failed: Hook already exists on this repository");
        assert_eq!(said(br#"{"errors":[{"status":"404","title":"not found"}]}"#), "not found");
        assert_eq!(said(b"no\n healthy upstream"), "no healthy upstream");
        assert_eq!(said("é".repeat(1_000).as_bytes()).chars().count(), MAX_SAID + 1);
    }

    #[test]
    fn a_name_cannot_climb_out_of_its_segment() {
        let url = url("http://127.0.0.1:1/github/", &["repos", "a/../b", "x"], "github.tree").expect("a URL");
        assert_eq!(url.as_str(), "http://127.0.0.1:1/github/repos/a%2F..%2Fb/x");
        assert!(super::url("not a url", &[], "github.tree").is_err());
    }
}
