//! The service-wide roof over all operations' retries.
//!
//! A part of what it allows is kept for the operations by their weight, so that a heavy one that fails cannot take
//! what a light one needs; the rest is whoever's comes first. An operation's retries come out of its own part first, and
//! only what is beyond that out of the common one, so that all together stay within what is allowed. Only when traffic
//! falls may what was granted before exceed it; the parts that are kept are granted even then.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Instant,
};

use super::{ledger::Ledger, policy::RoofPolicy};

/// The roof that budgets stand under.
#[derive(Debug)]
pub struct Roof {
    policy: RoofPolicy,
    /// Held while a retry is decided: under one roof they are decided one after the other.
    members: Mutex<Vec<Weak<Member>>>,
}

/// One operation under a roof, or under none.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) ledger: Ledger,
    pub(super) weight: f64,
}

impl Roof {
    /// A roof over nothing yet.
    pub fn new(policy: RoofPolicy) -> Arc<Self> {
        Arc::new(Self { policy, members: Mutex::default() })
    }

    /// What it follows.
    pub fn policy(&self) -> &RoofPolicy {
        &self.policy
    }

    pub(super) fn add(&self, member: &Arc<Member>) {
        let mut members = self.lock();
        members.retain(|member| member.strong_count() > 0);
        members.push(Arc::downgrade(member));
    }

    /// Lets `take` decide about a retry of `member`, and then decides whether there is room for it.
    pub(super) fn withdraw<E>(
        &self,
        member: &Arc<Member>,
        now: Instant,
        take: impl FnOnce() -> Result<(), E>,
    ) -> Result<bool, E> {
        let members = self.lock();
        take()?;
        let present: Vec<Arc<Member>> = members.iter().filter_map(Weak::upgrade).collect();
        let shares: Vec<Share> = present
            .iter()
            .map(|other| {
                let total = other.ledger.total(now);
                Share {
                    first: total.first as f64,
                    retries: total.retries as f64,
                    weight: other.weight,
                    asks: Arc::ptr_eq(other, member),
                }
            })
            .collect();
        Ok(fits(&self.policy, &shares))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Member>>> {
        // A panic under this lock leaves a list of members behind, which is still good.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one operation did in the window; of the one that asks, with the retry it asks for.
struct Share {
    first: f64,
    retries: f64,
    weight: f64,
    asks: bool,
}

fn fits(policy: &RoofPolicy, shares: &[Share]) -> bool {
    let first: f64 = shares.iter().map(|share| share.first).sum();
    let weights: f64 = shares.iter().map(|share| share.weight).sum();
    let allowed = policy.share * first + policy.floor * policy.window.as_secs_f64();
    // Whole retries only, so that nothing is lost to parts too small for one.
    let kept = |share: &Share| (policy.kept * allowed * share.weight / weights).floor();
    let beyond: f64 = shares.iter().map(|share| (share.retries - kept(share)).max(0.0)).sum();
    let common = allowed - shares.iter().map(kept).sum::<f64>();
    beyond <= common || shares.iter().any(|share| share.asks && share.retries <= kept(share))
}
