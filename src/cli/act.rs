//! What every acting twin does alike: ids from arguments or standard input, the plan, the question, the receipt.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    process::ExitCode,
};

use anyhow::{Context, anyhow, bail};
use clap::Args;

use super::{Settings, output, wrong_usage};
use crate::{
    clock,
    domain::text::SafeText,
    engine::{
        Engine,
        command::{Asker, Command, Reasoned, Receipt, Refusal, Submission},
        reader::Detail,
        reveal::Revealed,
        store::StoreError,
    },
};

/// Targets that a plan in words names one by one.
const MOST_LINES: usize = 50;

/// Flags of every acting twin.
#[derive(Debug, Clone, Args)]
pub(super) struct Acting {
    /// Show what would happen and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    pub(super) yes: bool,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub(super) reason: Option<String>,
    /// JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

fn reason(text: &str) -> Result<String, String> {
    match text.chars().count() {
        0..=1_000 => Ok(text.to_owned()),
        more => Err(format!("it has {more} characters: at most 1,000 are expected")),
    }
}

/// Whether a payload is shown in the clear, and why.
#[derive(Debug, Clone, Args)]
pub(super) struct Revealing {
    /// Show the payload in the clear; the audit keeps who saw it and why
    #[arg(long, requires = "reason")]
    reveal: bool,
    /// Why it has to be seen, for the audit
    #[arg(long, value_name = "TEXT", value_parser = reason, requires = "reveal")]
    reason: Option<String>,
}

impl Revealing {
    /// The payload of `of`, where it was asked for.
    ///
    /// # Errors
    /// Why it is not shown.
    pub(super) async fn payload(
        &self,
        settings: &Settings,
        engine: &Engine,
        of: Detail,
    ) -> anyhow::Result<Option<Revealed>> {
        if !self.reveal {
            return Ok(None);
        }
        let submission = Submission {
            action: clock::new_id().into(),
            asker: Asker::Operator(settings.operator.clone()),
            reason: self.reason.clone(),
            command: Command::Reveal { of },
        };
        let receipt = submit(engine, &submission).await?;
        Ok(Some(receipt.revealed.ok_or_else(|| anyhow!("the engine answered without the payload"))?))
    }
}

/// Prints a payload in the clear.
///
/// # Errors
/// When standard output is closed.
pub(super) fn print_payload(name: &str, revealed: &Revealed) -> anyhow::Result<()> {
    let cut = if revealed.is_cut() { ", the first 4 KiB of it" } else { "" };
    output::print(&format!("\n{name}, {} bytes{cut}", revealed.bytes))?;
    revealed.lines().iter().try_for_each(|line| output::print(line))
}

async fn submit(engine: &Engine, submission: &Submission) -> Result<Receipt, Refusal> {
    let answer = engine.submit(submission).await;
    if let Err(Refusal::Store(StoreError::UnknownOutcome { .. })) = answer {
        // The same action again answers the first receipt if it did happen.
        return engine.submit(submission).await;
    }
    answer
}

/// The ids given; `-` reads them from standard input, one a line.
pub(super) fn ids(given: &[String]) -> anyhow::Result<Vec<String>> {
    read(given, |line| Some(line.split_whitespace().next()?.to_owned()).filter(|id| id != "ID"))
}

/// The same for ids that may hold spaces: a line is one id, unless it stands in a twin's own table, whose heading says
/// how wide its first column is. To cut at spaces could name another id than the one that was meant.
pub(super) fn first_columns(given: &[String], heading: &str) -> anyhow::Result<Vec<String>> {
    let mut wide = None;
    read(given, |line| {
        if let Some(rest) = line.strip_prefix(heading)
            && rest.starts_with("  ")
        {
            wide = Some(heading.len() + rest.len() - rest.trim_start().len() - 2);
            return None;
        }
        let cell: String = wide.map_or_else(|| line.to_owned(), |wide| line.chars().take(wide).collect());
        Some(cell.trim_end().to_owned()).filter(|cell| !cell.is_empty())
    })
}

fn read(given: &[String], mut id_of: impl FnMut(&str) -> Option<String>) -> anyhow::Result<Vec<String>> {
    let mut ids = Vec::new();
    for id in given {
        if id == "-" {
            for (number, line) in io::stdin().lock().lines().enumerate() {
                let line = line.with_context(|| format!("reading line {} of standard input", number + 1))?;
                ids.extend(id_of(&line));
            }
        } else {
            ids.push(id.clone());
        }
    }
    // The same id twice is one wish.
    let mut seen = std::collections::HashSet::new();
    ids.retain(|id| seen.insert(id.clone()));
    if ids.is_empty() {
        bail!("no ids were given: name them, or give - and write them to standard input, one a line");
    }
    Ok(ids)
}

/// Previews, asks, submits, prints. 0 when something was done, 1 when everything was refused.
pub(super) async fn act(
    settings: &Settings,
    engine: &Engine,
    acting: &Acting,
    command: Command,
) -> anyhow::Result<ExitCode> {
    command.validate()?;
    let plan = engine.preview(&command).await?.reasoned(Reasoned::of(acting.reason.as_deref()));
    if acting.dry_run {
        if acting.json {
            output::json(&plan)?;
        } else {
            print_plan(&plan)?;
        }
        return Ok(if plan.will_run() > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if settings.production && acting.reason.is_none() {
        return wrong_usage(
            "this context is marked production: say why with --reason TEXT; nothing was changed",
        );
    }
    if !acting.yes {
        print_plan(&plan)?;
        if !io::stdin().is_terminal() {
            bail!("not confirmed: nothing was changed; add --yes to go ahead without being asked");
        }
        if plan.will_run() > 0 && !asked(plan.will_run())? {
            bail!("not confirmed: nothing was changed");
        }
    }
    let submission = Submission {
        action: clock::new_id().into(),
        asker: Asker::Operator(settings.operator.clone()),
        reason: acting.reason.clone(),
        command,
    };
    let receipt = submit(engine, &submission).await?;
    if acting.json {
        output::json(&receipt)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(answer) = &receipt.triggered {
        output::print(&format!(
            "{} {}: {}",
            answer.onboarding_id,
            answer.status,
            SafeText::new(&answer.message)
        ))?;
        return Ok(ExitCode::SUCCESS);
    }
    let repeated = if receipt.repeated { " (already, by an earlier submission)" } else { "" };
    output::print(&format!(
        "{}: applied to {} of {}{repeated}",
        receipt.kind,
        receipt.applied(),
        receipt.outcomes.len()
    ))?;
    for outcome in &receipt.outcomes {
        if let Some(why) = &outcome.left_out {
            output::print(&format!(
                "left out {}: {}",
                SafeText::new(&outcome.id),
                SafeText::new(&why.to_string())
            ))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print_plan(plan: &crate::engine::plan::Plan) -> anyhow::Result<()> {
    output::print(&SafeText::new(&format!("{}: {}", plan.kind, plan.summary())).to_string())?;
    for line in plan.lines.iter().take(MOST_LINES) {
        let will = line.left_out.as_ref().map_or_else(|| "will run".to_owned(), ToString::to_string);
        output::print(&format!("  {}  {}: {}", SafeText::new(&line.id), line.label, SafeText::new(&will)))?;
    }
    if let Some(more @ 1..) = plan.lines.len().checked_sub(MOST_LINES) {
        output::print(&format!("  and {more} more; --json names them all"))?;
    }
    for step in &plan.undo {
        let will = serde_json::to_value(step.will)?;
        let will = will.as_str().unwrap_or_default().replace('_', " ");
        output::print(&format!("  {} {}: {will}", step.compensation.operation, step.compensation.name))?;
    }
    for warning in plan.irreversible.iter().chain(&plan.warnings) {
        output::print(&format!("  note: {warning}"))?;
    }
    Ok(())
}

fn asked(count: usize) -> anyhow::Result<bool> {
    let mut out = io::stdout().lock();
    write!(out, "go ahead with {count}? [y/N] ")?;
    out.flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}
