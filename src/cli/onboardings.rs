//! `redrive onboardings …`: the headless twin of the Onboardings screen.

use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;

use super::{
    Settings,
    act::{self, Acting, Revealing},
    audit,
    listing::Listing,
    output,
};
use crate::{
    domain::{onboarding::Request, text::SafeText},
    engine::{
        command::{Command, Elsewhere, Target},
        reader::{Detail, List, OnboardingPage, OnboardingRow, Page, Query, Rows},
    },
    run,
};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Newest first
    List {
        #[command(flatten)]
        listing: Listing,
    },
    /// One onboarding with its attempts, compensations and letters
    Show {
        /// Its id
        id: String,
        #[command(flatten)]
        revealing: Revealing,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Start one, as a service would: nothing is asked; triggering twice gives the same onboarding
    #[command(mut_arg("yes", |arg| arg.hide(true)))]
    Trigger {
        /// The tenant
        #[arg(long, value_name = "ID")]
        tenant: String,
        /// https://HOST/OWNER/NAME
        #[arg(long, value_name = "URL")]
        repo_url: String,
        /// The Terraform Cloud workspace, ws-…
        #[arg(long, value_name = "ID")]
        workspace_id: Option<String>,
        #[command(flatten)]
        acting: Acting,
    },
    /// Go on from the checkpoint with fresh attempts
    Resume {
        /// Their ids; - reads them from standard input
        #[arg(required = true)]
        ids: Vec<String>,
        /// Also those begun elsewhere and in progress there: confirms that nobody else works on them
        #[arg(long)]
        take_over: bool,
        #[command(flatten)]
        acting: Acting,
    },
    /// Undo what one onboarding did, last-in first-out
    Rollback {
        /// Its id
        id: String,
        /// Also when begun elsewhere and in progress there: confirms that nobody else works on it
        #[arg(long)]
        take_over: bool,
        #[command(flatten)]
        acting: Acting,
    },
}

pub(super) async fn run(settings: &Settings, verb: Verb) -> anyhow::Result<ExitCode> {
    let opened = run::open(settings).await?;
    let engine = &opened.engine;
    match verb {
        Verb::List { listing } => {
            let query = listing.query(List::Onboardings)?;
            let Rows::Onboardings(rows) = engine.reader().read(&query).await?.rows else {
                bail!("the database answered another list than the one asked for");
            };
            if listing.json {
                output::json(&rows)?
            } else {
                list(&rows)?
            }
            Ok(ExitCode::SUCCESS)
        }
        Verb::Show { id, revealing, json } => {
            let query = Query { detail: Some(Detail::Onboarding(id.as_str().into())), ..Query::default() };
            match engine.reader().read(&query).await?.page {
                Some(Page::Onboarding(mut page)) => {
                    let of = Detail::Onboarding(page.row.id.clone());
                    let revealed = revealing.payload(settings, engine, of).await?;
                    if let Some(revealed) = &revealed {
                        page.context = revealed.json();
                    }
                    match (json, &revealed) {
                        (true, _) => output::json(&page)?,
                        (false, None) => show(&page, &page.context.to_string())?,
                        (false, Some(revealed)) => {
                            show(&page, "below")?;
                            act::print_payload("context in the clear", revealed)?;
                        }
                    }
                    Ok(ExitCode::SUCCESS)
                }
                _ => bail!("no onboarding {id}: `redrive onboardings list` shows which there are"),
            }
        }
        Verb::Trigger { tenant, repo_url, workspace_id, acting } => {
            let command = Command::Trigger { request: Request { tenant_id: tenant, repo_url, workspace_id } };
            // Triggering is idempotent and undoes nothing: it is not asked about.
            let acting = Acting { yes: true, ..acting };
            act::act(settings, engine, &acting, command).await
        }
        Verb::Resume { ids, take_over, acting } => {
            let onboardings =
                act::ids(&ids)?.into_iter().map(|id| Target { id: id.into(), seen: None }).collect();
            let command = Command::Resume { onboardings, elsewhere: elsewhere(take_over) };
            act::act(settings, engine, &acting, command).await
        }
        Verb::Rollback { id, take_over, acting } => {
            let onboarding = Target { id: id.into(), seen: None };
            let command = Command::RollBack { onboarding, elsewhere: elsewhere(take_over) };
            act::act(settings, engine, &acting, command).await
        }
    }
}

fn elsewhere(take_over: bool) -> Elsewhere {
    if take_over { Elsewhere::TakeOver } else { Elsewhere::Leave }
}

fn list(rows: &[OnboardingRow]) -> anyhow::Result<()> {
    let cells = rows.iter().map(|row| {
        vec![
            row.id.to_string(),
            word(row),
            output::or_dash(row.current_state.as_ref()),
            row.tenant_id.to_string(),
            row.repo_url.to_string(),
            output::time(Some(row.created_at)),
            row.error.as_ref().map(ToString::to_string).unwrap_or_default(),
        ]
    });
    output::table(
        &["ID", "STATUS", "STATE", "TENANT", "REPO", "CREATED (UTC)", "ERROR"],
        &cells.collect::<Vec<_>>(),
    )
}

/// The finer word where there is one.
fn word(row: &OnboardingRow) -> String {
    row.phase.map_or_else(|| format!("{} elsewhere", row.status), |phase| phase.to_string())
}

fn show(page: &OnboardingPage, context: &str) -> anyhow::Result<()> {
    let row = &page.row;
    let pairs = [
        ("onboarding", SafeText::new(row.id.as_str()).to_string()),
        ("tenant", row.tenant_id.to_string()),
        ("repository", row.repo_url.to_string()),
        ("workspace", output::or_dash(row.workspace_id.as_ref())),
        ("status", word(row)),
        ("state", output::or_dash(row.current_state.as_ref())),
        ("created", output::time(Some(row.created_at))),
        ("failed", output::time(row.failed_at)),
        ("last action", output::or_dash(row.last_action.as_ref())),
        ("context", context.to_owned()),
    ];
    for (name, value) in pairs {
        output::print(&format!("{name:<12} {}", SafeText::new(&value)))?;
    }
    output::print("")?;
    let attempts = page.attempts.iter().map(|a| {
        vec![
            a.state.to_string(),
            a.attempt.to_string(),
            output::time(Some(a.started_at)),
            a.outcome.map_or_else(|| "running".to_owned(), |o| o.to_string()),
            a.error.clone().or_else(|| a.reason.clone()).unwrap_or_default(),
        ]
    });
    output::table(&["STATE", "ATTEMPT", "STARTED (UTC)", "OUTCOME", "ERROR"], &attempts.collect::<Vec<_>>())?;
    if !page.compensations.is_empty() {
        output::print("")?;
        let rows = page.compensations.iter().rev();
        let rows = rows.map(|c| vec![c.operation.clone(), c.name.to_string(), c.status.to_string()]);
        output::table(&["COMPENSATION", "OF", "STATUS"], &rows.collect::<Vec<_>>())?;
    }
    if !page.letters.is_empty() {
        output::print("")?;
        let rows = page.letters.iter().map(|letter| {
            vec![
                letter.id.to_string(),
                letter.status.to_string(),
                letter.state.to_string(),
                output::time(Some(letter.created_at)),
                letter.error.to_string(),
            ]
        });
        output::table(&["LETTER", "STATUS", "STATE", "WRITTEN (UTC)", "ERROR"], &rows.collect::<Vec<_>>())?;
    }
    if !page.audit.is_empty() {
        output::print("")?;
        audit::list(&page.audit)?;
    }
    Ok(())
}
