//! Flags: what can be asked for on the command line, checked here, acted upon by `run` and by the engine.
//!
//! Exit codes: 0 done, 1 failed or refused, 2 wrong usage; `status --exit-code` adds 10 elevated, 11 storm, 12 stuck,
//! 13 unknown.

mod act;
mod audit;
mod check;
mod circuits;
mod comfort;
mod config_file;
mod demo;
mod keys;
mod lab;
mod letters;
mod listing;
mod onboardings;
mod output;
mod policies;
mod replays;
mod settings;
mod status;
mod targets;
mod verdict;

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, parser::ValueSource};

use crate::{
    domain::{onboarding::State, text::SafeText},
    engine::injection::{BadInjection, Injection},
    run::{self, Settings},
    tui::theme::{Look, Palette},
};

/// A terminal dashboard for onboardings and everything else that is retried, and the engine behind it.
#[derive(Debug, Parser)]
#[command(name = "redrive", version, about, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Flags every command knows.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
struct Common {
    /// The database: sqlite:PATH, sqlite::memory: or postgres://…
    #[arg(long, global = true, value_name = "URL", env = "REDRIVE_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// A metrics endpoint to scrape, [NAME=]http://host:port/metrics, or with dns+ in front of the URL every address of
    /// the host; repeatable
    #[arg(long, global = true, value_name = "URL")]
    metrics: Vec<String>,
    /// A Prometheus server to ask
    #[arg(long, global = true, value_name = "URL")]
    prometheus: Option<String>,
    /// Look only: nothing can be written
    #[arg(long, global = true)]
    read_only: bool,
    /// The config file
    #[arg(long, global = true, value_name = "PATH", env = "REDRIVE_CONFIG")]
    config: Option<PathBuf>,
    /// Which [context.NAME] of the config file
    #[arg(long, global = true, value_name = "NAME", env = "REDRIVE_CONTEXT")]
    context: Option<String>,
    /// Who acts, for the audit
    #[arg(long, global = true, value_name = "NAME", env = "REDRIVE_OPERATOR", value_parser = name)]
    operator: Option<String>,
    /// Write the log to this file (REDRIVE_LOG sets its level)
    #[arg(long, global = true, value_name = "PATH")]
    log: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The whole thing on this machine with nothing installed: a storm to watch and to clear
    Demo(demo::Args),
    /// The dashboard (the default)
    Top(Watch),
    /// Run onboardings and replays; serve the intake, /metrics, /livez and /readyz
    ///
    /// The intake takes triggers as Content-Type: application/json, from programs: pages of other origins are refused, and a
    /// worker on loopback answers only to names of loopback and to allowed_hosts in [intake] of the config file, where
    /// header_timeout and body_timeout stand too.
    Worker(Worker),
    /// Create the tables, or bring them up to date
    Migrate,
    /// Database, schema, rights, every metrics target and what reads it: what is wrong, in words
    Check(check::Args),
    /// What is wrong, in one sentence and a few numbers
    Status(status::Args),
    /// Onboardings: list, show, trigger, resume, roll back
    #[command(subcommand)]
    Onboardings(onboardings::Verb),
    /// Dead letters: list, show, replay, discard, restore
    #[command(subcommand)]
    Letters(letters::Verb),
    /// Replays: list, show, stop
    #[command(subcommand)]
    Replays(replays::Verb),
    /// Idempotency keys: list, show, release
    #[command(subcommand)]
    Keys(keys::Verb),
    /// Circuits and budgets: list, show, force, pause, unpause
    #[command(subcommand)]
    Circuits(circuits::Verb),
    /// Who did what, why, to what, with which result: list
    #[command(subcommand)]
    Audit(audit::Verb),
    /// A known incident in virtual time, retry policies side by side
    Lab(lab::Args),
}

/// How the dashboard looks.
#[derive(Debug, Clone, Args)]
struct Top {
    /// Colours to begin with; NO_COLOR, TERM=dumb and a locale without UTF-8 are obeyed
    #[arg(long, value_name = "THEME", value_parser = Palette::CHOICES.map(Palette::name))]
    theme: Option<String>,
    /// How often the database is read and targets are scraped
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    interval: Duration,
    /// Record every picture into this new file, without pages and payloads and with secrets masked
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Leave the mouse to the terminal: no click, no wheel
    #[arg(long)]
    no_mouse: bool,
}

/// The dashboard of a database, or of a recording.
#[derive(Debug, Clone, Args)]
struct Watch {
    #[command(flatten)]
    top: Top,
    /// Show a recording again, without database or network; f holds it, then ← → step through it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["record", "interval"])]
    playback: Option<PathBuf>,
    /// How much faster than it was recorded (below 1: slower)
    #[arg(long, value_name = "N", default_value_t = 1.0, requires = "playback", value_parser = speed)]
    speed: f64,
}

#[derive(Debug, Args)]
struct Faults {
    /// Inject a fault, PLACE.MOMENT=WHAT; repeatable (--help says more)
    ///
    /// Put faults where real ones happen: only into a demo, or a database whose name holds the word test or demo.
    /// PLACE is a state (CONFIGURING_SYNC, ROLLING_BACK), a verb of the store (claim, record, renew, …), or a verb for one
    /// state (record:NOTIFYING). MOMENT is before, after or, for a verb on SQLite, commit. WHAT is fail, delay:TIME,
    /// timeout, repeat, crash (as kill -9), stop (until SIGCONT) or panic, from the first time on; @2 from the second, *3
    /// three times. For example CONFIGURING_SYNC.after=timeout*3, record.after=fail@5, claim.before=delay:2s.
    #[arg(long = "fault", value_name = "FAULT", value_parser = fault)]
    faults: Vec<Injection>,
}

