//! The server while it runs: slots, a queue, and the faults of the moment. It knows nothing of callers.

use std::{collections::VecDeque, time::Duration};

use super::scenario::{Effect, Fault, Server};
use crate::clock::Random;

/// One request as the server sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) group: usize,
    /// [`super::scenario::Group::cost`].
    pub(super) cost: f64,
    /// Whom to answer.
    pub(super) to: To,
}

/// The attempt a request was sent for: its call, and its number.
pub(super) type To = (usize, u32);

/// What becomes of a request.
#[derive(Debug, PartialEq)]
pub(super) enum Taken {
    /// It is refused.
    Refused,
    /// It waits in the queue.
    Queued,
    /// It is worked on.
    Begun(Work),
}

/// A request that is worked on.
#[derive(Debug, PartialEq)]
pub(super) struct Work {
    pub(super) to: To,
    /// For so long.
    pub(super) takes: Duration,
    /// How it will end.
    pub(super) well: bool,
}

#[derive(Debug)]
pub(super) struct Desk<'a> {
    server: Server,
    faults: &'a [Fault],
    busy: usize,
    waiting: VecDeque<Request>,
}

impl<'a> Desk<'a> {
    pub(super) fn new(server: Server, faults: &'a [Fault]) -> Self {
        Self { server, faults, busy: 0, waiting: VecDeque::new() }
    }

    /// A request arrives.
    pub(super) fn take(&mut self, request: Request, now: Duration, random: &mut Random) -> Taken {
        let refusing = |effect| if let Effect::Refusing(share) = effect { Some(share) } else { None };
        if self.strikes(request.group, now, random, refusing) {
            Taken::Refused
        } else if self.busy < self.server.slots {
            self.busy += 1;
            Taken::Begun(self.work(request, now, random))
        } else if self.waiting.len() < self.server.queue {
            self.waiting.push_back(request);
            Taken::Queued
        } else {
            Taken::Refused
        }
    }

    /// A slot is free again: what it works on next.
    pub(super) fn next(&mut self, now: Duration, random: &mut Random) -> Option<Work> {
        match self.waiting.pop_front() {
            Some(request) => Some(self.work(request, now, random)),
            None => {
                self.busy -= 1;
                None
            }
        }
    }

    fn work(&self, request: Request, now: Duration, random: &mut Random) -> Work {
        let failing = |effect| if let Effect::Failing(share) = effect { Some(share) } else { None };
        let slow = |effect| if let Effect::Slow(factor) = effect { Some(factor) } else { None };
        let factor: f64 = self.effects(request.group, now).filter_map(slow).product();
        let takes = self.server.service.mul_f64(request.cost * factor * (0.5 + random.unit()));
        Work { to: request.to, takes, well: !self.strikes(request.group, now, random, failing) }
    }

    fn strikes(
        &self,
        group: usize,
        now: Duration,
        random: &mut Random,
        share: impl Fn(Effect) -> Option<f64>,
    ) -> bool {
        self.effects(group, now).filter_map(share).any(|share| random.unit() < share)
    }

    fn effects(&self, group: usize, now: Duration) -> impl Iterator<Item = Effect> {
        let present = move |fault: &&Fault| {
            (fault.from..fault.until).contains(&now) && fault.group.is_none_or(|only| only == group)
        };
        self.faults.iter().filter(present).map(|fault| fault.effect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: Server = Server { slots: 1, service: Duration::from_secs(2), queue: 1 };

    fn request(call: usize) -> Request {
        Request { group: 0, cost: 1.0, to: (call, 1) }
    }

    #[test]
    fn one_is_worked_on_one_waits_and_the_third_is_refused() {
        let mut random = Random::seeded(1);
        let mut desk = Desk::new(SERVER, &[]);
        let mut take = |call, desk: &mut Desk| desk.take(request(call), Duration::ZERO, &mut random);
        assert!(matches!(take(1, &mut desk), Taken::Begun(Work { to: (1, 1), well: true, .. })));
        assert_eq!(take(2, &mut desk), Taken::Queued);
        assert_eq!(take(3, &mut desk), Taken::Refused);
        let next = desk.next(Duration::ZERO, &mut random).expect("one was waiting");
        assert_eq!(next.to, (2, 1));
        assert_eq!(desk.next(Duration::ZERO, &mut random), None);
    }

    #[test]
    fn a_fault_holds_from_its_begin_to_before_its_end_and_for_its_group_only() {
        let seconds = Duration::from_secs;
        let fault = |group, effect| Fault { from: seconds(1), until: seconds(2), group, effect };
        let faults = [fault(Some(0), Effect::Failing(1.0)), fault(None, Effect::Slow(10.0))];
        let work = |group, at: u64| {
            let mut desk = Desk::new(SERVER, &faults);
            match desk.take(Request { group, ..request(1) }, seconds(at), &mut Random::seeded(1)) {
                Taken::Begun(work) => (work.well, work.takes >= seconds(10)),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(work(0, 0), (true, false));
        assert_eq!(work(0, 1), (false, true));
        assert_eq!(work(0, 2), (true, false));
        assert_eq!(work(1, 1), (true, true));
    }
}
