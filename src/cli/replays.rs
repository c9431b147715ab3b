//! `redrive replays …`: what replays came to, and stopping one.

use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;

use super::{
    Settings,
    act::{self, Acting},
    output,
};
use crate::{
    domain::text::SafeText,
    engine::{
        command::{Command, Target},
        reader::{Query, ReplayRow},
    },
    run,
};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Those that run, and the newest that ended
    List {
        /// JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// One replay
    Show {
        /// Its id
        id: String,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Stop one: what it has begun goes on, the rest is open again
    Stop {
        /// Its id
        id: String,
        #[command(flatten)]
        acting: Acting,
    },
}

pub(super) async fn run(settings: &Settings, verb: Verb) -> anyhow::Result<ExitCode> {
    let opened = run::open(settings).await?;
    let engine = &opened.engine;
    match verb {
        Verb::List { json } => {
            let rows = engine.reader().read(&Query::default()).await?.replays;
            if json {
                output::json(&rows)?
            } else {
                list(&rows)?
            }
            Ok(ExitCode::SUCCESS)
        }
        Verb::Show { id, json } => {
            let rows = engine.reader().read(&Query::default()).await?.replays;
            let Some(row) = rows.iter().find(|row| row.id.as_str() == id) else {
                bail!("no replay {}: `redrive replays list` shows the newest", SafeText::new(&id));
            };
            if json {
                output::json(row)?
            } else {
                list(std::slice::from_ref(row))?
            }
            Ok(ExitCode::SUCCESS)
        }
        Verb::Stop { id, acting } => {
            let replay = Target { id: id.into(), seen: None };
            act::act(settings, engine, &acting, Command::Stop { replay }).await
        }
    }
}

fn list(rows: &[ReplayRow]) -> anyhow::Result<()> {
    let cells = rows.iter().map(|row| {
        let standing = match (&row.stopped, &row.held_by, row.ended_at) {
            (Some(why), _, _) => format!("stopped: {why}"),
            (None, _, Some(_)) => "ended".to_owned(),
            (None, Some(operation), None) => format!("waits for {operation}"),
            (None, None, None) => "running".to_owned(),
        };
        vec![
            row.id.to_string(),
            row.operator.to_string(),
            output::time(Some(row.created_at)),
            row.total.to_string(),
            row.succeeded.to_string(),
            row.failed_again.to_string(),
            row.new_errors.to_string(),
            row.skipped.to_string(),
            row.open_again.to_string(),
            row.waiting.to_string(),
            standing,
        ]
    });
    output::table(
        &[
            "ID",
            "OPERATOR",
            "BEGUN (UTC)",
            "OF",
            "SUCCEEDED",
            "FAILED AGAIN",
            "NEW ERRORS",
            "LEFT OUT",
            "OPEN AGAIN",
            "WAITING",
            "IS",
        ],
        &cells.collect::<Vec<_>>(),
    )
}
