//! A circuit that many threads ask at once.
//!
//! A closed circuit whose window holds nothing but quick successes needs no lock: asking reads one word that all
//! threads share, and a success adds to a word of its thread's own. Everything else, the first failure above all,
//! takes the lock, reads what was added meanwhile, and then decides as the machine would on one thread.
//!
//! A thread's word is `era << 32 | successes`. Era 0 means: take the lock. Because both halves change together, a
//! success can never be counted in an era that is over. The tests mount this file a second time over loom's types.

use std::time::{Duration, Instant};

use super::{
    Refusal, Refused,
    force::Force,
    machine::{Machine, Standing},
    policy::CircuitPolicy,
    slices::nanos,
    stripe::Striped,
    sync::{AtomicU64, Mutex, MutexGuard, Ordering},
    window::{Counts, Window},
};
use crate::domain::circuit::{CircuitState, Forced};

/// One operation's circuit, as computed by one process from its own calls, and what an operator forced on it.
#[derive(Debug)]
pub struct Circuit {
    policy: CircuitPolicy,
    origin: Instant,
    /// The era of a closed circuit that nobody forced; 0: take the lock.
    gate: AtomicU64,
    /// Until when a quick success needs no lock, in nanoseconds from the origin.
    timeless_until: AtomicU64,
    /// More quick successes than this say nothing new.
    enough: u32,
    unread: Striped,
    locked: Mutex<Locked>,
}

#[derive(Debug)]
struct Locked {
    machine: Machine,
    force: Option<Force>,
    /// Whether threads may add to their words.
    adding: bool,
}

/// The leave to make one call. Report how it ended; dropped instead, it says nothing and its place is free again.
#[must_use = "a permit that is dropped gives its place back"]
#[derive(Debug)]
pub struct Permit<'a> {
    circuit: &'a Circuit,
    /// 0: nothing is computed from this call.
    era: u32,
}

impl Circuit {
    /// A closed circuit; no `now` handed in later may be earlier than this one.
    pub fn new(policy: CircuitPolicy, now: Instant) -> Self {
        let locked = Locked { machine: Machine::new(policy, now), force: None, adding: false };
        let circuit = Self {
            policy,
            origin: now,
            gate: AtomicU64::new(0),
            timeless_until: AtomicU64::new(0),
            enough: match policy.window {
                Window::Calls(calls) => calls.max(1),
                Window::Time(_) => u32::MAX,
            },
            unread: Striped::new(),
            locked: Mutex::new(locked),
        };
        circuit.publish(&mut circuit.lock());
        circuit
    }

    /// What it follows.
    pub fn policy(&self) -> &CircuitPolicy {
        &self.policy
    }

    /// Whether it matters how long successes take and when they end: without, any time may be handed in for them. Of
    /// a failure it always matters.
    pub fn is_timed(&self) -> bool {
        self.policy.slow.is_some() || matches!(self.policy.window, Window::Time(_))
    }

