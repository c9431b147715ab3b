//! `redrive status`: the Pulse screen as text, for cron jobs and pagers.

use std::{process::ExitCode, time::Duration};

use serde::Serialize;

use super::{Settings, output};
use crate::{
    domain::{circuit::CircuitState, text::SafeText},
    engine::reader::{CircuitRow, Counts, LetterGroup, Query, WorkerRow},
    metrics::{
        signals::{Signals, VerdictKind},
        stored,
    },
    poll::advice::{self, Advice},
    run,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// JSON instead of text
    #[arg(long)]
    json: bool,
    /// Exit 10 when elevated, 11 on a storm, 12 when stuck, 13 when unknown
    #[arg(long)]
    exit_code: bool,
    /// How long targets are sampled for the verdict, where no Prometheus server knows their past; without any
    /// target, the workers' last seconds in the database are judged
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = window)]
    window: Duration,
}

/// Rates are taken between samples a second apart: a shorter look has nothing to say.
fn window(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(window) if window >= Duration::from_secs(4) => Ok(window),
        Ok(window) => Err(format!("{}: at least 4s is expected", humantime::format_duration(window))),
        Err(_) => Err(format!("{text:?} is not a duration such as 30s or 1h")),
    }
}

/// What `status` prints.
#[derive(Debug, Serialize)]
struct Status {
    /// As `status --exit-code` means it; also where nothing is known.
    verdict: VerdictKind,
    database: String,
    /// Why the database takes no writes, as it says itself.
    read_only: Option<String>,
    advice: Vec<Advice>,
    counts: Counts,
    workers: Vec<WorkerRow>,
    circuits: Vec<CircuitRow>,
    letter_groups: Vec<LetterGroup>,
    signals: Option<Signals>,
}

pub(super) async fn run(settings: &Settings, args: Args) -> anyhow::Result<ExitCode> {
    let opened = run::open(settings).await?;
    let signals = run::sample(settings, args.window).await?;
    let board = opened.engine.reader().read(&Query::default()).await?;
    // Where no metrics were named, what workers left in the database is better than nothing.
    let signals = signals.or_else(|| stored::signals(&board.circuits, &settings.rules));
    let kind = signals.as_ref().map_or(VerdictKind::Unknown, |s| s.verdict.kind);
    let status = Status {
        verdict: kind,
        database: opened.engine.reader().label(),
        read_only: board.read_only.clone(),
        advice: advice::advice(&board, signals.as_ref(), board.at),
        counts: board.counts,
        workers: board.workers,
        circuits: board.circuits,
        letter_groups: board.letter_groups,
        signals,
    };
    if args.json {
        output::json(&status)?
    } else {
        print(&status)?
    }
    let code = match kind {
        VerdictKind::Calm | VerdictKind::Recovering => 0,
        VerdictKind::Elevated => 10,
        VerdictKind::Storm => 11,
        VerdictKind::Stuck => 12,
        VerdictKind::Unknown => 13,
    };
    Ok(if args.exit_code { ExitCode::from(code) } else { ExitCode::SUCCESS })
}

fn print(status: &Status) -> anyhow::Result<()> {
    let verdict = match &status.signals {
        None => {
            "UNKNOWN: no worker runs and no metrics target was named; add --metrics URL or --prometheus URL"
                .to_owned()
        }
        Some(signals) => {
            let verdict = &signals.verdict;
            let operation = verdict.operation.as_ref().map(|o| format!(" {o}")).unwrap_or_default();
            format!("{}{operation}  {}", verdict.kind, verdict.sentence)
        }
    };
    output::print(&verdict)?;
    for target in status.signals.iter().flat_map(|s| &s.targets) {
        if let Some(error) = &target.error {
            output::print(&format!("target {}: {error}", target.name))?;
        }
    }
    for advice in &status.advice {
        let does = advice.does.as_ref().map(|does| format!(": {} {} on the dashboard", does.key, does.what));
        output::print(&format!("advice       {}{}", advice.text, does.unwrap_or_default()))?;
    }
    let counts = &status.counts;
    let refusal = status.read_only.as_ref().map(|why| format!(", read-only: {why}"));
    output::print(&format!("database     {}{}", status.database, refusal.unwrap_or_default()))?;
    output::print(&format!(
        "onboardings  in progress {}  parked {}  failed {}  rolling back {}  stuck {}  completed {}",
        counts.in_progress, counts.parked, counts.failed, counts.rolling_back, counts.stuck, counts.completed
    ))?;
    output::print(&format!(
        "keys         {}  stuck {}  failed storage {}",
        counts.keys, counts.keys_stuck, counts.keys_failed_storage
    ))?;
    output::print(&format!("letters      open {}  replaying {}", counts.letters, counts.replaying))?;
    let alive = status.workers.iter().filter(|w| w.alive).count();
    output::print(&format!("workers      {alive}"))?;
    for circuit in &status.circuits {
        let (of, all) = circuit.instances;
        // One that lets everything pass is no news.
        let news = circuit.state != CircuitState::Closed || circuit.forced.is_some() || circuit.holds.0 > 0;
        if !news {
            continue;
        }
        let state = circuit.state.as_str();
        let forced = circuit.forced.map(|forced| format!(", {forced}")).unwrap_or_default();
        output::print(&format!(
            "circuit      {} {state} on {of} of {all}{forced}, holds {}",
            circuit.operation, circuit.holds
        ))?;
    }
    for group in &status.letter_groups {
        output::print(&format!(
            "group        {}  {} open  {}",
            SafeText::new(&group.fingerprint),
            group.open,
            group.error
        ))?;
    }
    Ok(())
}
