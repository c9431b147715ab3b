//! `redrive check`: everything a dashboard or a worker would need, tried once, and what is wrong with it in words.

use std::{fmt, process::ExitCode};

use serde::Serialize;

use super::{Settings, output};
use crate::{
    domain::mask,
    engine::reader::Query,
    http,
    metrics::{
        self,
        discovery::{self, Resolver},
        scrape::{self, ScrapeResult, Scraped},
        source::Presets,
    },
    run, store,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

/// How something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Found {
    /// As it should be.
    Ok,
    /// It works, but somebody should know.
    Warning,
    /// It does not work.
    Wrong,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Wrong => "WRONG",
        })
    }
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    found: Found,
    what: String,
    says: String,
}

impl Finding {
    fn new(found: Found, what: &str, says: impl fmt::Display) -> Self {
        Self { found, what: what.to_owned(), says: mask::secrets(&says.to_string()) }
    }
}

pub(super) async fn run(settings: &Settings, args: Args) -> anyhow::Result<ExitCode> {
    let mut findings = database(settings).await;
    findings.extend(targets(settings).await?);
    findings.extend(settings.warnings.iter().map(|said| Finding::new(Found::Warning, "config", said)));
    let wrong = findings.iter().filter(|finding| finding.found == Found::Wrong).count();
    if args.json {
        output::json(&findings)?;
    } else {
        let row =
            |finding: &Finding| vec![finding.found.to_string(), finding.what.clone(), finding.says.clone()];
        output::table(&["found", "what", "says"], &findings.iter().map(row).collect::<Vec<_>>())?;
    }
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn database(settings: &Settings) -> Vec<Finding> {
    let url = match settings.database() {
        Ok(url) => url,
        Err(error) => return vec![Finding::new(Found::Wrong, "database", error)],
    };
    let seen = match store::inspect(url).await {
        Ok(seen) => seen,
        Err(error) => return vec![Finding::new(Found::Wrong, "database", error)],
    };
    let encryption = match seen.encrypted {
        None => "",
        Some(true) => ", encrypted",
        Some(false) => ", not encrypted",
    };
    let mut findings = vec![
        Finding::new(Found::Ok, "database", format!("{}{encryption}", seen.product)),
        Finding::new(Found::Ok, "schema", format!("migration {}, which this program expects", seen.schema)),
    ];
    if let Some(how) = seen.pooler {
        let says = format!(
            "a pooler stands before the database ({how}): each transaction sets its own limits, and new work is found by {}",
            if settings.listen_url.is_some() {
                "listening at listen_url"
            } else {
                "polling, as no listen_url is named"
            }
        );
        findings.push(Finding::new(Found::Ok, "pooler", says));
    }
    if !seen.hidden.is_empty() {
        let says = format!(
            "row-level security is on for {}: rows may be hidden, and counts too small; let the role bypass it",
            seen.hidden.join(", ")
        );
        findings.push(Finding::new(Found::Warning, "row security", says));
    }
    findings.push(match (&seen.unreadable, &seen.unwritable) {
        (Some(why), _) => Finding::new(Found::Wrong, "rights", why),
        (None, Some(why)) if settings.read_only => Finding::new(Found::Ok, "rights", why),
        (None, Some(why)) => Finding::new(Found::Warning, "rights", why),
        (None, None) => Finding::new(Found::Ok, "rights", "it may be read and acted upon"),
    });
    // What a dashboard reads, read once: a right that is missing on a column shows here.
    if seen.unreadable.is_none() {
        let read = async {
            let opened = run::open(settings).await?;
            anyhow::Ok(opened.engine.reader().read(&Query::default()).await?)
        };
        findings.push(match read.await {
            Ok(board) => match board.workers.iter().filter(|worker| worker.alive).count() {
                0 => {
                    Finding::new(Found::Warning, "workers", "none is running: nothing moves until one starts")
                }
                alive => Finding::new(Found::Ok, "workers", format!("{alive} alive")),
            },
            Err(error) => Finding::new(Found::Wrong, "reading", error),
        });
    }
    findings
}

async fn targets(settings: &Settings) -> anyhow::Result<Vec<Finding>> {
    let (origins, server) = (run::origins(settings)?, run::server(settings)?);
    if origins.is_empty() && server.is_none() {
        let says = "none is named: there will be no verdict; --metrics URL or --prometheus URL names one";
        return Ok(vec![Finding::new(Found::Warning, "metrics", says)]);
    }
    let client = http::client(scrape::TIMEOUT)?;
    let (targets, faults) = discovery::all(&origins, &Resolver::system()).await;
    let mut said = metrics::ask(&client, &targets, server.as_ref(), scrape::TIMEOUT).await;
    said.extend(faults);
    Ok(said.iter().map(|result| target(result, &settings.presets)).collect())
}

fn target(result: &ScrapeResult, presets: &Presets) -> Finding {
    let what = format!("target {} ({})", result.name, result.url);
    let took = result.took.as_millis();
    match &result.outcome {
        Err(fault) => Finding::new(Found::Wrong, &what, fault),
        Ok(Scraped::Instances(instances)) if !instances.warnings.is_empty() => Finding::new(
            Found::Warning,
            &what,
            format!("it answers only in part: {} ({took} ms)", instances.warnings.join("; ")),
        ),
        Ok(Scraped::Instances(instances)) if instances.all.is_empty() => Finding::new(
            Found::Warning,
            &what,
            format!("it answers, but knows no metric that is read here ({took} ms)"),
        ),
        Ok(Scraped::Instances(instances)) => {
            let read = instances.named().into_iter().map(|(instance, name)| {
                let samples = instance.scrapes.last().map_or(&[][..], |(_, samples)| samples);
                let preset = presets.of(samples).map_or("no preset", |reading| reading.name());
                format!("{name} by {preset}")
            });
            let read: Vec<_> = read.take(10).collect();
            let more = instances.all.len().saturating_sub(read.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            Finding::new(Found::Ok, &what, format!("reads {}{more} ({took} ms)", read.join(", ")))
        }
        Ok(Scraped::Exposition(exposition)) => {
            let preset = presets.of(&exposition.samples);
            let mut says = match preset {
                Some(preset) => format!("read by {}", preset.name()),
                None if metrics::tell_of_keys(&exposition.samples) => "tells of keys only".to_owned(),
                None => {
                    "no preset knows its metrics: describe them in a [[preset]] of the config file".to_owned()
                }
            };
            says.push_str(&format!(", {} samples in {took} ms", exposition.samples.len()));
            if let Some(first) = exposition.warnings.first() {
                says.push_str(&format!(
                    "; {} lines could not be read, the first is line {}: {}",
                    exposition.unreadable, first.line, first.reason
                ));
            }
            let found =
                if preset.is_some() && exposition.unreadable == 0 { Found::Ok } else { Found::Warning };
            Finding::new(found, &what, says)
        }
    }
}
