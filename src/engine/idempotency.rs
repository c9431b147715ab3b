//! Doing a thing once under a key: begin, run, then store the response or set the key free.

use std::{future::Future, time::Duration};

use super::{
    observer::{KeyOutcome, Observer},
    store::{KeyBegun, KeyIntent, KeyStore, StoreError},
};

/// A response as it is stored and replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// HTTP status.
    pub code: u16,
    /// The body, byte for byte.
    pub body: Vec<u8>,
    /// It is the answer of an earlier call.
    pub replayed: bool,
}

/// What the work under a key came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Worked {
    /// Store this and replay it from now on.
    Keep(u16, Vec<u8>),
    /// Answer this and set the key free: the next call runs again.
    Forget(u16, Vec<u8>),
}

/// Why nothing was run.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Held {
    /// Somebody is working under the key.
    #[error("a request with this idempotency key is being worked on{}", wait(*.retry_after))]
    InFlight {
        /// How long its lease still runs; `None` where it has none.
        retry_after: Option<Duration>,
    },
    /// The key belongs to another request.
    #[error("this idempotency key was used for another request: send a new key")]
    Mismatch,
    /// The store does not answer; nothing was run.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn wait(retry_after: Option<Duration>) -> String {
    retry_after.map_or_else(String::new, |after| format!(": try again in {} s", after.as_secs().max(1)))
}

/// Runs `work` unless `key` says it was done or is being done.
///
/// # Errors
/// [`Held`]; `work` was not run then.
pub async fn once<F>(
    keys: &dyn KeyStore,
    observer: &dyn Observer,
    key: &KeyIntent,
    owner: &str,
    lease: Duration,
    work: F,
) -> Result<Response, Held>
where
    F: Future<Output = Worked>,
{
    let asked = |outcome| observer.key_asked(&key.operation, outcome);
    let begun = keys.begin(key, owner, lease).await.inspect_err(|_| asked(KeyOutcome::Error))?;
    let held = match begun {
        KeyBegun::Fresh(held) => {
            asked(KeyOutcome::New);
            held
        }
        KeyBegun::TakenOver(held) => {
            asked(KeyOutcome::Recovered);
            held
        }
        KeyBegun::Replay { code, body } => {
            asked(KeyOutcome::Replayed);
            return Ok(Response { code, body, replayed: true });
        }
        KeyBegun::InFlight { retry_after } => {
            asked(KeyOutcome::InProgress);
            return Err(Held::InFlight { retry_after });
        }
        KeyBegun::Mismatch => {
            asked(KeyOutcome::Mismatch);
            return Err(Held::Mismatch);
        }
    };
    let (code, body, stored) = match work.await {
        Worked::Keep(code, body) => {
            let stored = keys.complete(&key.key, &held, code, &body).await;
            (code, body, stored)
        }
        Worked::Forget(code, body) => {
            let stored = keys.free(&key.key, &held).await;
            (code, body, stored)
        }
    };
    match stored {
        Ok(true) => {}
        Ok(false) => observer.lease_lost(),
        // The work is done and its answer is true; the key's lease runs out and the next call runs again.
        Err(error) => {
            observer.storage_failed(key.key.as_str());
            tracing::error!(%error, "the response could not be stored under its key");
        }
    }
    Ok(Response { code, body, replayed: false })
}
