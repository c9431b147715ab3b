//! `redrive letters …`: the headless twin of the Letters screen.

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
    domain::{id::LetterId, text::SafeText},
    engine::{
        command::{Command, Pace, Target},
        reader::{Detail, LetterPage, LetterRow, List, Page, Query, Rows},
    },
    run,
};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Newest first
    List {
        /// Only the letters of one error group
        #[arg(long, value_name = "FINGERPRINT")]
        group: Option<String>,
        #[command(flatten)]
        listing: Listing,
    },
    /// One letter with its request and error history
    Show {
        /// Its id
        id: String,
        #[command(flatten)]
        revealing: Revealing,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Try letters again, paced: one, then ten, then at the rate given
    Replay {
        /// Their ids; - reads them from standard input
        #[arg(required = true)]
        ids: Vec<String>,
        /// Letters per second
        #[arg(long, value_name = "RATE", default_value_t = Pace::default().per_second, value_parser = per_second,
            allow_negative_numbers = true)]
        per_second: f64,
        /// Stop when the first letter fails again, or later more than this share of them, 0 to 1; 1 never stops
        #[arg(long, value_name = "SHARE", default_value_t = Pace::default().refail_limit, value_parser = share,
            allow_negative_numbers = true)]
        stop_above: f64,
        #[command(flatten)]
        acting: Acting,
    },
    /// Decide that letters need nothing more; they are kept and can be restored
    Discard {
        /// Their ids; - reads them from standard input
        #[arg(required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        acting: Acting,
    },
    /// Open discarded or quarantined letters again
    Restore {
        /// Their ids; - reads them from standard input
        #[arg(required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        acting: Acting,
    },
}

fn per_second(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && rate <= 10_000.0 => Ok(rate),
        _ => Err("a number above 0 and at most 10,000 is expected".to_owned()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("a number between 0 and 1 is expected".to_owned()),
    }
}

pub(super) async fn run(settings: &Settings, verb: Verb) -> anyhow::Result<ExitCode> {
    let opened = run::open(settings).await?;
    let engine = &opened.engine;
    match verb {
        Verb::List { group, listing } => {
            let query = listing.query(List::Letters { group })?;
            let Rows::Letters(rows) = engine.reader().read(&query).await?.rows else {
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
            let query = Query { detail: Some(Detail::Letter(id.as_str().into())), ..Query::default() };
            match engine.reader().read(&query).await?.page {
                Some(Page::Letter(mut page)) => {
                    let of = Detail::Letter(page.row.id.clone());
                    let revealed = revealing.payload(settings, engine, of).await?;
                    if let Some(revealed) = &revealed {
                        page.request = revealed.json();
                    }
                    match (json, &revealed) {
                        (true, _) => output::json(&page)?,
                        (false, None) => show(&page, &page.request.to_string())?,
                        (false, Some(revealed)) => {
                            show(&page, "below")?;
                            act::print_payload("request in the clear", revealed)?;
                        }
                    }
                    Ok(ExitCode::SUCCESS)
                }
                _ => bail!("no letter {id}: `redrive letters list` shows which there are"),
            }
        }
        Verb::Replay { ids, per_second, stop_above, acting } => {
            let pace = Pace { per_second, refail_limit: stop_above };
            act::act(settings, engine, &acting, Command::Replay { letters: targets(&ids)?, pace }).await
        }
        Verb::Discard { ids, acting } => {
            act::act(settings, engine, &acting, Command::Discard { letters: targets(&ids)? }).await
        }
        Verb::Restore { ids, acting } => {
            act::act(settings, engine, &acting, Command::Restore { letters: targets(&ids)? }).await
        }
    }
}

fn targets(ids: &[String]) -> anyhow::Result<Vec<Target<LetterId>>> {
    Ok(act::ids(ids)?.into_iter().map(|id| Target { id: id.into(), seen: None }).collect())
}

fn cells(row: &LetterRow) -> Vec<String> {
    vec![
        row.id.to_string(),
        row.status.to_string(),
        output::or_dash(row.outcome.as_ref()),
        row.state.to_string(),
        row.label.to_string(),
        output::time(Some(row.created_at)),
        row.replays.to_string(),
        row.error.to_string(),
    ]
}

fn list(rows: &[LetterRow]) -> anyhow::Result<()> {
    output::table(
        &["ID", "STATUS", "OUTCOME", "STATE", "OF", "CREATED (UTC)", "REPLAYS", "ERROR"],
        &rows.iter().map(cells).collect::<Vec<_>>(),
    )
}

fn show(page: &LetterPage, request: &str) -> anyhow::Result<()> {
    list(std::slice::from_ref(&page.row))?;
    output::print(&format!("\nonboarding {}", SafeText::new(page.row.onboarding.as_str())))?;
    output::print(&format!("group      {}", SafeText::new(&page.row.error_fingerprint)))?;
    output::print(&format!("key        {}", output::or_dash(page.key.as_ref())))?;
    output::print(&format!("request    {}\n", SafeText::new(request)))?;
    let history = page.history.iter().map(|a| {
        vec![
            a.state.to_string(),
            a.attempt.to_string(),
            output::time(Some(a.started_at)),
            a.error.clone().unwrap_or_default(),
            a.reason.clone().unwrap_or_default(),
        ]
    });
    output::table(
        &["STATE", "ATTEMPT", "STARTED (UTC)", "ERROR", "WHAT FOLLOWED"],
        &history.collect::<Vec<_>>(),
    )
}
