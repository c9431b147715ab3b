//! What an incident is made of: callers, a server with a capacity, and what goes wrong when. Plain values; the incidents
//! themselves are in `incident.rs`.

use std::time::Duration;

use super::policy::Policy;
use crate::domain::word::words;

words!(
    /// An incident the lab can run.
    Incident, "lab scenario", {
        /// A thousand clients fail together and come back in waves.
        NoJitter = "no-jitter",
        /// A bad release is rolled back; the retries of what it broke keep the service down.
        Yandex = "yandex",
        /// A person and a balancer both retry.
        TapTryAgain = "tap-try-again",
        /// A heavy operation uses up the retry budget of a light one.
        HeavyEndpoint = "heavy-endpoint",
        /// An upstream is down for a while, as in the demo.
        Outage = "outage",
    }
);

/// One incident, and the policies that are compared on it.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Which one.
    pub incident: Incident,
    /// What happens, in one sentence.
    pub says: &'static str,
    /// Who calls.
    pub groups: Vec<Group>,
    /// Who is called.
    pub server: Server,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// How long calls arrive. The run goes on for [`Scenario::patience`] after that, so that each call can be judged.
    pub length: Duration,
    /// A call that succeeds later than this after it was made has succeeded too late.
    pub patience: Duration,
    /// Load and goodput are told for each of these.
    pub bucket: Duration,
    /// From outside in, who handles a call on its way to the server; each may retry.
    pub layers: &'static [&'static str],
    /// The policies that make sense here.
    pub policies: Vec<Policy>,
}

/// Callers of one operation.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// The operation's name.
    pub name: &'static str,
    /// When its calls are made.
    pub arrivals: Arrivals,
    /// A call of it takes the server so many times as long as its [`Server::service`] says.
    pub cost: f64,
    /// Its part of what a roof keeps, against the parts of the others.
    pub weight: f64,
}

/// When calls are made.
#[derive(Debug, Clone, Copy)]
pub enum Arrivals {
    /// So many calls at any moment within the first so long.
    Together(u32, Duration),
    /// One after so long on average, spread evenly between nothing and twice that.
    Every(Duration),
}

/// What is called. It does not know when a caller has stopped waiting, and works for it all the same.
#[derive(Debug, Clone, Copy)]
pub struct Server {
    /// How many requests it works on at once.
    pub slots: usize,
    /// How long it works on one on average, spread evenly by half of it either way.
    pub service: Duration,
    /// How many more may wait, first come first served; the others are refused at once.
    pub queue: usize,
}

impl Server {
    /// The requests a second of cost 1 that it can answer.
    pub fn capacity(&self) -> f64 {
        self.slots as f64 / self.service.as_secs_f64()
    }
}

/// Something that is wrong for a while.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// When it begins.
    pub from: Duration,
    /// When it is over.
    pub until: Duration,
    /// Which group it concerns; `None`: all.
    pub group: Option<usize>,
    /// What is wrong.
    pub effect: Effect,
}

/// What is wrong with the server.
#[derive(Debug, Clone, Copy)]
pub enum Effect {
    /// This share of requests is refused at once.
    Refusing(f64),
    /// This share of requests fails after the work was done.
    Failing(f64),
    /// It takes so many times as long.
    Slow(f64),
}
