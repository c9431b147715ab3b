//! Who asks: a program that means this worker, not a page in somebody's browser that found it on loopback.
//!
//! A page can send a form or plain text anywhere without asking first, and a name of its own may lead to 127.0.0.1. So
//! triggers are JSON, which a page may not send elsewhere unasked, what a browser says of the page counts, and on
//! loopback the worker answers only to names of loopback and those it was told.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::Problem;
use crate::domain::text::SafeText;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Lets a request pass that asks a worker on loopback by one of its names; off loopback, where `names` is `None`, any.
pub(super) async fn asked_by_its_name(
    State(names): State<Option<Arc<Vec<String>>>>,
    request: Request,
    next: Next,
) -> Response {
    match names.map_or(Ok(()), |names| is_meant(&request, &names)) {
        Ok(()) => next.run(request).await,
        Err(problem) => refused(problem),
    }
}

fn is_meant(request: &Request, names: &[String]) -> Result<(), Problem> {
    let bad = |detail| Problem::new(StatusCode::BAD_REQUEST, detail);
    let mut sent = request.headers().get_all(header::HOST).iter();
    let host = match (sent.next(), sent.next()) {
        (Some(_), Some(_)) => return Err(bad("more than one Host was sent: send one")),
        (None, _) if request.version() >= Version::HTTP_11 => return Err(bad("no Host was sent: send one")),
        (host, None) | (host @ None, Some(_)) => host,
    };
    let host =
        host.map(|host| Authority::try_from(host.as_bytes()).map_err(|_| bad("the Host cannot be read")));
    for asked in [host.transpose()?.as_ref(), request.uri().authority()].into_iter().flatten() {
        if !is_its_name(asked.host(), names) {
            let detail = format!(
                "this worker does not answer to {}: ask it by a name of loopback, or add the name to allowed_hosts in \
                 [intake] of its config file",
                SafeText::new(asked.host())
            );
            return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail));
        }
    }
    Ok(())
}

fn is_its_name(host: &str, names: &[String]) -> bool {
    let plain = |host: &str| {
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        host.trim_end_matches('.').to_ascii_lowercase()
    };
    let host = plain(host);
    host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        || host == "localhost"
        || host.ends_with(".localhost")
        || names.iter().any(|name| plain(name) == host)
}

/// Lets a request pass that no page of another origin sent.
pub(super) async fn no_web_page(request: Request, next: Next) -> Response {
    if is_foreign(request.headers()) {
        let detail = "a web page of another origin asks: this service is for programs";
        return refused(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    next.run(request).await
}

fn is_foreign(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let is_own = |origin: &HeaderValue| {
        let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        origin.is_some_and(|(_, origin)| host.is_some_and(|host| origin.eq_ignore_ascii_case(host)))
    };
    let is_near = |site: &HeaderValue| [b"same-origin".as_slice(), b"none"].contains(&site.as_bytes());
    !headers.get_all(header::ORIGIN).iter().all(is_own)
        || !headers.get_all(SEC_FETCH_SITE).iter().all(is_near)
}

/// Lets a request pass whose body is said to be JSON.
pub(super) async fn json(request: Request, next: Next) -> Response {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    if !essence.trim().eq_ignore_ascii_case("application/json") {
        let detail = "send JSON, and say so: Content-Type: application/json";
        return refused(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    next.run(request).await
}

/// Nothing of the body was read: the connection cannot carry another request.
fn refused(problem: Problem) -> Response {
    let mut response = problem.into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
