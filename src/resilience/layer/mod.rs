//! A policy as tower layers, so that one layer of many retries, and the others know.
//!
//! ```text
//!  caller                          this service                                     callee
//!    │  retry-attempt: 2               │                                              │
//!    │  request-timeout-ms: 1500       │                                              │
//!    ├────────────────────▶ CallerLayer ─▶ handler ─▶ RetryLayer ─▶ its client ──────▶│
//!    │                          │   a retry of somebody's is not       │  retry-attempt: 2
//!    │                          │   retried again; no call outlives    │  request-timeout-ms: 900
//!    │                          │   the caller's patience              │              │
//!    │◀─────────────────────────┴──────────────────────────────────────┴──────────────┤
//!    │  x-should-retry: false      once this service has tried again, or was told not to
//! ```
//! - [`RetryLayer`] makes each request as a call of a [`Policy`](super::policy::Policy): all it says holds, and nothing
//!   is tried again elsewhere. [`CircuitLayer`] is the same with one attempt, for clients that retry by themselves or not at all.
//! - [`CallerLayer`] stands around a service's handlers. It reads what the caller says of its call, hands it to the
//!   handler as an extension, and to the layers above through the task: a task that the handler spawns takes it along
//!   with [`Caller::scope`].
//!
//! It stands here, beside the policies, because it names tower's traits and HTTP's types and does no I/O: the same
//! layers go around a client's connection, a service in this process, or a test's closure.

mod caller;
mod header;
mod protocol;
mod service;

pub use caller::{Caller, CallerLayer, Calls};
pub use header::{ATTEMPT, SHOULD_RETRY, TIMEOUT};
pub use protocol::{Http, HttpFault, Plain, Protocol};
pub use service::{Again, Circuit, CircuitLayer, Guarded, Once, PolicyLayer, Retry, RetryLayer};
