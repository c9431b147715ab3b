//! `redrive audit list`: the headless twin of the Audit screen.

use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;

use super::{Settings, listing::Listing, output};
use crate::{
    engine::reader::{AuditRow, List, Rows},
    run,
};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// What operators did, newest first: operator:ana action:replay age:<1h
    List {
        #[command(flatten)]
        listing: Listing,
    },
}

pub(super) async fn run(settings: &Settings, verb: Verb) -> anyhow::Result<ExitCode> {
    let Verb::List { listing } = verb;
    let opened = run::open(settings).await?;
    let query = listing.query(List::Audit)?;
    let Rows::Audit(rows) = opened.engine.reader().read(&query).await?.rows else {
        bail!("the database answered another list than the one asked for");
    };
    if listing.json {
        output::json(&rows)?
    } else {
        list(&rows)?
    }
    Ok(ExitCode::SUCCESS)
}

/// What was done, by whom and why.
pub(super) fn list(rows: &[AuditRow]) -> anyhow::Result<()> {
    let cells = rows.iter().map(|row| {
        vec![
            output::time(Some(row.at)),
            row.operator.to_string(),
            row.what(),
            row.applied.to_string(),
            row.left_out.to_string(),
            output::or_dash(row.reason.as_ref()),
            row.targets.iter().map(|target| target.as_str()).collect::<Vec<_>>().join(" "),
        ]
    });
    output::table(
        &["AT (UTC)", "OPERATOR", "ACTION", "APPLIED", "LEFT OUT", "REASON", "TARGETS"],
        &cells.collect::<Vec<_>>(),
    )
}
