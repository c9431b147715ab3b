//! The incidents: what is known of each, and the numbers chosen for what is not. None is tuned to a seed.

use std::time::Duration;

use super::{
    policy::{Budgeting, Layer, Policy},
    scenario::{Arrivals, Effect, Fault, Group, Incident, Scenario, Server},
};
use crate::resilience::{
    backoff::{Backoff, Jitter},
    budget::{BudgetPolicy, RatioPolicy, RoofPolicy},
    circuit::CircuitPolicy,
};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

fn backoff(base: Duration, cap: Duration, jitter: Jitter) -> Backoff {
    Backoff { base, cap, jitter }
}

/// A layer that retries with neither budget nor circuit.
fn retrying(attempts: u32, backoff: Backoff, timeout: Duration) -> Layer {
    Layer { attempts, backoff, timeout, budget: Budgeting::Unbounded, circuit: None }
}

fn group(name: &'static str, arrivals: Arrivals) -> Group {
    Group { name, arrivals, cost: 1.0, weight: 1.0 }
}

fn ratio(share: f64, floor: f64) -> BudgetPolicy {
    BudgetPolicy::Ratio(RatioPolicy { share, floor, ..RatioPolicy::default() })
}

fn fault(from: Duration, until: Duration, effect: Effect) -> Fault {
    Fault { from, until, group: None, effect }
}

fn one(name: &'static str, says: &'static str, layer: Layer) -> Policy {
    Policy { name, says, layers: vec![layer] }
}

pub(super) fn scenario(incident: Incident) -> Scenario {
    match incident {
        Incident::NoJitter => no_jitter(),
        Incident::Yandex => yandex(),
        Incident::TapTryAgain => tap_try_again(),
        Incident::HeavyEndpoint => heavy_endpoint(),
        Incident::Outage => outage(),
    }
}

/// A server of 100 requests a second with hardly a queue, and backoff from 100 ms to 10 s, the time it needs for all.
fn no_jitter() -> Scenario {
    let policy = |name, says, jitter| {
        one(name, says, retrying(1_000, backoff(millis(100), seconds(10), jitter), seconds(5)))
    };
    Scenario {
        incident: Incident::NoJitter,
        says: "1,000 clients are refused within 50 ms and come back to a server of 100 requests a second.",
        groups: vec![group("reconnect", Arrivals::Together(1_000, millis(50)))],
        server: Server { slots: 10, service: millis(100), queue: 10 },
        faults: vec![fault(Duration::ZERO, millis(100), Effect::Refusing(1.0))],
        length: minutes(30),
        patience: seconds(60),
        bucket: seconds(1),
        layers: &["client"],
        policies: vec![
            policy("none", "exponential backoff, no jitter", Jitter::None),
            policy("equal", "equal jitter", Jitter::Equal),
            policy("full", "full jitter", Jitter::Full),
            policy("decorrelated", "decorrelated jitter", Jitter::Decorrelated),
        ],
    }
}

/// Five sixths of the service's capacity are used on a good day, so that what ten minutes leave behind takes it fifty
/// more to serve while new orders keep coming. It is small, so that an hour and a half takes a second to run. A customer
/// waits half a minute for an order.
fn yandex() -> Scenario {
    let never_gives_up = retrying(100_000, backoff(seconds(1), seconds(60), Jitter::Full), seconds(10));
    let budget = Budgeting::Shared(ratio(0.1, 0.1));
    let circuit = Some(CircuitPolicy::default());
    Scenario {
        incident: Incident::Yandex,
        says: "A bad release fails every order for 10 minutes; then it is rolled back.",
        groups: vec![group("order.create", Arrivals::Every(millis(400)))],
        server: Server { slots: 3, service: seconds(1), queue: 9 },
        faults: vec![fault(minutes(5), minutes(15), Effect::Failing(1.0))],
        length: minutes(90),
        patience: seconds(30),
        bucket: seconds(60),
        layers: &["caller"],
        policies: vec![
            one(
                "unprotected",
                "every caller retries until it succeeds, up to a minute apart",
                never_gives_up,
            ),
            one("budget", "the same, within a retry budget of 10 %", Layer { budget, ..never_gives_up }),
            one("circuit", "the same, behind a circuit", Layer { circuit, ..never_gives_up }),
            one("budget+circuit", "both", Layer { budget, circuit, ..never_gives_up }),
        ],
    }
}

