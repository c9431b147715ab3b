//! Holding a lease while something runs, and writing under it.

use std::{future::Future, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;

use super::{LetGo, RENEWALS_PER_LEASE, Worker};
use crate::{
    clock,
    domain::fault::{Fault, FaultClass},
    engine::store::{Conflict, Lease, Recorded, StepRecord, StoreError},
};

impl Worker {
    /// Runs `step` for at most `timeout` while the lease is renewed. A panic inside is a fault of the step.
    pub(super) async fn hold<T>(
        &self,
        lease: &Lease,
        timeout: Duration,
        step: impl Future<Output = Result<T, Fault>>,
    ) -> Result<Result<T, Fault>, LetGo> {
        let bounded = async {
            match tokio::time::timeout(timeout, AssertUnwindSafe(step).catch_unwind()).await {
                Ok(Ok(result)) => result,
                Ok(Err(panic)) => Err(panicked("the step", &*panic)),
                Err(_) => Err(Fault::new(
                    FaultClass::Timeout,
                    format!("the step was stopped after its {:.1} s", timeout.as_secs_f64()),
                )),
            }
        };
        tokio::select! {
            biased;
            result = bounded => Ok(result),
            lost = self.keep(lease) => Err(lost),
        }
    }

    /// Renews the lease for ever; answers only when it is lost.
    async fn keep(&self, lease: &Lease) -> LetGo {
        let mut renewed = clock::instant();
        loop {
            clock::sleep(self.config.lease / RENEWALS_PER_LEASE).await;
            match self.store.renew(std::slice::from_ref(lease), self.config.lease).await {
                Ok(lost) if lost.is_empty() => renewed = clock::instant(),
                Ok(_) => return LetGo::Fenced,
                Err(error) if clock::instant().saturating_duration_since(renewed) >= self.config.lease => {
                    return LetGo::Store(error);
                }
                Err(error) => tracing::warn!(%error, "lease not renewed yet"),
            }
        }
    }

    /// Records under the lease; a busy database is asked again for as long as the lease lasts, and once more after it:
    /// by then it is known whether somebody took over.
    pub(super) async fn record(&self, record: &StepRecord) -> Result<Result<Recorded, Conflict>, LetGo> {
        let began = clock::instant();
        loop {
            let last = clock::instant().saturating_duration_since(began) >= self.config.lease;
            let error = match self.store.record(std::slice::from_ref(record), self.config.lease).await {
                Ok(mut answers) => {
                    return Ok(answers.pop().expect("one record is answered once"));
                }
                Err(error) => error,
            };
            // After an unknown outcome the record is asked again: if it did happen, the lease moved on and fences it.
            let again = matches!(
                error,
                StoreError::Busy { .. }
                    | StoreError::Full { .. }
                    | StoreError::ReadOnly
                    | StoreError::Unreachable { .. }
                    | StoreError::Barred { .. }
                    | StoreError::UnknownOutcome { .. }
            );
            if !again || last {
                return Err(error.into());
            }
            tracing::warn!(%error, "not recorded yet");
            clock::sleep(self.config.poll.min(Duration::from_millis(250))).await;
        }
    }
}

/// A definition's panic is a fault of its state.
pub(super) fn panicked(what: &str, panic: &(dyn std::any::Any + Send)) -> Fault {
    let said =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Fault::new(FaultClass::Unknown, format!("{what} panicked: {}", said.unwrap_or("no message")))
}
