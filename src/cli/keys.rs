//! `redrive keys …`: the headless twin of the Keys screen.

use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;

use super::{Settings, listing::Listing, output};
use crate::{
    domain::text::SafeText,
    engine::reader::{Detail, KeyRow, List, Page, Query, Rows},
    run,
};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Those in trouble first
    List {
        #[command(flatten)]
        listing: Listing,
    },
    /// One key, and why it will or will not be retried
    Show {
        /// As stored: operation/client_key
        key: String,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(settings: &Settings, verb: Verb) -> anyhow::Result<ExitCode> {
    let opened = run::open(settings).await?;
    let engine = &opened.engine;
    match verb {
        Verb::List { listing } => {
            let query = listing.query(List::Keys)?;
            let Rows::Keys(rows) = engine.reader().read(&query).await?.rows else {
                bail!("the database answered another list than the one asked for");
            };
            if listing.json {
                output::json(&rows)?
            } else {
                list(&rows)?
            }
            Ok(ExitCode::SUCCESS)
        }
        Verb::Show { key, json } => {
            let query = Query { detail: Some(Detail::Key(key.as_str().into())), ..Query::default() };
            match engine.reader().read(&query).await?.page {
                Some(Page::Key(mut page)) => {
                    // A stored response is a payload: its size is shown, its content is not.
                    page.response = page
                        .response
                        .map(|r| SafeText::new(&format!("({} characters)", r.as_str().chars().count())));
                    if json {
                        output::json(&page)?;
                    } else {
                        list(std::slice::from_ref(&page.row))?;
                        output::print(&format!("\n{}", page.why))?;
                    }
                    Ok(ExitCode::SUCCESS)
                }
                _ => bail!("no key {}: `redrive keys list` shows which there are", SafeText::new(&key)),
            }
        }
    }
}

fn list(rows: &[KeyRow]) -> anyhow::Result<()> {
    let cells = rows.iter().map(|row| {
        let word = row.phase.map_or_else(|| row.status.to_string(), |phase| phase.to_string());
        vec![
            row.key.to_string(),
            if row.stuck { format!("{word} STUCK") } else { word },
            row.attempts.to_string(),
            row.conflicts.to_string(),
            output::time(row.locked_at),
            output::time(row.lease_until),
            output::or_dash(row.locked_by.as_ref()),
            output::or_dash(row.onboarding.as_ref()),
        ]
    });
    output::table(
        &["KEY", "STATUS", "ATTEMPTS", "CONFLICTS", "LOCKED (UTC)", "LEASE UNTIL (UTC)", "BY", "ONBOARDING"],
        &cells.collect::<Vec<_>>(),
    )
}