/// Counted at the service: the first tap and four on "Try again" are 5 requests to the balancer, each of which it
/// sends once and five times again: 5 × 6 = 30.
fn tap_try_again() -> Scenario {
    let person = retrying(5, backoff(seconds(3), seconds(3), Jitter::Equal), seconds(30));
    let balancer = retrying(6, backoff(millis(25), millis(250), Jitter::Full), seconds(5));
    let once = |layer| Layer { attempts: 1, ..layer };
    let budget = Budgeting::Shared(ratio(0.1, 0.1));
    let policy = |name, says, layers: [Layer; 2]| Policy { name, says, layers: layers.to_vec() };
    Scenario {
        incident: Incident::TapTryAgain,
        says: "A service answers 503 for 5 minutes; people tap \"Try again\" four times, a balancer retries five times.",
        groups: vec![group("ride.order", Arrivals::Every(seconds(1)))],
        server: Server { slots: 10, service: millis(100), queue: 20 },
        faults: vec![fault(minutes(1), minutes(6), Effect::Refusing(1.0))],
        length: minutes(10),
        patience: seconds(30),
        bucket: seconds(10),
        layers: &["person", "balancer"],
        policies: vec![
            policy("both", "both retry", [person, balancer]),
            policy("person", "only the person retries", [person, once(balancer)]),
            policy("balancer", "only the balancer retries", [once(person), balancer]),
            policy(
                "budget",
                "both retry, the balancer within a budget of 10 %",
                [person, Layer { budget, ..balancer }],
            ),
        ],
    }
}

/// 4 % of the calls are heavy: ten times the work, and 40 % of their attempts fail, of the light ones' 4 %. The light
/// ones alone would need four fifths of a budget of 5 %.
fn heavy_endpoint() -> Scenario {
    let layer = retrying(3, backoff(millis(100), seconds(1), Jitter::Full), seconds(2));
    let uniform = Budgeting::Shared(ratio(0.05, 0.0));
    let roof = RoofPolicy { share: 0.05, floor: 0.0, kept: 1.0, ..RoofPolicy::default() };
    // The roof alone decides: an operation's own budget affords whatever it asks for.
    let weighted = Budgeting::Weighted(ratio(2.0, 0.0), roof);
    let always = |group, share| Fault {
        group: Some(group),
        ..fault(Duration::ZERO, minutes(3), Effect::Failing(share))
    };
    let light = Group { weight: 24.0, ..group("suggest", Arrivals::Every(Duration::from_micros(5_208))) };
    let heavy = Group { cost: 10.0, ..group("export", Arrivals::Every(millis(125))) };
    Scenario {
        incident: Incident::HeavyEndpoint,
        says: "192 light calls and 8 heavy ones a second share a retry budget of 5 %; the heavy ones fail often.",
        groups: vec![light, heavy],
        server: Server { slots: 8, service: millis(10), queue: 50 },
        faults: vec![always(0, 0.04), always(1, 0.4)],
        length: minutes(2),
        patience: seconds(10),
        bucket: seconds(5),
        layers: &["caller"],
        policies: vec![
            one("uniform", "one budget for all operations", Layer { budget: uniform, ..layer }),
            one("weighted", "a roof that keeps each its part by weight", Layer { budget: weighted, ..layer }),
        ],
    }
}

/// As in the demo: nearly every request is refused, and the rest is slow. `legacy` is the demo's legacy caller;
/// `protected` is a step of ours under the built-in policy of such steps. What either gives up is lost; `parked` and
/// `paced` try it again until it is done. Half of the capacity is used on a good day: what 90 s leave behind fits
/// into the other half if it comes over more than those 90 s.
fn outage() -> Scenario {
    let at_once = backoff(millis(1), millis(1), Jitter::None);
    let legacy = retrying(4, at_once, seconds(1));
    let step = Layer {
        budget: Budgeting::Shared(ratio(0.2, 0.5)),
        circuit: Some(CircuitPolicy { open_for: seconds(10), ..CircuitPolicy::default() }),
        ..retrying(3, backoff(seconds(2), seconds(30), Jitter::Full), seconds(30))
    };
    let lost = retrying(1, at_once, minutes(10));
    let parked = |base, cap, jitter| retrying(1_000, backoff(base, cap, jitter), minutes(10));
    let soon = parked(seconds(10), seconds(60), Jitter::Full);
    let paced = parked(minutes(3), minutes(3), Jitter::Equal);
    let (begins, ends) = (seconds(60), seconds(150));
    let policy = |name, says, layers: [Layer; 2]| Policy { name, says, layers: layers.to_vec() };
    Scenario {
        incident: Incident::Outage,
        says: "An upstream refuses 97 % of all requests for 90 s and is five times as slow with the rest.",
        groups: vec![group("github.create_hook", Arrivals::Every(millis(100)))],
        server: Server { slots: 4, service: millis(200), queue: 20 },
        faults: vec![fault(begins, ends, Effect::Refusing(0.97)), fault(begins, ends, Effect::Slow(5.0))],
        length: minutes(10),
        patience: minutes(5),
        bucket: seconds(10),
        layers: &["work", "call"],
        policies: vec![
            policy("legacy", "four attempts at once; what fails is lost", [lost, legacy]),
            policy("protected", "backoff, budget and circuit; what fails is lost", [lost, step]),
            policy("parked", "the same; what fails is tried again within a minute", [soon, step]),
            policy("paced", "the same; what fails is tried again over three minutes", [paced, step]),
        ],
    }
}
