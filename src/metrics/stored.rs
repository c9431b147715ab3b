//! The verdict without any metrics: from the windows that workers keep beside their circuits in the database. They reach
//! back as far as a retry budget does, a few seconds, and tell of our own workers only, so they are asked where nothing
//! else can be. Pure.

use super::{
    arithmetic::Counts,
    sentence::{self, Caller},
    signals::{OperationSignal, Signals, Verdict, VerdictKind},
    source::Owner,
    verdict::{Rules, severity},
};
use crate::{
    engine::reader::{CircuitReportRow, CircuitRow},
    resilience::budget::RatioPolicy,
};

/// What the reports of live workers say, judged once; `None` where no worker reports.
pub fn signals(circuits: &[CircuitRow], rules: &Rules) -> Option<Signals> {
    let told: Vec<(&CircuitRow, Vec<Caller>)> = circuits
        .iter()
        .filter(|row| !row.reports.is_empty())
        .map(|row| (row, row.reports.iter().map(caller).collect()))
        .collect();
    let judged = told.iter().map(|(row, callers)| {
        let counts: Counts = callers.iter().map(|caller| caller.counts).sum();
        (rules.level(&counts, 0.0), counts.retries, *row, callers)
    });
    let worst = judged.max_by(|a, b| severity(a.0).cmp(&severity(b.0)).then(a.1.total_cmp(&b.1)))?;
    let (kind, _, row, callers) = worst;
    let about = (kind != VerdictKind::Calm).then(|| row.operation.clone());
    let proven: &[Caller] = if about.is_some() { callers } else { &[] };
    let all: Option<Vec<Caller>> =
        about.is_none().then(|| told.iter().flat_map(|(_, callers)| callers.clone()).collect());
    let proof = sentence::proof(all.as_deref().unwrap_or(callers));
    let window = RatioPolicy::default().window.as_secs();
    let shares = sentence::shares(proven, 0.0).into_iter();
    Some(Signals {
        verdict: Verdict {
            kind,
            operation: about,
            sentence: format!("{proof} · in the workers' last {window} s").as_str().into(),
            callers: shares.map(|(name, share)| (name.as_str().into(), share)).collect(),
            since: None,
            began: None,
            root: None,
            levers: sentence::levers(kind, proven, 0.0),
        },
        operations: told.iter().flat_map(|(row, callers)| rows(row, callers, rules)).collect(),
        circuits: Vec::new(),
        keys: None,
        chart: Vec::new(),
        targets: Vec::new(),
    })
}

/// One worker's part. How its retries end it does not tell; how many attempts fail it does, while its circuit is closed.
fn caller(report: &CircuitReportRow) -> Caller {
    let (first, retries) = (report.first_tries as f64, report.retries as f64);
    let succeeded = report.failure_rate.map(|failed| (1.0 - failed) * (first + retries));
    let spent = f64::from(u8::from(report.budget_left.is_some_and(|left| left <= 0.0)));
    Caller {
        name: report.worker.as_str().to_owned(),
        owner: Some(Owner::Ours),
        counts: Counts {
            first,
            retries,
            first_told: succeeded.map_or(0.0, |_| first),
            successes: succeeded.unwrap_or_default(),
            denied: spent,
            denied_by_budget: spent,
            ..Counts::default()
        },
        estimated: false,
        budget: report.budget_left,
    }
}

fn rows(row: &CircuitRow, callers: &[Caller], rules: &Rules) -> Vec<OperationSignal> {
    let all: Counts = callers.iter().map(|caller| caller.counts).sum();
    let verdict = rules.level(&all, 0.0);
    let seconds = RatioPolicy::default().window.as_secs_f64();
    let signal = |caller: &Caller| OperationSignal {
        operation: row.operation.clone(),
        caller: caller.name.as_str().into(),
        first_rate: Some(caller.counts.first / seconds),
        retry_rate: Some(caller.counts.retries / seconds),
        attempt_rate: Some(caller.counts.attempts() / seconds),
        retry_ratio: caller.counts.retry_ratio(),
        amplification: caller.counts.amplification(),
        efficacy: caller.counts.efficacy(),
        budget_remaining: caller.budget,
        verdict,
    };
    callers.iter().map(signal).collect()
}
