//! A response as it is stored, and the stored answer as a response again.

use axum::{
    body::{Body, Bytes, HttpBody as _},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, response},
    response::Response,
};
use futures_util::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, BodyStream, StreamBody};
use serde::de::IgnoredAny;

use crate::engine::key::Answer;

/// Marks a response that is no first answer.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What a response says about its body, and where the thing it made can be found.
pub(super) const STORED: [HeaderName; 9] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_DISPOSITION,
    header::CONTENT_LOCATION,
    header::LOCATION,
    header::LINK,
    header::ETAG,
    header::LAST_MODIFIED,
];

/// Whether a header may be stored at all: no cookie, which belongs to whoever asked first, and nothing that belongs to
/// one connection or one message.
pub(super) fn storable(name: &HeaderName) -> bool {
    const CONNECTION: [&str; 5] =
        ["keep-alive", "proxy-connection", "proxy-authenticate", "te", "set-cookie2"];
    ![
        header::SET_COOKIE,
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::CONTENT_LENGTH,
        header::TRAILER,
        header::UPGRADE,
        header::DATE,
    ]
    .contains(name)
        && !CONNECTION.contains(&name.as_str())
}

/// A response's body, as far as it was read.
pub(super) enum Read {
    /// All of it.
    Whole(Bytes),
    /// More than is stored, without an end, or with trailers: still to be sent, nothing is missing.
    Flowing(Body),
    /// It broke off.
    Broken(axum::Error),
}

/// Reads a response's body if it may be stored: at most `cap` bytes.
pub(super) async fn read(head: &response::Parts, mut body: Body, cap: usize) -> Read {
    let endless = head.headers.get(header::CONTENT_TYPE);
    let endless = endless.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    if endless || usize::try_from(body.size_hint().lower()).map_or(true, |least| least > cap) {
        return Read::Flowing(body);
    }
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => return Read::Broken(error),
        };
        match frame.data_ref() {
            Some(data) if read.len() + data.len() <= cap => read.extend_from_slice(data),
            _ => {
                let flow = BodyStream::new(Body::from(read)).chain(stream::iter([Ok(frame)]));
                return Read::Flowing(Body::new(StreamBody::new(flow.chain(BodyStream::new(body)))));
            }
        }
    }
    Read::Whole(read.into())
}

/// What is stored of a response: its status, those of its headers that are `chosen`, its body.
pub(super) fn stored(head: &response::Parts, chosen: &[HeaderName], body: &Bytes) -> Answer {
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        let value = String::from_utf8(value.as_bytes().to_vec()).ok()?;
        chosen.contains(name).then(|| (name.as_str().to_owned(), value))
    };
    Answer {
        code: head.status.as_u16(),
        headers: head.headers.iter().filter_map(text).collect(),
        body: body.to_vec(),
    }
}

/// The stored answer as it was sent the first time, marked.
pub(super) fn replayed(answer: Answer) -> Response {
    let mut headers = HeaderMap::new();
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value.as_bytes())) {
            headers.append(name, value);
        }
    }
    // Others store the body alone, and theirs is JSON.
    if headers.is_empty() && serde_json::from_slice::<IgnoredAny>(&answer.body).is_ok() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.code).unwrap_or(StatusCode::OK);
    *response.headers_mut() = headers;
    marked(response)
}

/// The same, marked as no first answer.
pub(super) fn marked(mut response: Response) -> Response {
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
