//! `redrive circuits …`: the headless twin of the Circuits screen.

use std::process::ExitCode;

use anyhow::{Error, bail};
use clap::{Subcommand, ValueEnum};

use super::{
    Settings,
    act::{self, Acting},
    output,
};
use crate::{
    domain::{circuit::Forced, onboarding::WORKFLOW, text::SafeText},
    engine::{
        command::{Command, Target, USUAL_LIMIT},
        reader::{CircuitRow, Decision, PauseRow, Query},
    },
    run,
};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Those that let nothing or not everything through first
    List {
        /// JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// One circuit, as each worker computed it
    Show {
        /// github.create_hook
        operation: String,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Decide a circuit's state for every worker, or leave it to them again (auto); takes a --reason
    Force {
        /// github.create_hook
        operation: String,
        /// To what
        to: To,
        /// Until it is over by itself: 2h, or ever [default: 10m; auto has none]
        #[arg(long = "for", value_name = "TIME", value_parser = limit)]
        limit: Option<Limit>,
        #[command(flatten)]
        acting: Acting,
    },
    /// Hold an operation back on every worker, or all of `onboarding`; takes a --reason
    Pause {
        /// github.create_hook, or onboarding
        operation: String,
        /// Until it goes on by itself: 2h, or ever
        #[arg(long = "for", value_name = "TIME", value_parser = limit, default_value = USUAL_LIMIT)]
        limit: Limit,
        #[command(flatten)]
        acting: Acting,
    },
    /// Let an operation go on; what it held back comes back at a pace
    Unpause {
        /// github.create_hook, or onboarding
        operation: String,
        #[command(flatten)]
        acting: Acting,
    },
}

/// For how many seconds; `None`: until it is taken back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit(Option<u64>);

fn limit(text: &str) -> Result<Limit, String> {
    match (text, humantime::parse_duration(text)) {
        ("ever", _) => Ok(Limit(None)),
        (_, Ok(limit)) => Ok(Limit(Some(limit.as_secs()))),
        (_, Err(why)) => Err(format!("{why}; for example 10m or 2h, or ever: until it is taken back")),
    }
}

/// What a circuit can be forced to.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum To {
    /// Refuse every call
    Open,
    /// Let every call pass
    Closed,
    /// Let every call pass and compute nothing
    Disabled,
    /// As each worker computes it
    Auto,
}

impl To {
    fn forced(self) -> Option<Forced> {
        match self {
            Self::Open => Some(Forced::Open),
            Self::Closed => Some(Forced::Closed),
            Self::Disabled => Some(Forced::Disabled),
            Self::Auto => None,
        }
    }
}

