//! The nine-state pipeline that onboards a business unit's infrastructure repository into a software catalog.
//!
//! ```text
//! VALIDATING        github::repository, tfc::workspace   do they exist, may we see them
//! DISCOVERING       tree, tfc::resources                 what is in them
//! EXTRACTING        github::contents, derive::extract    the few files that matter, as facts
//! GENERATING        derive::generate                     facts → entities and relationships
//! REGISTERING       (the catalog's tables)               all in one transaction
//! CONFIGURING_SYNC  tfc, github                          create or get the notification and the hook
//! NOTIFYING         notify                               tell somebody
//! ```
//! One file per upstream client; `derive` is pure. Clients never try again: retries, circuits and compensations are
//! the engine's.

mod call;
pub mod context;
pub mod derive;
pub mod github;
pub mod hook;
mod jsonapi;
pub mod made;
pub mod notify;
pub mod pipeline;
pub mod tfc;
pub mod tree;
pub mod upstreams;

pub use self::{call::IDEMPOTENCY_KEY, pipeline::Pipeline, upstreams::Clients};
