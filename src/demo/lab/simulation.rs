//! Callers and a server in virtual time: a queue of events, each of which may add others. It knows no incident and no
//! policy by name, and reads neither clock nor randomness of its own: the same scenario, policy and seed give the same run.
//!
//! A call goes through the layers of its group from outside in; an attempt of one layer is a call of the next, and an
//! attempt of the last is a request to the server. In each layer the order is that of a call in the engine: the circuit
//! is asked before each attempt, each attempt's end is reported to it, and a retry withdraws from the budget before it waits.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    time::{Duration, Instant},
};

use super::{
    policy::{Guard, Policy},
    record::Record,
    scenario::{Arrivals, Group, Scenario},
    server::{Desk, Request, Taken, To, Work},
};
use crate::{
    clock::Random,
    resilience::{
        backoff::Delays,
        budget::{Cost, Deposit, Withdrawal},
        circuit::Permit,
    },
};

/// From the server to a caller and back.
const ROUND_TRIP: Duration = Duration::from_millis(2);

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A group makes a call, and, if its calls come one by one, will make another.
    Arrival { group: usize },
    /// A call makes its next attempt.
    Attempt { call: usize },
    /// The server has worked on a request.
    Worked { to: To, well: bool },
    /// The answer to an attempt arrives.
    Answer { to: To, well: bool },
    /// An attempt has waited long enough for its answer.
    Timeout { to: To },
}

/// One call of one layer.
struct Call<'a> {
    group: usize,
    layer: usize,
    /// The attempt of the layer outside that it is.
    parent: Option<To>,
    /// The call of the outermost layer that it is part of.
    root: usize,
    /// Of the outermost call: how many requests were sent for it.
    requests: u64,
    began: Duration,
    /// How many attempts were made.
    attempts: u32,
    delays: Option<Delays<Box<dyn FnMut() -> f64>>>,
    /// What the retry that is waited for has withdrawn, and what the last one made had.
    withdrawal: Option<Withdrawal>,
    /// The attempt that is out.
    out: Option<Out<'a>>,
}

struct Out<'a> {
    since: Duration,
    permit: Option<Permit<'a>>,
}

struct Simulation<'a> {
    scenario: &'a Scenario,
    guards: &'a [Vec<Guard>],
    base: Instant,
    now: Duration,
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    scheduled: u64,
    calls: Vec<Call<'a>>,
    desk: Desk<'a>,
    random: Random,
    record: Record,
}

/// Runs `scenario` under `policy`; `base` is the instant that virtual time begins at.
pub(super) fn run(scenario: &Scenario, policy: &Policy, seed: u64, base: Instant) -> Record {
    let guards = policy.guards(&scenario.groups, base);
    let mut simulation = Simulation {
        scenario,
        guards: &guards,
        base,
        now: Duration::ZERO,
        events: BinaryHeap::new(),
        scheduled: 0,
        calls: Vec::new(),
        desk: Desk::new(scenario.server, &scenario.faults),
        random: Random::seeded(seed),
        record: Record::new(scenario),
    };
    simulation.open();
    let end = scenario.length + scenario.patience;
    while let Some(Reverse((at, _, event))) = simulation.events.pop() {
        if at > end {
            break;
        }
        simulation.now = at;
        simulation.happens(event);
    }
    simulation.record
}

impl<'a> Simulation<'a> {
    fn open(&mut self) {
        for (group, Group { arrivals, .. }) in self.scenario.groups.iter().enumerate() {
            match *arrivals {
                Arrivals::Together(calls, within) => {
                    for _ in 0..calls {
                        let after = within.mul_f64(self.random.unit());
                        self.after(after, Event::Arrival { group });
                    }
                }
                Arrivals::Every(mean) => {
                    let after = mean.mul_f64(2.0 * self.random.unit());
                    self.after(after, Event::Arrival { group });
                }
            }
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Arrival { group } => self.arrives(group),
            Event::Attempt { call } => self.attempt(call),
            Event::Worked { to, well } => {
                self.after(ROUND_TRIP / 2, Event::Answer { to, well });
                if let Some(work) = self.desk.next(self.now, &mut self.random) {
                    self.works(work);
                }
            }
            Event::Answer { to, well } => self.attempt_ended(to, well, Cost::Retry),
            Event::Timeout { to } => self.attempt_ended(to, false, Cost::AfterTimeout),
        }
    }

    fn arrives(&mut self, group: usize) {
        if let Arrivals::Every(mean) = self.scenario.groups[group].arrivals {
            let next = mean.mul_f64(2.0 * self.random.unit());
            if self.now + next < self.scenario.length {
                self.after(next, Event::Arrival { group });
            }
        }
        self.record.call(group, self.now);
        self.begin(group, 0, None);
    }

