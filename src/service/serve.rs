//! The serve loop: HTTP/1 alone, heads that arrive in time, and no request that two servers would cut in two ways.

use std::{
    convert::Infallible,
    future::Future,
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Router,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    serve::Listener,
};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tower::ServiceExt as _;

use super::Problem;

/// The longest head of a request, in bytes.
const LONGEST_HEAD: usize = 64 * 1_024;

/// Serves until `shutdown`, then until the requests in hand are answered; dropped, it cuts them off.
pub(super) async fn serve(
    mut listener: TcpListener,
    router: Router,
    header_timeout: Duration,
    shutdown: impl Future<Output = ()>,
) {
    let (graceful, mut connections, mut shutdown) = (GracefulShutdown::new(), JoinSet::new(), pin!(shutdown));
    loop {
        let stream = tokio::select! {
            () = &mut shutdown => break,
            (stream, _) = Listener::accept(&mut listener) => stream,
            Some(_) = connections.join_next() => continue,
        };
        let doubtful = Arc::new(AtomicBool::new(false));
        let stream = Watched { stream, framing: Framing::default(), doubtful: Arc::clone(&doubtful) };
        let router = router.clone();
        let service = service_fn(move |request| answer(router.clone(), Arc::clone(&doubtful), request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(header_timeout)
            .max_buf_size(LONGEST_HEAD)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn answer(
    router: Router,
    doubtful: Arc<AtomicBool>,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    let chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
    let mut response = if chunked && doubtful.load(Ordering::Acquire) {
        let detail = "the body has a Content-Length and a Transfer-Encoding, so that it could end in two places: send one";
        Problem::new(StatusCode::BAD_REQUEST, detail).into_response()
    } else {
        router.oneshot(request).await?
    };
    if chunked {
        // Where the next head begins is not followed.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// A connection whose heads are looked at as they arrive: hyper drops a Content-Length beside a Transfer-Encoding and
/// tells nobody.
struct Watched {
    stream: TcpStream,
    framing: Framing,
    /// A head said both.
    doubtful: Arc<AtomicBool>,
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let watched = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut watched.stream).poll_read(cx, buf))?;
        if watched.framing.sees_both(&buf.filled()[before..]) {
            watched.doubtful.store(true, Ordering::Release);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Which bytes of a connection are heads.
#[derive(Debug, PartialEq, Eq)]
enum Framing {
    /// This much of one is there.
    Head(Vec<u8>),
    /// So many bytes of a body are still to come.
    Body(u64),
    /// The connection ends with the request in hand.
    Last,
}

impl Default for Framing {
    fn default() -> Self {
        Self::Head(Vec::new())
    }
}

impl Framing {
    /// Whether a head that ends in these bytes has both a Content-Length and a Transfer-Encoding.
    fn sees_both(&mut self, mut bytes: &[u8]) -> bool {
        while let Some((byte, rest)) = bytes.split_first() {
            match self {
                Self::Head(head) => {
                    bytes = rest;
                    // Empty lines before a head count for nothing.
                    if !head.is_empty() || !matches!(byte, b'\r' | b'\n') {
                        head.push(*byte);
                    }
                    if head.ends_with(b"\n\r\n") || head.ends_with(b"\n\n") {
                        let (length, chunked) = said(head);
                        *self = match length {
                            _ if chunked => Self::Last,
                            None => Self::default(),
                            // What is no number is refused by hyper.
                            Some(length) => length.map_or(Self::Last, Self::Body),
                        };
                        if chunked && length.is_some() {
                            return true;
                        }
                    }
                }
                Self::Body(0) => *self = Self::default(),
                Self::Body(left) => {
                    let skipped = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= skipped as u64;
                    bytes = &bytes[skipped..];
                }
                Self::Last => return false,
            }
        }
        false
    }
}

/// What a head says of its body: how long it is, if it says so, and whether it is sent in another way.
fn said(head: &[u8]) -> (Option<Option<u64>>, bool) {
    let (mut length, mut chunked) = (None, false);
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            length = Some(std::str::from_utf8(value).ok().and_then(|value| value.parse().ok()));
        }
        chunked |= name.eq_ignore_ascii_case(b"transfer-encoding");
    }
    (length, chunked)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &str = "POST / HTTP/1.1\r\ncontent-LENGTH: 3\r\nTransfer-Encoding: chunked\r\n\r\n";

    fn sees_both(bytes: &str, at_once: usize) -> bool {
        let mut framing = Framing::default();
        bytes.as_bytes().chunks(at_once).any(|bytes| framing.sees_both(bytes))
    }

    #[test]
    fn two_lengths_are_seen_however_the_bytes_arrive_and_only_in_heads() {
        let swapped = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n";
        let get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let long = format!("POST / HTTP/1.1\nContent-Length: {}\n\n{BOTH}", BOTH.len());
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        for (bytes, both) in [
            (BOTH.to_owned(), true),
            (swapped.to_owned(), true),
            (format!("\r\n{get}{get}{BOTH}"), true),
            (long.clone(), false),
            (format!("{long}{get}{BOTH}"), true),
            (format!("{chunked}{BOTH}"), false),
            (get.to_owned(), false),
        ] {
            for at_once in [1, 2, 7, bytes.len()] {
                assert_eq!(sees_both(&bytes, at_once), both, "{bytes:?}, {at_once} at once");
            }
        }
    }
}
