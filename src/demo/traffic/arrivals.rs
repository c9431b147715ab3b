//! When calls are made.

use std::{future::Future, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::clock::{self, Random};

/// How much one gap between calls may differ from the mean, as a share of it: little, so that what is counted in a
/// short window is not luck.
const SPREAD: f64 = 0.2;

/// Calls at a steady rate, whatever becomes of those before: people do not wait for each other.
pub(crate) struct Arrivals {
    /// The mean gap, in real time.
    pub(crate) every: Duration,
    /// Spreads the gaps.
    pub(crate) random: Random,
}

impl Arrivals {
    /// Makes `call` again and again, each in a task of its own, until `cancel`.
    pub(crate) fn start<F>(
        mut self,
        tracker: &TaskTracker,
        cancel: &CancellationToken,
        call: impl Fn() -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let (calls, cancelled) = (tracker.clone(), cancel.clone());
        tracker.spawn(async move {
            let arriving = async {
                // By a schedule: a process that was held up makes up for it, and the rate stays.
                let mut next = clock::instant();
                loop {
                    let (call, cancelled) = (call(), cancelled.clone());
                    calls.spawn(async move { cancelled.run_until_cancelled(call).await });
                    next += self.every.mul_f64(1.0 - SPREAD + 2.0 * SPREAD * self.random.unit());
                    clock::sleep(next.saturating_duration_since(clock::instant())).await;
                }
            };
            cancelled.run_until_cancelled(arriving).await;
        });
    }
}

/// Makes each of `calls` once, all within `within`, and waits for none.
pub(crate) fn all_within<F: Future<Output = ()> + Send + 'static>(
    within: Duration,
    mut random: Random,
    tracker: &TaskTracker,
    cancel: &CancellationToken,
    calls: impl IntoIterator<Item = F>,
) {
    for call in calls {
        let (after, cancelled) = (within.mul_f64(random.unit()), cancel.clone());
        tracker.spawn(async move {
            let late = async {
                clock::sleep(after).await;
                call.await;
            };
            cancelled.run_until_cancelled(late).await;
        });
    }
}