    /// A call of `layer` begins, as the attempt `parent` of the layer outside.
    fn begin(&mut self, group: usize, layer: usize, parent: Option<To>) {
        let call = self.calls.len();
        let root = parent.map_or(call, |(outer, _)| self.calls[outer].root);
        self.calls.push(Call {
            group,
            layer,
            parent,
            root,
            requests: 0,
            began: self.now,
            attempts: 0,
            delays: None,
            withdrawal: None,
            out: None,
        });
        self.attempt(call);
    }

    fn attempt(&mut self, id: usize) {
        let (now, instant) = (self.now, self.base + self.now);
        let call = &mut self.calls[id];
        let guard = &self.guards[call.group][call.layer];
        let permit = match guard.circuit.as_ref().map(|circuit| circuit.ask(instant)).transpose() {
            Ok(permit) => permit,
            Err(refused) => {
                if let (Some(budget), Some(unused)) = (&guard.budget, call.withdrawal.take()) {
                    budget.deposit(Deposit::Unused(unused), instant);
                }
                self.record.denied(call.group, refused.why.as_str());
                return self.end(id, false);
            }
        };
        if let (Some(budget), 0) = (&guard.budget, call.attempts) {
            budget.deposit(Deposit::FirstTry, instant);
        }
        call.attempts += 1;
        call.out = Some(Out { since: now, permit });
        let (to, group, layer) = ((id, call.attempts), call.group, call.layer);
        self.record.attempt(group, layer, call.attempts);
        self.after(guard.layer.timeout, Event::Timeout { to });
        if layer + 1 < self.guards[group].len() {
            self.begin(group, layer + 1, Some(to));
        } else {
            self.send(to);
        }
    }

    fn send(&mut self, to: To) {
        let Call { group, root, .. } = self.calls[to.0];
        self.calls[root].requests += 1;
        self.record.request(self.calls[root].requests, self.now);
        let request = Request { group, cost: self.scenario.groups[group].cost, to };
        match self.desk.take(request, self.now, &mut self.random) {
            Taken::Refused => self.after(ROUND_TRIP, Event::Answer { to, well: false }),
            Taken::Begun(work) => self.works(work),
            Taken::Queued => {}
        }
    }

    fn works(&mut self, work: Work) {
        self.after(work.takes, Event::Worked { to: work.to, well: work.well });
    }

    /// An attempt ended, unless it had ended before: then this is a late answer, or a timeout that was not needed.
    fn attempt_ended(&mut self, to: To, well: bool, cost: Cost) {
        let (now, instant) = (self.now, self.base + self.now);
        let (id, number) = to;
        let call = &mut self.calls[id];
        let Some(out) = call.out.take_if(|_| call.attempts == number) else { return };
        if let Some(permit) = out.permit {
            permit.report(well, now - out.since, instant);
        }
        let guard = &self.guards[call.group][call.layer];
        let withdrawn = call.withdrawal.take();
        if well {
            if let Some(budget) = &guard.budget {
                budget.deposit(Deposit::Success(withdrawn), instant);
            }
            return self.end(id, true);
        }
        if call.attempts >= guard.layer.attempts {
            return self.end(id, false);
        }
        match guard.budget.as_ref().map(|budget| budget.withdraw(cost, instant)).transpose() {
            Ok(withdrawal) => {
                call.withdrawal = withdrawal;
                let delay = self.delay(id);
                self.after(delay, Event::Attempt { call: id });
            }
            Err(denied) => {
                self.record.denied(call.group, denied.as_str());
                self.end(id, false);
            }
        }
    }

    fn end(&mut self, id: usize, well: bool) {
        self.calls[id].delays = None;
        let Call { group, parent, began, .. } = self.calls[id];
        match parent {
            // A layer outside that has stopped waiting hears of it in vain.
            Some(outer) => self.attempt_ended(outer, well, Cost::Retry),
            None => self.record.ended(group, began, self.now, well),
        }
    }

    /// The wait before the next attempt of a call, whose draws are its own.
    fn delay(&mut self, id: usize) -> Duration {
        let call = &mut self.calls[id];
        let guard = &self.guards[call.group][call.layer];
        let random = &mut self.random;
        let delays = call.delays.get_or_insert_with(|| {
            let mut own = Random::seeded(random.bits());
            guard.layer.backoff.delays(Box::new(move || own.unit()))
        });
        delays.next().unwrap_or(guard.layer.backoff.cap)
    }

    fn after(&mut self, wait: Duration, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse((self.now + wait, self.scheduled, event)));
    }
}
