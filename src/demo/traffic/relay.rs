//! A service that only hands requests on, as a caller of the next one: a load balancer.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    caller::{Caller, post as send},
    export,
};

/// Hands every request on to `url`, the first operation of `caller`, in the name of the same person; answers where it
/// listens.
///
/// # Errors
/// When there is no port.
pub(crate) async fn relay(
    caller: Arc<Caller>,
    url: String,
    tracker: &TaskTracker,
    cancel: &CancellationToken,
) -> std::io::Result<SocketAddr> {
    let hand_on = move |headers: HeaderMap| {
        let (caller, url) = (Arc::clone(&caller), url.clone());
        async move {
            let person = headers.get("x-person").and_then(|value| value.to_str().ok()).unwrap_or_default();
            match caller.call(0, |_| send(&caller.client, &url, person)).await {
                true => StatusCode::OK,
                false => StatusCode::SERVICE_UNAVAILABLE,
            }
        }
    };
    export::listen(Router::new().fallback(post(hand_on)), tracker, cancel).await
}
