//! Traffic that is no onboarding: services with a capacity, the callers they have, and what both counted.
//!
//! ```text
//!  arrivals ─▶ Caller: a resilience::Policy for each operation ──HTTP──▶ Service: slots, a queue, faults
//!                 └ /metrics, as plain HTTP clients export or as we do   (or a relay, which is a caller itself)
//! ```
//! Every caller is this one module with other values: attempts, backoff, timeout, budget, circuit, roof. The service is
//! the lab's, in real time: it goes on working for callers that have left. None of this knows a scenario.

mod arrivals;
mod caller;
mod export;
mod relay;
mod service;
mod tally;

pub(super) use arrivals::{Arrivals, all_within};
pub(super) use caller::{Caller, Failed, Guarding, Manner, post};
pub(super) use export::{listen, serve};
pub(super) use relay::relay;
pub(super) use service::Service;
pub(super) use tally::Tally;
