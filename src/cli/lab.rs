//! `redrive lab …`: an incident in virtual time, policies side by side.

use std::process::ExitCode;

use clap::error::ErrorKind;

use super::{output, wrong_usage};
use crate::{
    clock,
    demo::lab::{self, Incident, Outcome, Report},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Which incident; --list tells them
    #[arg(value_name = "SCENARIO")]
    scenario: Option<Incident>,
    /// A policy to run it under; repeatable, and all the scenario has by default
    #[arg(long, value_name = "NAME")]
    policy: Vec<String>,
    /// The same seed gives the same run
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
    /// The scenarios there are, and their policies
    #[arg(long, conflicts_with_all = ["scenario", "policy", "json"])]
    list: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.list {
        list()?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some(incident) = args.scenario else {
        return wrong_usage("which SCENARIO? redrive lab --list tells them");
    };
    let report = match lab::run(incident, &args.policy, args.seed, clock::instant()) {
        Ok(report) => report,
        Err(unknown) => {
            clap::Error::raw(ErrorKind::InvalidValue, format!("{unknown}\n")).print()?;
            return Ok(ExitCode::from(2));
        }
    };
    if args.json {
        output::json(&report)?
    } else {
        print(&report)?
    }
    Ok(ExitCode::SUCCESS)
}

fn list() -> anyhow::Result<()> {
    let rows: Vec<Vec<String>> = Incident::ALL
        .iter()
        .map(|incident| {
            let scenario = lab::scenario(*incident);
            let policies: Vec<&str> = scenario.policies.iter().map(|policy| policy.name).collect();
            vec![incident.to_string(), policies.join(", "), scenario.says.to_owned()]
        })
        .collect();
    output::table(&["SCENARIO", "POLICIES", "WHAT HAPPENS"], &rows)
}

fn print(report: &Report) -> anyhow::Result<()> {
    output::print(&format!("{}, seed {}: {}\n", report.scenario, report.seed, report.says))?;
    let heading = [
        "POLICY",
        "CALLS",
        "GOODPUT",
        "LATE",
        "FAILED",
        "UNFINISHED",
        "REQUESTS",
        "AMPLIFICATION",
        "MOST FOR ONE",
        "RECOVERED",
        "DENIED",
    ];
    output::table(&heading, &report.policies.iter().map(outcome).collect::<Vec<_>>())?;
    let many = |count: fn(&Outcome) -> usize| report.policies.iter().any(|policy| count(policy) > 1);
    if many(|policy| policy.groups.len()) {
        let rows = report.policies.iter().flat_map(|policy| {
            policy.groups.iter().map(|group| {
                let counts = [group.calls, group.good, group.retries, group.denied].map(|n| n.to_string());
                [vec![policy.policy.to_owned(), group.operation.to_owned()], counts.to_vec()].concat()
            })
        });
        output::print("")?;
        let heading = ["POLICY", "OPERATION", "CALLS", "GOOD", "RETRIES", "DENIED"];
        output::table(&heading, &rows.collect::<Vec<_>>())?;
    }
    if many(|policy| policy.layers.len()) {
        let rows = report.policies.iter().flat_map(|policy| {
            policy.layers.iter().map(|layer| {
                let factor = layer.attempts as f64 / layer.calls.max(1) as f64;
                let counts = [layer.calls, layer.attempts].map(|n| n.to_string());
                let names = vec![policy.policy.to_owned(), layer.layer.to_owned()];
                [names, counts.to_vec(), vec![format!("x{factor:.2}")]].concat()
            })
        });
        output::print("")?;
        output::table(&["POLICY", "LAYER", "CALLS", "ATTEMPTS", "AMPLIFICATION"], &rows.collect::<Vec<_>>())?;
    }
    output::print(&format!("\n{}", lab::chart(report)))?;
    for policy in &report.policies {
        output::print(&format!("{}: {}", policy.policy, policy.says))?;
    }
    Ok(())
}

fn outcome(outcome: &Outcome) -> Vec<String> {
    let denied: Vec<String> = outcome.denied.iter().map(|(why, count)| format!("{why} {count}")).collect();
    vec![
        outcome.policy.to_owned(),
        outcome.calls.to_string(),
        format!("{:.1} %", 100.0 * outcome.goodput),
        outcome.late.to_string(),
        outcome.failed.to_string(),
        outcome.unfinished.to_string(),
        outcome.requests.to_string(),
        format!("x{:.2}", outcome.amplification),
        outcome.most_for_one_call.to_string(),
        outcome.recovered_after_seconds.map_or_else(|| "not yet".to_owned(), duration),
        if denied.is_empty() { "-".to_owned() } else { denied.join(", ") },
    ]
}

fn duration(seconds: f64) -> String {
    if seconds < 120.0 { format!("{seconds:.1} s") } else { format!("{:.1} min", seconds / 60.0) }
}
