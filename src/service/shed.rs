//! Load shedding: a trigger that would only wait is turned away at once, and told when to come back. What was taken is durable, so what matters is how long it would wait, not how much there is.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{IdempotencyLayer, Problem, Service};
use crate::{config, engine::backlog::Backlog, resilience::bulkhead::Bulkhead};

/// Nobody is told to come back later than this: the workers may have caught up long before.
const LONGEST_TOLD: Duration = Duration::from_secs(120);

/// When the intake turns triggers away.
#[derive(Debug)]
pub struct Shedding {
    places: Bulkhead,
    longest_wait: Duration,
    backlog: Arc<Backlog>,
}

impl Shedding {
    /// As `intake` says, by what `backlog` tells.
    pub fn new(intake: &config::Intake, backlog: Arc<Backlog>) -> Self {
        Self { places: Bulkhead::new(intake.concurrency), longest_wait: intake.longest_wait, backlog }
    }
}

/// Lets a trigger pass while there is a place and the workers are not too far behind. A place is taken once the whole
/// request is there: nobody keeps others out by sending slowly.
pub(super) async fn shed(
    State((service, keys)): State<(Arc<Service>, IdempotencyLayer)>,
    request: Request,
    next: Next,
) -> Response {
    let Shedding { places, longest_wait, backlog } = &service.shedding;
    let late = backlog.late();
    if late > *longest_wait {
        let detail = format!(
            "the workers are behind: due work has waited for {} s, and what is taken now would wait longer",
            late.as_secs()
        );
        let mut response = turned_away(&service, detail, late.min(LONGEST_TOLD));
        // Nothing of the body was read: the connection cannot carry another request.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return response;
    }
    let (head, body) = request.into_parts();
    let body = match keys.arrived(&head, body).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let Some(_place) = places.enter() else {
        let detail = format!("as many triggers as may be are being answered at once: {}", places.places());
        return turned_away(&service, detail, Duration::from_secs(1));
    };
    next.run(Request::from_parts(head, Body::from(body))).await
}

fn turned_away(service: &Service, detail: String, wait: Duration) -> Response {
    service.observer.shed();
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(wait.as_secs()).into_response()
}