    /// Asks to make a call at `now`.
    ///
    /// # Errors
    /// Why not, and how long to wait before asking again.
    #[inline]
    pub fn ask(&self, now: Instant) -> Result<Permit<'_>, Refused> {
        match self.gate.load(Ordering::Acquire) {
            0 => self.ask_locked(now),
            era => Ok(Permit { circuit: self, era: era as u32 }),
        }
    }

    /// Sets what an operator decided, or takes it back.
    pub fn force(&self, force: Option<Force>) {
        let mut locked = self.lock();
        locked.force = force;
        self.publish(&mut locked);
    }

    /// What is forced at `now`.
    pub fn forced(&self, now: Instant) -> Option<Force> {
        self.lock().force.clone().filter(|force| force.holds(now))
    }

    /// How the computed state stands at `now`, whatever is forced. Looking changes nothing.
    pub fn standing(&self, now: Instant) -> Standing {
        let locked = self.lock();
        let era = u64::from(locked.machine.era());
        let words = self.unread.all().map(|word| word.load(Ordering::Acquire));
        let unread =
            words.filter(|word| word >> 32 == era).fold(0_u32, |sum, w| sum.saturating_add(w as u32));
        locked.machine.standing(unread, now)
    }

    #[cold]
    fn ask_locked(&self, now: Instant) -> Result<Permit<'_>, Refused> {
        let mut locked = self.lock();
        if locked.force.as_ref().is_some_and(|force| !force.holds(now)) {
            locked.force = None;
        }
        let forced = locked.force.as_ref().map(|force| (force.to, force.left(now, self.policy.open_for)));
        let answer = match forced {
            Some((Forced::Open, wait)) => Err(Refused { why: Refusal::Forced, wait }),
            Some((Forced::Disabled, _)) => Ok(Permit { circuit: self, era: 0 }),
            Some((Forced::Closed, _)) => {
                // What it would refuse passes all the same, and is not computed.
                Ok(Permit { circuit: self, era: locked.machine.ask(now).unwrap_or(0) })
            }
            None => match locked.machine.ask(now) {
                Ok(era) => Ok(Permit { circuit: self, era }),
                Err((CircuitState::HalfOpen, wait)) => Err(Refused { why: Refusal::ProbesOut, wait }),
                Err((_, wait)) => Err(Refused { why: Refusal::Open, wait }),
            },
        };
        self.publish(&mut locked);
        answer
    }

    /// Adds one quick success to the thread's own word, if that is all there is to it.
    #[inline]
    fn add_well(&self, era: u32, now: Instant) -> bool {
        let until = self.timeless_until.load(Ordering::Relaxed);
        if until != u64::MAX && nanos(self.origin, now) >= until {
            return false;
        }
        let mine = self.unread.mine();
        let mut word = mine.load(Ordering::Relaxed);
        loop {
            if (word >> 32) as u32 != era {
                return false;
            }
            if word as u32 >= self.enough {
                return true;
            }
            match mine.compare_exchange_weak(word, word + 1, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(other) => word = other,
            }
        }
    }

    fn report_locked(&self, era: u32, call: Counts, now: Instant) {
        let mut locked = self.lock();
        self.read(&mut locked);
        locked.machine.report(era, call, now);
        self.publish(&mut locked);
    }

    /// Takes over what threads added, and makes them take the lock from here on.
    fn read(&self, locked: &mut Locked) {
        if !std::mem::take(&mut locked.adding) {
            return;
        }
        let era = u64::from(locked.machine.era());
        for word in self.unread.all() {
            let word = word.swap(0, Ordering::AcqRel);
            if word >> 32 == era {
                locked.machine.report_well(word as u32);
            }
        }
    }

    /// Tells all threads how things stand now; the last thing done under the lock.
    fn publish(&self, locked: &mut Locked) {
        let era = u64::from(locked.machine.era());
        let timeless = locked.machine.timeless_until();
        if timeless.is_none() {
            self.read(locked);
        }
        if let (Some(until), false) = (timeless, locked.adding) {
            self.timeless_until.store(until, Ordering::Relaxed);
            for word in self.unread.all() {
                word.store(era << 32, Ordering::Release);
            }
            locked.adding = true;
        }
        let open_to_all = locked.machine.is_closed() && locked.force.is_none();
        let gate = if open_to_all { era } else { 0 };
        if self.gate.load(Ordering::Relaxed) != gate {
            self.gate.store(gate, Ordering::Release);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Locked> {
        // A panic under this lock leaves plain counters behind, which are still good.
        self.locked.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Permit<'_> {
    /// Reports that the call ended at `now`, after `took`, and whether the callee was up to it.
    #[inline]
    pub fn report(mut self, well: bool, took: Duration, now: Instant) {
        let era = std::mem::take(&mut self.era);
        let slow = self.circuit.policy.slow.is_some_and(|slow| took >= slow.from);
        if era == 0 || (well && !slow && self.circuit.add_well(era, now)) {
            return;
        }
        self.circuit.report_locked(era, Counts::one(!well, slow), now);
    }
}

impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        // Closed, there is nothing to give back.
        if self.era != 0 && self.circuit.gate.load(Ordering::Acquire) != u64::from(self.era) {
            self.circuit.lock().machine.give_back(self.era);
        }
    }
}
