//! `redrive keys …`: the headless twin of the Keys screen.

use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;

use super::{
    Settings,
    act::{self, Acting, Revealing},
    listing::Listing,
    output,
};
use crate::{
    domain::{key::KeyLife, text::SafeText},
    engine::{
        command::{Command, Target},
        reader::{Detail, KeyPage, KeyRow, List, Page, Query, Rows},
    },
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
        #[command(flatten)]
        revealing: Revealing,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Set held keys free, so that the next request runs; where a holder may still be at work it takes a --reason
    Release {
        /// As stored: operation/client_key; - reads them from standard input
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
        #[command(flatten)]
        acting: Acting,
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
        Verb::Show { key, revealing, json } => {
            let query = Query { detail: Some(Detail::Key(key.as_str().into())), ..Query::default() };
            match engine.reader().read(&query).await?.page {
                Some(Page::Key(mut page)) => {
                    let of = Detail::Key(page.row.key.clone());
                    let revealed = revealing.payload(settings, engine, of).await?;
                    if let Some(revealed) = &revealed {
                        page.response = Some(revealed.json());
                    }
                    if json {
                        output::json(&page)?;
                    } else {
                        show(&page)?;
                        if let Some(revealed) = &revealed {
                            act::print_payload("stored response in the clear", revealed)?;
                        }
                    }
                    Ok(ExitCode::SUCCESS)
                }
                _ => bail!("no key {}: `redrive keys list` shows which there are", SafeText::new(&key)),
            }
        }
        Verb::Release { keys, acting } => {
            let targets = act::first_columns(&keys, "KEY")?;
            let keys = targets.into_iter().map(|id| Target { id: id.into(), seen: None }).collect();
            act::act(settings, engine, &acting, Command::Release { keys }).await
        }
    }
}

fn show(page: &KeyPage) -> anyhow::Result<()> {
    let row = &page.row;
    list(std::slice::from_ref(row))?;
    output::print(&format!("\n{}\n", page.why))?;
    if matches!(row.life, KeyLife::InFlight | KeyLife::LeaseOver | KeyLife::Elsewhere) {
        let beats = if row.holder_alive { "shows a heartbeat" } else { "shows no heartbeat" };
        output::print(&format!("holder     {}, {beats}", output::or_dash(row.locked_by.as_ref())))?;
    }
    output::print(&format!("expires    {}", output::time(row.expires_at)))?;
    output::print(&format!("hash       {}", row.request_hash))?;
    if let Some(bytes) = page.response_bytes {
        let code = row.response_code.map_or_else(|| "no code".to_owned(), |code| format!("code {code}"));
        output::print(&format!("response   {code}, {bytes} bytes"))?;
    }
    for name in &page.response_headers {
        output::print(&format!("header     {name}"))?;
    }
    for letter in &page.letters {
        output::print(&format!("letter     {} {}", SafeText::new(letter.id.as_str()), letter.status))?;
    }
    for action in &page.audit {
        let why = action.reason.as_ref().map(|why| format!(": {}", why));
        let at = output::time(Some(action.at));
        output::print(&format!(
            "action     {at} {} by {}{}",
            action.kind,
            action.operator,
            why.unwrap_or_default()
        ))?;
    }
    Ok(())
}

fn list(rows: &[KeyRow]) -> anyhow::Result<()> {
    let cells = rows.iter().map(|row| {
        let word = row.phase.map_or_else(|| row.status.to_string(), |phase| phase.to_string());
        // A space at the end would not be seen, and lost when the table is given back: another key would be meant.
        let key = row.key.to_string();
        let key = key.strip_suffix(' ').map_or(key.clone(), |front| format!("{front}<U+0020>"));
        vec![
            key,
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