#[derive(Debug, Args)]
struct Worker {
    /// Where the intake and /metrics listen; port 0 takes any
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8383")]
    listen: SocketAddr,
    /// The worker's name; host and process id by default
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: Option<String>,
    #[command(flatten)]
    faults: Faults,
}

/// Whether `words`, of which the first is the program, are a command line; for what is offered to be pasted.
///
/// # Errors
/// What is wrong with them, in clap's words.
pub fn check<I: IntoIterator<Item = String>>(words: I) -> Result<(), String> {
    Cli::try_parse_from(words).map(drop).map_err(|error| error.to_string())
}

/// Parses, runs, answers the exit code.
pub fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    // Set in the environment it is meant for other commands; as a flag, for this one.
    let names_a_database = matches.value_source("database_url") == Some(ValueSource::CommandLine);
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match dispatch(cli, names_a_database) {
        Ok(code) => code,
        // Whoever read us has read enough: `redrive onboardings list | head -1`.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // The chain from what was being done to why it failed, each part once.
            let mut text = error.to_string();
            for cause in error.chain().skip(1).map(ToString::to_string) {
                if !text.contains(&cause) {
                    text.push_str(": ");
                    text.push_str(&cause);
                }
            }
            // Nobody may be listening there either.
            let _ = writeln!(io::stderr(), "redrive: {}", SafeText::new(&text));
            if error.is::<Usage>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// What was asked for cannot be meant, found where clap cannot look.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

fn wrong_usage<T>(why: impl Into<String>) -> anyhow::Result<T> {
    Err(Usage(why.into()).into())
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn dispatch(cli: Cli, names_a_database: bool) -> anyhow::Result<ExitCode> {
    let settings = settings::gather(&cli.common)?;
    match cli.command {
        None => {
            let top = Top { theme: None, interval: Duration::from_secs(1), record: None, no_mouse: false };
            run::top(&settings, &top.look(&settings))
        }
        Some(Command::Top(Watch { playback: Some(_), .. }))
            if names_a_database || !cli.common.metrics.is_empty() || cli.common.prometheus.is_some() =>
        {
            wrong_usage(
                "a recording is played without database and network: leave --database-url, --metrics and --prometheus away",
            )
        }
        Some(Command::Top(Watch { playback: Some(file), top, speed })) => {
            run::playback(&settings, &top.look(&settings), &file, speed)
        }
        Some(Command::Top(watch)) => run::top(&settings, &watch.top.look(&settings)),
        Some(Command::Demo(_)) if names_a_database => wrong_usage(
            "the demo brings a database of its own: leave --database-url away, or look at yours with redrive top",
        ),
        Some(Command::Demo(args)) => demo::run(&settings, args),
        Some(Command::Worker(worker)) => {
            run::worker(&settings, worker.listen, worker.name, worker.faults.faults)
        }
        Some(Command::Migrate) => run::migrate(&settings),
        Some(Command::Check(args)) => run::block(&settings, check::run(&settings, args)),
        Some(Command::Status(args)) => run::block(&settings, status::run(&settings, args)),
        Some(Command::Onboardings(verb)) => run::block(&settings, onboardings::run(&settings, verb)),
        Some(Command::Letters(verb)) => run::block(&settings, letters::run(&settings, verb)),
        Some(Command::Replays(verb)) => run::block(&settings, replays::run(&settings, verb)),
        Some(Command::Keys(verb)) => run::block(&settings, keys::run(&settings, verb)),
        Some(Command::Circuits(verb)) => run::block(&settings, circuits::run(&settings, verb)),
        Some(Command::Audit(verb)) => run::block(&settings, audit::run(&settings, verb)),
        Some(Command::Lab(args)) => lab::run(&args),
    }
}

impl Top {
    /// Flags over the config file over what the environment allows.
    fn look(&self, settings: &Settings) -> run::Look {
        let look = Look::of_environment(|name| std::env::var(name).ok());
        let palette = self.theme.as_deref().and_then(Palette::named).or(settings.theme);
        run::Look {
            look: palette.map_or(look, |palette| look.with(palette)),
            interval: self.interval,
            record: self.record.clone(),
            mouse: settings.preferences.mouse && !self.no_mouse,
        }
    }
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if (0.1..=1_000.0).contains(&speed) => Ok(speed),
        _ => Err("a number from 0.1 to 1000 is expected".to_owned()),
    }
}

/// A name for the audit and for what was leased: one that can be read.
fn name(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        Err("a name is expected, not blanks".to_owned())
    } else if text.chars().count() > 200 {
        Err("a name of at most 200 characters is expected".to_owned())
    } else if text.chars().any(char::is_control) {
        Err("a name without control characters is expected".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

/// The engine takes a fault at any state; what runs here is the pipeline, which has these.
fn fault(text: &str) -> Result<Injection, String> {
    let fault: Injection = text.parse().map_err(|error: BadInjection| error.to_string())?;
    match fault.state() {
        Some(state) if state.parse::<State>().is_err() => {
            let states: Vec<&str> = State::ALL.iter().map(|state| state.as_str()).collect();
            Err(format!("no state {state:?}: use {}", states.join(", ")))
        }
        _ => Ok(fault),
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let parsed = humantime::parse_duration(text).map_err(|e| format!("{e}; for example 500ms or 2s"))?;
    if (Duration::from_millis(100)..=Duration::from_secs(3_600)).contains(&parsed) {
        Ok(parsed)
    } else {
        Err("between 100ms and 1h is expected".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_flags_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
