//! Signs of health: alive is whoever answers, ready is whose database can be worked with.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use tokio::sync::Mutex;

use super::Problem;
use crate::{clock, engine::reader::Reader};

/// The database is asked at most this often, however many ask.
const KEPT: Duration = Duration::from_secs(1);
/// The longest it may take to answer: whoever probes waits no longer than a second.
const PATIENCE: Duration = Duration::from_millis(900);

/// Whether the database answers, and when that was found out.
pub(super) struct Readiness {
    reader: Arc<dyn Reader>,
    /// Held while the database is asked, so that one asks for all.
    found: Mutex<Option<(std::time::Instant, Result<(), String>)>>,
}

impl Readiness {
    pub(super) fn new(reader: Arc<dyn Reader>) -> Self {
        Self { reader, found: Mutex::new(None) }
    }

    async fn now(&self) -> Result<(), String> {
        let mut found = self.found.lock().await;
        if let Some((at, ready)) = &*found
            && clock::instant().saturating_duration_since(*at) < KEPT
        {
            return ready.clone();
        }
        let ready = match tokio::time::timeout(PATIENCE, self.reader.ping()).await {
            Ok(answered) => answered.map_err(|error| error.to_string()),
            Err(_) => Err("the database does not answer within a second".to_owned()),
        };
        *found = Some((clock::instant(), ready.clone()));
        ready
    }
}

pub(super) async fn livez() -> &'static str {
    "ok\n"
}

pub(super) async fn readyz(State(readiness): State<Arc<Readiness>>) -> Response {
    match readiness.now().await {
        Ok(()) => "ok\n".into_response(),
        Err(why) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, why).retry_after(1).into_response(),
    }
}
