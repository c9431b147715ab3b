//! A verdict in words: the proof, the callers, the levers. It decides nothing.

use super::{
    arithmetic::Counts,
    signals::{Lever, VerdictKind},
    source::Owner,
};

/// One caller's part in an operation's window.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) name: String,
    pub(super) owner: Option<Owner>,
    pub(super) counts: Counts,
    /// Some series was new, and what it counted is taken to have begun at 0.
    pub(super) estimated: bool,
    /// `None` where the source is silent.
    pub(super) budget: Option<f64>,
}

/// What a capped caller may retry, as a share of its first tries.
const CAP: f64 = 0.2;

/// `2.7× load · 63 % of requests are retries · 2 % of retries help · budget 0`; what is not known is left out.
pub(super) fn proof(callers: &[Caller]) -> String {
    let all: Counts = callers.iter().map(|caller| caller.counts).sum();
    let Some(ratio) = all.retry_ratio() else { return "no requests seen".to_owned() };
    let mut parts = Vec::new();
    if let Some(factor) = all.amplification() {
        let about = if callers.iter().any(|caller| caller.estimated) { "~" } else { "" };
        parts.push(format!("{about}{factor:.1}× load"));
    }
    parts.push(format!("{} of requests are retries", percent(ratio)));
    if let Some(share) = all.efficacy() {
        parts.push(format!("{} of retries help", percent(share)));
    }
    if let Some(left) = budget(callers) {
        parts.push(if left <= 0.0 { "budget 0".to_owned() } else { format!("budget {}", percent(left)) });
    }
    parts.join(" · ")
}

/// Why nothing can be said: of `targets` targets `silent` do not answer, the processes `stale` have fallen silent.
pub(super) fn unknown(targets: usize, silent: usize, stale: &[&str], samples: usize) -> String {
    match targets {
        0 => "no metrics target is given: pass --metrics URL or --prometheus URL".to_owned(),
        1 if silent == 1 => "the metrics target does not answer".to_owned(),
        _ if silent == targets => format!("none of {targets} metrics targets answers"),
        _ if !stale.is_empty() => format!("no fresh metrics from {}", stale.join(", ")),
        _ => format!("too few scrapes yet: {samples} are needed to judge"),
    }
}

/// The smallest budget left among those who tell; 0 when somebody's retries were denied for it. The full purse of one who
/// hardly retries says nothing of the others.
fn budget(callers: &[Caller]) -> Option<f64> {
    if callers.iter().any(|caller| caller.counts.denied_by_budget > 0.0) {
        return Some(0.0);
    }
    let all: f64 = callers.iter().map(|caller| caller.counts.retries).sum();
    let telling = callers.iter().filter(|caller| caller.budget.is_some());
    if telling.map(|caller| caller.counts.retries).sum::<f64>() < 0.1 * all {
        return None;
    }
    callers.iter().filter_map(|caller| caller.budget).min_by(f64::total_cmp)
}

/// Callers by their share of the retries beyond what `baseline` makes usual, largest first.
pub(super) fn shares(callers: &[Caller], baseline: f64) -> Vec<(String, f64)> {
    let usual = baseline.clamp(0.0, 0.9);
    let excess: Vec<f64> = callers.iter().map(|caller| caller.counts.excess_retries(usual)).collect();
    let all: f64 = excess.iter().sum();
    let mut shares: Vec<(String, f64)> = callers
        .iter()
        .zip(excess)
        .filter(|(_, excess)| *excess > 0.0)
        .map(|(caller, excess)| (caller.name.clone(), excess / all))
        .collect();
    shares.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    shares
}

/// What would help, safest first, with the load it would leave. What a running replay adds, the board tells.
pub(super) fn levers(kind: VerdictKind, callers: &[Caller], baseline: f64) -> Vec<Lever> {
    let mut levers = Vec::new();
    let shares = shares(callers, baseline);
    let is_ours = |name: &str| callers.iter().any(|c| c.name == name && c.owner == Some(Owner::Ours));
    match kind {
        VerdictKind::Calm | VerdictKind::Unknown => {}
        VerdictKind::Recovering => levers.push(ours('R', "replay letters a few at a time")),
        VerdictKind::Elevated | VerdictKind::Storm | VerdictKind::Stuck => {
            let part: f64 = shares.iter().filter(|(name, _)| is_ours(name)).map(|(_, share)| share).sum();
            if part >= WORTH_A_PAUSE {
                levers
                    .push(ours('P', &format!("pause onboardings{}", without(callers, |c| is_ours(&c.name)))));
            }
            let worst = shares.iter().find(|(name, _)| !is_ours(name));
            if let Some(worst) = worst.and_then(|(name, _)| callers.iter().find(|c| c.name == *name)) {
                levers.push(advice(&format!("cap {}'s retries{}", worst.name, capped(worst, callers))));
                if kind == VerdictKind::Stuck {
                    levers.push(advice(&format!(
                        "else shed {}'s calls{} for a minute",
                        worst.name,
                        without(callers, |c| c.name == worst.name)
                    )));
                }
            }
            match kind {
                VerdictKind::Elevated => {}
                VerdictKind::Stuck => levers.push(advice("scale out last: retries fill what it adds")),
                _ => levers.push(advice("replay letters once it is calm")),
            }
        }
    }
    levers
}

/// What helps while a verdict only waits for a few more quiet windows to be taken back.
pub(super) fn coming_down() -> Vec<Lever> {
    vec![advice("wait: it is over, and is called so after a few quiet windows more")]
}

/// From this share of the excess retries on, pausing our own work is worth saying.
const WORTH_A_PAUSE: f64 = 0.05;

fn ours(key: char, text: &str) -> Lever {
    Lever { ours: true, text: text.into(), key: Some(key) }
}

fn advice(text: &str) -> Lever {
    Lever { ours: false, text: text.into(), key: None }
}

/// The load when `worst` keeps to the cap.
fn capped(worst: &Caller, callers: &[Caller]) -> String {
    let all: Counts = callers.iter().map(|caller| caller.counts).sum();
    let spared = (worst.counts.retries - CAP * worst.counts.first).max(0.0);
    load(all.attempts() - spared, all.first)
}

/// The load when those who are `gone` call no longer, against the first tries of all.
fn without(callers: &[Caller], gone: impl Fn(&Caller) -> bool) -> String {
    let all: Counts = callers.iter().map(|caller| caller.counts).sum();
    let theirs: f64 = callers.iter().filter(|caller| gone(caller)).map(|c| c.counts.attempts()).sum();
    load(all.attempts() - theirs, all.first)
}

fn load(attempts: f64, first: f64) -> String {
    if first > 0.0 { format!(" →{:.1}×", attempts / first) } else { String::new() }
}

/// `63 %`; a trace of something is never shown as nothing.
pub(super) fn percent(share: f64) -> String {
    match share * 100.0 {
        trace if trace > 0.0 && trace < 0.5 => "<1 %".to_owned(),
        most if most < 100.0 && most > 99.5 => ">99 %".to_owned(),
        points => format!("{points:.0} %"),
    }
}
