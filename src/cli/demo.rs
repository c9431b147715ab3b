//! `redrive demo`: an incident with everything it needs, under the dashboard or headless with a report.

use std::{fmt::Write as _, net::SocketAddr, process::ExitCode, time::Duration};

use super::{Faults, Settings, Top, output, wrong_usage};
use crate::{
    demo::{Plan, Scenario},
    engine::injection::Injection,
    run,
};

/// How often the database is read when nobody watches.
const HEADLESS_INTERVAL: Duration = Duration::from_millis(250);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What goes wrong [default: outage; with --only upstreams: calm]
    #[arg(long, value_name = "NAME", long_help = scenarios())]
    scenario: Option<Scenario>,
    /// Multiply the scenario's times, delays and windows by this; by default it takes about a minute
    #[arg(long, value_name = "FACTOR", value_parser = factor)]
    time_factor: Option<f64>,
    /// Makes a run repeatable
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Play it to its end without a dashboard and report; exit code 1 if the dashboard would not have said what it must
    #[arg(long, conflicts_with_all = ["only", "theme", "interval", "record"])]
    headless: bool,
    /// The report as JSON
    #[arg(long, requires = "headless")]
    json: bool,
    /// Run only the stand-ins for GitHub, Terraform Cloud and the notification webhook
    #[arg(long, value_name = "PART", value_parser = ["upstreams"], requires = "listen")]
    only: Option<String>,
    /// Where the stand-ins listen, with --only upstreams
    #[arg(long, value_name = "ADDR", requires = "only")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    faults: Faults,
    #[command(flatten)]
    top: Top,
}

pub(super) fn run(settings: &Settings, args: Args) -> anyhow::Result<ExitCode> {
    let plan = args.plan();
    match args.listen {
        Some(_) if !plan.faults.is_empty() => {
            wrong_usage("--fault is for workers; the stand-ins' troubles are set with PUT /_faults")
        }
        Some(_) if !matches!(plan.scenario, Scenario::Outage | Scenario::Calm) => {
            wrong_usage("the stand-ins alone know only the scenarios outage and calm")
        }
        None if plan.faults.iter().any(Injection::ends_the_process) => wrong_usage(
            "a fault that ends or stops the process would take the dashboard with it: give it to a worker of its own (redrive worker --fault …)",
        ),
        Some(_) if args.top.record.is_some() => {
            wrong_usage("--record is for the dashboard: the stand-ins alone show none")
        }
        Some(listen) => run::upstreams(settings, listen, &plan),
        None if args.headless => run::block(settings, headless(&plan, args.json)),
        None => run::demo(settings, &plan, &args.top.look(settings)),
    }
}

async fn headless(plan: &Plan, json: bool) -> anyhow::Result<ExitCode> {
    let Some(report) = run::rehearse(plan).await? else { return Ok(ExitCode::from(run::STOPPED)) };
    match json {
        true => output::json(&report)?,
        false => output::print(&report.text())?,
    }
    Ok(if report.met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Args {
    fn plan(&self) -> Plan {
        let scenario = self.scenario.unwrap_or(match self.only {
            Some(_) => Scenario::Calm,
            None => Scenario::Outage,
        });
        Plan {
            scenario,
            time_factor: self.time_factor.unwrap_or(scenario.usual_factor(self.headless)),
            seed: self.seed,
            interval: if self.headless { HEADLESS_INTERVAL } else { self.top.interval },
            faults: self.faults.faults.clone(),
        }
    }
}

fn scenarios() -> String {
    let mut text = "What goes wrong [default: outage; with --only upstreams: calm]\n".to_owned();
    for scenario in Scenario::ALL {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{scenario:<16} {}", scenario.says());
    }
    text
}

fn factor(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(factor) if (0.002..=100.0).contains(&factor) => Ok(factor),
        _ => Err("a number from 0.002 to 100 is expected".to_owned()),
    }
}
