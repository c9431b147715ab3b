//! An engine over a world: reads answer from it, every action is accepted and changes nothing.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use redrive::{
    clock,
    domain::{
        action::ActionKind,
        id::{KeyId, StateName, WorkerId},
    },
    engine::{
        Access, Engine,
        command::{Command, Receipt, Refusal, Submission, TargetOutcome},
        key::{Hold, KeyBegun, KeyEnd, KeyIntent, KeyStore},
        lock::{LockStore, Locked},
        plan::{OnboardingStanding, Standing},
        reader::{Board, Query, Reader},
        runs::Runs,
        store::{
            Claimed, Conflict, Gauges, Heartbeat, Lease, Opening, Recorded, Steering, StepRecord, Store,
            StoreError,
        },
    },
};

use super::worlds::World;

/// The engine of `world`.
pub(crate) fn over(world: World, access: Access) -> Engine {
    let fake = Arc::new(Fake(world));
    Engine::new(fake.clone(), fake, access)
}

struct Fake(World);

#[async_trait]
impl Reader for Fake {
    async fn read(&self, query: &Query) -> Result<Board, StoreError> {
        Ok(self.0.picture(query).board.as_deref().cloned().expect("this world has a board"))
    }

    async fn standing(&self, command: &Command) -> Result<Standing, StoreError> {
        assert!(command.kind() != ActionKind::RollBack, "asked for by a test: a task that panics");
        let standing = |row: &redrive::engine::reader::OnboardingRow| OnboardingStanding {
            id: row.id.clone(),
            label: row.repo_url.clone(),
            version: row.version,
            status: row.status,
            phase: row.phase,
            state: row.current_state.clone(),
            leased: None,
            roll_back_asked: false,
            superseded_by: None,
            last_action: None,
            compensations: Vec::new(),
            entities: 0,
        };
        Ok(Standing { onboardings: self.0.onboardings.iter().map(standing).collect(), ..Standing::default() })
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn label(&self) -> String {
        "a world".to_owned()
    }
}

#[async_trait]
impl KeyStore for Fake {
    async fn begin(&self, _: &KeyIntent, _: &Hold) -> Result<KeyBegun, StoreError> {
        unreachable!("the screen begins nothing under a key")
    }
    async fn keep(&self, _: &KeyId, _: &Hold) -> Result<bool, StoreError> {
        unreachable!("the screen holds no key")
    }
    async fn end(&self, _: &KeyId, _: &Hold, _: &KeyEnd) -> Result<bool, StoreError> {
        unreachable!("the screen holds no key")
    }
    async fn sweep(&self, _: u32) -> Result<u64, StoreError> {
        unreachable!("the screen forgets nothing")
    }
}

#[async_trait]
impl LockStore for Fake {
    async fn lock(&self, _: &str, _: &str, _: Duration) -> Result<Locked, StoreError> {
        unreachable!("the screen locks nothing")
    }
    async fn unlock(&self, _: &str, _: &str) -> Result<bool, StoreError> {
        unreachable!("the screen locks nothing")
    }
}

#[async_trait]
impl Store for Fake {
    async fn act(&self, submission: &Submission) -> Result<Receipt, Refusal> {
        let Command::Resume { onboardings, .. } = &submission.command else { return Err(Refusal::NoTargets) };
        Ok(Receipt {
            action: submission.action.clone(),
            kind: submission.command.kind(),
            at: clock::now(),
            outcomes: onboardings
                .iter()
                .map(|t| TargetOutcome { id: t.id.0.clone(), left_out: None })
                .collect(),
            replay: None,
            triggered: None,
            revealed: None,
            repeated: false,
        })
    }

    async fn claim(&self, _: &WorkerId, _: &Runs, _: usize, _: Duration) -> Result<Vec<Claimed>, StoreError> {
        unreachable!("a dashboard claims nothing")
    }

    async fn open(&self, _: &Lease, _: &StateName, _: &Opening) -> Result<Result<(), Conflict>, StoreError> {
        unreachable!("a dashboard opens nothing")
    }

    async fn record(
        &self,
        _: &[StepRecord],
        _: Duration,
    ) -> Result<Vec<Result<Recorded, Conflict>>, StoreError> {
        unreachable!("a dashboard records nothing")
    }

    async fn pace_replays(&self) -> Result<u64, StoreError> {
        unreachable!("a dashboard moves nothing on")
    }
    async fn clean_up(&self) -> Result<u64, StoreError> {
        unreachable!("a dashboard moves nothing on")
    }
    async fn regroup(&self) -> Result<u64, StoreError> {
        unreachable!("a dashboard moves nothing on")
    }

    async fn renew(&self, _: &[Lease], _: Duration) -> Result<Vec<Lease>, StoreError> {
        unreachable!("a dashboard holds nothing")
    }

    async fn beat(&self, _: &Heartbeat) -> Result<(), StoreError> {
        unreachable!("a dashboard is no worker")
    }

    async fn steering(&self) -> Result<Vec<Steering>, StoreError> {
        unreachable!("a dashboard is no worker")
    }

    async fn leave(&self, _: &WorkerId) -> Result<(), StoreError> {
        unreachable!("a dashboard is no worker")
    }

    async fn next_due(&self, _: &Runs) -> Result<Option<chrono::TimeDelta>, StoreError> {
        unreachable!("a dashboard is no worker")
    }

    async fn wait(&self, _: Duration) {}

    async fn gauges(&self) -> Result<Gauges, StoreError> {
        Ok(Gauges::default())
    }

    async fn close(&self) {}
}
