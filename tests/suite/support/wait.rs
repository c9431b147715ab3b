//! Waiting for a condition of the outside world, with a limit. Never for time.

use std::time::Duration;

/// Asks again every 20 ms until `condition` answers; panics, naming `what`, once `limit` has passed.
pub(crate) async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> T {
    let asking = async {
        let mut again = tokio::time::interval(Duration::from_millis(20));
        again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            again.tick().await;
            if let Some(answer) = condition().await {
                return answer;
            }
        }
    };
    match tokio::time::timeout(limit, asking).await {
        Ok(answer) => answer,
        Err(_) => panic!("{what}: not so within {limit:?}"),
    }
}
