//! Load shedding: a trigger that would only wait is turned away at once, before its body is read, and told when to come
//! back. What was taken is durable, so what matters is how long it would wait, not how much there is.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{Problem, Service};
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

/// Lets a trigger pass while there is a place and the workers are not too far behind.
pub(super) async fn shed(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let Shedding { places, longest_wait, backlog } = &service.shedding;
    let late = backlog.late();
    if late > *longest_wait {
        let detail = format!(
            "the workers are behind: due work has waited for {} s, and what is taken now would wait longer",
            late.as_secs()
        );
        return turned_away(&service, detail, late.min(LONGEST_TOLD));
    }
    let Some(_place) = places.enter() else {
        let detail = format!("as many triggers as may be are being answered at once: {}", places.places());
        return turned_away(&service, detail, Duration::from_secs(1));
    };
    next.run(request).await
}

fn turned_away(service: &Service, detail: String, wait: Duration) -> Response {
    service.observer.shed();
    let mut response =
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(wait.as_secs()).into_response();
    // Nothing of the body was read: the connection cannot carry another request.
    response
        .headers_mut()
        .insert(axum::http::header::CONNECTION, axum::http::HeaderValue::from_static("close"));
    response
}