pub(super) async fn run(settings: &Settings, verb: Verb) -> anyhow::Result<ExitCode> {
    let opened = run::open(settings).await?;
    let engine = &opened.engine;
    let target = |operation: String| Target { id: operation.into(), seen: None };
    match verb {
        Verb::List { json } => {
            let board = engine.reader().read(&Query::default()).await?;
            if json {
                output::json(&serde_json::json!({ "circuits": board.circuits, "pauses": board.pauses }))?;
            } else {
                list(&board.circuits, &board.pauses)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Verb::Show { operation, json } => {
            let board = engine.reader().read(&Query::default()).await?;
            let row = board.circuits.iter().find(|row| row.operation.as_str() == operation);
            let pause = board.pauses.iter().find(|pause| pause.operation.as_str() == operation);
            match (row, pause, json) {
                (Some(row), _, true) => output::json(row)?,
                (Some(row), _, false) => show(row)?,
                (None, Some(pause), true) => output::json(pause)?,
                (None, Some(pause), false) => list(&[], std::slice::from_ref(pause))?,
                (None, None, true) if operation == WORKFLOW => {
                    output::json(&serde_json::json!({ "operation": operation, "decision": null }))?;
                }
                (None, None, false) if operation == WORKFLOW => {
                    output::print(&format!("{operation} is not paused: it goes forward"))?;
                }
                _ => bail!(
                    "no circuit {}: `redrive circuits list` shows which there are",
                    SafeText::new(&operation)
                ),
            }
            Ok(ExitCode::SUCCESS)
        }
        Verb::Force { operation, to, limit: said, acting } => {
            let to = to.forced();
            let seconds = match (to, said) {
                (None, Some(_)) => bail!("auto has no time limit: leave --for away"),
                (None, None) => None,
                (Some(_), said) => said.map_or_else(|| limit(USUAL_LIMIT), Ok).map_err(Error::msg)?.0,
            };
            let command = Command::Force { circuit: target(operation), to, seconds };
            act::act(settings, engine, &acting, command).await
        }
        Verb::Pause { operation, limit, acting } => {
            let command = Command::Pause { operation: target(operation), seconds: limit.0 };
            act::act(settings, engine, &acting, command).await
        }
        Verb::Unpause { operation, acting } => {
            act::act(settings, engine, &acting, Command::Unpause { operation: target(operation) }).await
        }
    }
}

/// `ana until 14:20:00: GitHub asked us to`.
fn decided(decision: &Decision) -> String {
    let until = decision.until.map_or_else(
        || "until it is taken back".to_owned(),
        |until| format!("until {} UTC", output::time(Some(until))),
    );
    let why = decision.reason.as_ref().map(|why| format!(": {}", why));
    format!("by {} {until}{}", decision.operator, why.unwrap_or_default())
}

fn share(share: Option<f64>) -> String {
    share.map_or_else(|| "n/a".to_owned(), |share| format!("{:.0} %", share * 100.0))
}

const HEADING: [&str; 9] =
    ["OPERATION", "COMPUTED", "DECIDED", "FAILING", "CALLS", "PROBE (UTC)", "HOLDS", "INSTANCES", "BUDGET"];

fn list(rows: &[CircuitRow], pauses: &[PauseRow]) -> anyhow::Result<()> {
    let cells = rows.iter().map(|row| {
        let (of, all) = row.instances;
        let forced = row.forced.map(|forced| forced.to_string());
        let paused = row.paused.as_ref().map(|_| "paused".to_owned());
        vec![
            row.operation.to_string(),
            row.state.to_string(),
            [forced, paused]
                .into_iter()
                .flatten()
                .reduce(|a, b| format!("{a}, {b}"))
                .unwrap_or("-".to_owned()),
            share(row.failure_rate),
            row.calls.to_string(),
            output::time(row.probe_at),
            row.holds.to_string(),
            format!("{of} of {all}"),
            share(row.budget_left),
        ]
    });
    // A workflow has no circuit: it stands here while it is held back.
    let known = |pause: &&PauseRow| rows.iter().any(|row| row.operation == pause.operation);
    let workflows = pauses.iter().filter(|pause| !known(pause)).map(|pause| {
        let mut cells = vec!["-".to_owned(); HEADING.len()];
        (cells[0], cells[2]) = (pause.operation.to_string(), "paused".to_owned());
        cells
    });
    output::table(&HEADING, &workflows.chain(cells).collect::<Vec<_>>())?;
    for pause in pauses {
        output::print(&format!("{} is paused {}", pause.operation, decided(&pause.decision)))?;
    }
    Ok(())
}

fn show(row: &CircuitRow) -> anyhow::Result<()> {
    list(std::slice::from_ref(row), &[])?;
    if let (Some(forced), Some(decision)) = (row.forced, &row.forced_by) {
        output::print(&format!("forced     {forced} {}", decided(decision)))?;
    }
    if let Some(decision) = &row.paused {
        output::print(&format!("paused     {}", decided(decision)))?;
    }
    output::print(&format!("opens at   {} failing", share(row.opens_at)))?;
    for (reason, count) in &row.denied {
        output::print(&format!("not made   {count} calls: {reason}"))?;
    }
    for report in &row.reports {
        let slow = report.slow_rate.map(|slow| format!(", {} slow", share(Some(slow)))).unwrap_or_default();
        let places = report.in_flight.map(|(taken, all)| format!(", {taken} of {all} places taken"));
        output::print(&format!(
            "worker     {} {}, {} of {} calls failing{slow}, {} retries on {} first tries, {} of the budget left{}",
            SafeText::new(report.worker.as_str()),
            report.state,
            share(report.failure_rate),
            report.calls,
            report.retries,
            report.first_tries,
            share(report.budget_left),
            places.unwrap_or_default(),
        ))?;
    }
    Ok(())
}
