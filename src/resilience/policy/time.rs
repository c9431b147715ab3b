//! Time as a policy lives in it: handed in, so that a test or a simulation can run it as it likes.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};

use crate::clock;

/// The time, and waiting for it to pass.
pub trait Time: Send + Sync {
    /// The time now.
    fn now(&self) -> Instant;

    /// The time now, a few milliseconds late at most; may be much cheaper to tell.
    fn about_now(&self) -> Instant {
        self.now()
    }

    /// Waits for `duration`.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}

/// The machine's own time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Real;

impl Time for Real {
    fn now(&self) -> Instant {
        clock::instant()
    }

    fn about_now(&self) -> Instant {
        clock::coarse_instant()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send {
        clock::sleep(duration)
    }
}

/// What `call` answers, or `None` when it does not within `limit`.
///
/// A call that answers at once costs no timer: `call` is polled before one is made.
pub(super) async fn within<F: Future>(time: &impl Time, limit: Duration, call: F) -> Option<F::Output> {
    let mut call = pin!(call);
    if let Poll::Ready(answer) = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await {
        return Some(answer);
    }
    let mut over = pin!(time.sleep(limit));
    poll_fn(|cx| match call.as_mut().poll(cx) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending => over.as_mut().poll(cx).map(|()| None),
    })
    .await
}
