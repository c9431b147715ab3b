//! The rules, and the only writer. What it knows of a database is the [`store::Store`] trait; of the network, nothing.
//!
//! ```text
//!  Command ──▶ Engine::submit ──▶ Store::act ──▶ work row ──▶ Worker: claim → run → record → … ──▶ terminal phase
//!                  │ preview            (audit row in the same transaction)
//!                  └▶ Plan
//! ```
//! Begin with [`command`] (what can be asked), then [`store`] (what the memory promises), then [`worker`]; [`policies`] is
//! how everything is tried, and [`call`] who obeys them.

pub mod backlog;
mod begin;
pub mod call;
pub mod command;
pub mod decide;
pub mod filter;
pub mod idempotency;
pub mod injection;
pub mod key;
pub mod lock;
pub mod observer;
pub mod order;
pub mod plan;
pub mod policies;
pub mod reader;
pub mod replay;
pub mod reveal;
pub mod runs;
pub mod store;
pub mod sweeper;
pub mod worker;
pub mod workflow;

use std::sync::Arc;

use command::{Command, Receipt, Refusal, Submission};
use plan::Plan;
use reader::Reader;
use store::Store;

/// Whether commands are accepted at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everything.
    ReadWrite,
    /// Only looking and previewing; every command is refused.
    ReadOnly,
}

/// The handle that dashboards, twins and the HTTP intake hold.
#[derive(Clone)]
pub struct Engine {
    store: Arc<dyn Store>,
    reader: Arc<dyn Reader>,
    access: Access,
}

impl Engine {
    /// An engine over `store` and `reader`, which look at the same database.
    pub fn new(store: Arc<dyn Store>, reader: Arc<dyn Reader>, access: Access) -> Self {
        Self { store, reader, access }
    }

    /// The same engine, refusing every command.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self { access: Access::ReadOnly, ..self }
    }

    /// The reading side.
    pub fn reader(&self) -> &Arc<dyn Reader> {
        &self.reader
    }

    /// The writing side's keys, for work that is to be done once.
    pub fn keys(&self) -> Arc<dyn key::KeyStore> {
        self.store.clone()
    }

    /// Whether commands are accepted.
    pub fn access(&self) -> Access {
        self.access
    }

    /// What `command` would do and why not, target by target. Changes nothing; the same judgement is made again
    /// inside the statement that acts.
    ///
    /// # Errors
    /// [`Refusal::Store`] when the database cannot be read.
    pub async fn preview(&self, command: &Command) -> Result<Plan, Refusal> {
        Ok(plan::draw(command, &self.reader.standing(command).await?))
    }

    /// Does what is asked, once: the same `submission.action` again answers the first receipt, marked as repeated.
    ///
    /// # Errors
    /// A typed [`Refusal`]; nothing was changed then, except that [`Refusal::Store`] with an unknown outcome has to
    /// be asked again with the same action.
    pub async fn submit(&self, submission: &Submission) -> Result<Receipt, Refusal> {
        if self.access == Access::ReadOnly {
            return Err(Refusal::ReadOnly);
        }
        submission.command.validate()?;
        self.store.act(submission).await
    }
}
