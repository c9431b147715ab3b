//! The composition root: opens, wires, and owns shutdown. One [`CancellationToken`], one [`TaskTracker`] a process.

use std::{
    fs::File,
    future::Future,
    io::{self, Write},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::{
    runtime::Runtime,
    sync::{oneshot, watch},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    clock,
    config::{Engine as EngineConfig, Intake, Upstreams},
    demo,
    domain::{id::WorkerId, mask, text::SafeText},
    engine::{
        Access, Engine,
        injection::{Injection, Injections},
        policies::Policies,
        reader::Query,
        store::{Store, StoreError},
    },
    http,
    metrics::{
        admission::Admission, collector::Collector, discovery::Origin, prometheus::Prometheus,
        rounds::Rounds, scrape, signals::Signals, source::Presets, verdict::Rules,
    },
    poll::{
        self, Feed, Sources,
        record::{self, Head, RecordError, Recorder, Recording},
    },
    service::process::Process,
    store::{self, OpenOptions},
    tui::{
        self,
        preferences::{Preferences, Switch},
        theme::Palette,
    },
};

/// The exit code of a process that SIGTERM ended.
pub(crate) const STOPPED: u8 = 143;

/// What the demo's dashboard is called.
const DEMO: &str = "demo · sqlite";

/// What every command needs to know about its surroundings: gathered by `cli`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The database, if one was named.
    pub database_url: Option<String>,
    /// Where to listen and migrate when a pooler stands before the database.
    pub listen_url: Option<String>,
    /// How many connections to the database there may be at once, if that was said.
    pub connections: Option<u32>,
    /// Where metrics endpoints are named; or what is wrong with that, for whoever needs them: a worker does not.
    pub metrics: Result<Vec<Origin>, String>,
    /// The Prometheus server's URL and how one is let in there, likewise.
    pub prometheus: Result<Option<(String, Admission)>, String>,
    /// Nothing may be written.
    pub read_only: bool,
    /// Who acts.
    pub operator: String,
    /// The context's name, for the header.
    pub context: Option<String>,
    /// Mistakes are dear in it.
    pub production: bool,
    /// The contexts that the dashboard can go to.
    pub contexts: Vec<Elsewhere>,
    /// What the operator chose.
    pub preferences: Preferences,
    /// The colours the config file names.
    pub theme: Option<Palette>,
    /// Where the pipeline's upstreams are.
    pub upstreams: Upstreams,
    /// How the engine behaves.
    pub engine: EngineConfig,
    /// How everything is tried.
    pub policies: Policies,
    /// How retries are judged.
    pub rules: Rules,
    /// What other people's metrics mean.
    pub presets: Presets,
    /// When a worker turns triggers away.
    pub intake: Intake,
    /// What callers of a worker's intake must send.
    pub token: Option<String>,
    /// Where the log goes, if not to standard error.
    pub log: Option<std::path::PathBuf>,
    /// What works, but should not stay so.
    pub warnings: Vec<String>,
}

/// Another context of the config file.
#[derive(Debug, Clone)]
pub struct Elsewhere {
    /// Its name.
    pub name: String,
    /// Its database, if it names one.
    pub database_url: Option<String>,
    /// Where to listen and migrate when a pooler stands before that.
    pub listen_url: Option<String>,
    /// How many connections to it there may be at once, if that was said.
    pub connections: Option<u32>,
    /// Where its metrics endpoints are named, or what is wrong with that.
    pub metrics: Result<Vec<Origin>, String>,
    /// Its Prometheus server, or what is wrong with it.
    pub prometheus: Result<Option<(String, Admission)>, String>,
    /// Nothing may be written in it.
    pub read_only: bool,
    /// Mistakes are dear in it.
    pub production: bool,
}

impl Settings {
    /// The same in another context.
    fn within(&self, place: &Elsewhere) -> Self {
        Self {
            database_url: place.database_url.clone(),
            listen_url: place.listen_url.clone(),
            connections: place.connections,
            metrics: place.metrics.clone(),
            prometheus: place.prometheus.clone(),
            read_only: place.read_only,
            context: Some(place.name.clone()),
            production: place.production,
            ..self.clone()
        }
    }

    /// The database's URL.
    ///
    /// # Errors
    /// When none was named, saying how to.
    pub fn database(&self) -> anyhow::Result<&str> {
        self.database_url.as_deref().context(
            "no database was named: give --database-url sqlite:PATH or postgres://…, set REDRIVE_DATABASE_URL, or try `redrive demo`",
        )
    }
}

/// How a dashboard looks.
#[derive(Debug, Clone)]
pub struct Look {
    /// Colours and characters.
    pub look: tui::theme::Look,
    /// How often it looks.
    pub interval: Duration,
    /// Where every picture is recorded.
    pub record: Option<PathBuf>,
    /// Whether it listens to the mouse.
    pub mouse: bool,
}

/// An open database.
pub struct Opened {
    /// What commands go through.
    pub engine: Engine,
    store: Arc<dyn Store>,
}

/// Opens the database of `settings`.
///
/// # Errors
/// When none is named, it cannot be reached, or its schema is not this version's.
pub async fn open(settings: &Settings) -> anyhow::Result<Opened> {
    let access = if settings.read_only { Access::ReadOnly } else { Access::ReadWrite };
    open_as(settings, OpenOptions::dashboard(access)).await
}

async fn open_as(settings: &Settings, options: OpenOptions) -> anyhow::Result<Opened> {
    let access = options.access;
    let injections = Arc::clone(&options.injections);
    let options = OpenOptions {
        connections: settings.connections.unwrap_or(options.connections),
        listen_url: settings.listen_url.clone(),
        ..options
    };
    let opened = store::open(settings.database()?, options.of(&settings.engine)).await?;
    let store = injections.around_store(opened.store);
    let engine = Engine::new(Arc::clone(&store), opened.reader, access);
    Ok(Opened { engine, store })
}

/// How long it is waited before the database is tried again: at first, and at most.
const AGAIN_AFTER: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// Opens what needs the database, again and again while what is in the way may pass by itself, and says so; `None` when
/// the process was asked to stop meanwhile.
async fn once_there<T>(mut open: impl AsyncFnMut() -> anyhow::Result<T>) -> anyhow::Result<Option<T>> {
    let (mut wait, longest) = AGAIN_AFTER;
    let mut stop = std::pin::pin!(stopped()?);
    loop {
        let opened = tokio::select! {
            () = &mut stop => return Ok(None),
            opened = open() => opened,
        };
        let error = match opened {
            Err(error) if error.downcast_ref::<StoreError>().is_some_and(StoreError::may_pass) => error,
            other => return other.map(Some),
        };
        let _ = say(&format!("{error}; trying again in {}", humantime::format_duration(wait)));
        tokio::select! {
            () = &mut stop => return Ok(None),
            () = clock::sleep(wait) => wait = (wait * 2).min(longest),
        }
    }
}

/// Runs a headless command to its end.
///
/// # Errors
/// The command's.
pub fn block(
    settings: &Settings,
    command: impl Future<Output = anyhow::Result<ExitCode>>,
) -> anyhow::Result<ExitCode> {
    log(settings, Quiet::Unless)?;
    runtime()?.block_on(command)
}

/// `redrive migrate`.
///
/// # Errors
/// When the database cannot be reached or a migration fails.
pub fn migrate(settings: &Settings) -> anyhow::Result<ExitCode> {
    block(settings, async {
        if settings.read_only {
            bail!("read-only: start without --read-only to migrate");
        }
        let url = match &settings.listen_url {
            None => settings.database()?,
            Some(direct) => {
                say(&format!("migrating at {}, past the pooler", store::label(direct)?))?;
                direct
            }
        };
        let applied = store::migrate(url).await?;
        match applied.as_slice() {
            [] => say("the schema is up to date")?,
            applied => {
                for migration in applied {
                    say(&format!("applied migration {} {}", migration.version, migration.name))?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// `redrive worker`.
///
/// # Errors
/// When the database cannot be opened or the address cannot be listened on, or when faults are to be injected and the
/// database is not for trying.
pub fn worker(
    settings: &Settings,
    listen: SocketAddr,
    name: Option<String>,
    faults: Vec<Injection>,
) -> anyhow::Result<ExitCode> {
    log(settings, Quiet::Never)?;
    if settings.read_only {
        bail!("a worker writes: start it without --read-only");
    }
    runtime()?.block_on(async {
        let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
        if !faults.is_empty() && !store::is_for_trying(settings.database()?)? {
            bail!(
                "no faults are injected here: the database's name has to hold the word test or demo, so that no real one is troubled by mistake"
            );
        }
        let injected: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let injections = Injections::new(faults);
        let options = OpenOptions {
            application_name: "redrive worker".to_owned(),
            injections: Arc::clone(&injections),
            ..OpenOptions::default()
        };
        let Some(opened) = once_there(async || open_as(settings, options.clone()).await).await? else {
            return Ok(ExitCode::from(STOPPED));
        };
        let worker = WorkerId(name.unwrap_or_else(worker_name));
        let store = Arc::clone(&opened.store);
        let process = Process {
            worker: worker.clone(),
            store: opened.store,
            engine: opened.engine,
            config: settings.engine.clone(),
            policies: settings.policies.clone(),
            intake: settings.intake.clone(),
            upstreams: settings.upstreams.clone(),
            listen,
            token: settings.token.clone(),
            injections,
        };
        let database = format!("database: {}", process.engine.reader().label());
        let stopped = stopped()?;
        let address = process.start(&tracker, &shutdown).await?;
        let worker = SafeText::new(worker.as_str());
        // A service goes on when nobody reads what it says.
        let _ = say(&format!(
            "worker {worker} listens on http://{address} (intake /onboardings, /metrics, /livez, /readyz)"
        ));
        let _ = say(&format!("{}\n{}", database, talks_to(&settings.upstreams)));
        if !injected.is_empty() {
            let _ = say(&format!("faults: {}", injected.join(", ")));
        }
        stopped.await;
        tracing::info!("stopping: finishing the steps in hand");
        shutdown.cancel();
        tracker.close();
        tracker.wait().await;
        store.close().await;
        Ok(ExitCode::SUCCESS)
    })
}

/// `redrive demo --only upstreams`.
///
/// # Errors
/// When the address cannot be listened on.
pub fn upstreams(settings: &Settings, listen: SocketAddr, plan: &demo::Plan) -> anyhow::Result<ExitCode> {
    log(settings, Quiet::Never)?;
    runtime()?.block_on(async {
        let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let stopped = stopped()?;
        let _ = say(&demo::only_upstreams(plan, listen, &tracker, &shutdown).await?);
        stopped.await;
        shutdown.cancel();
        tracker.close();
        let _ = tokio::time::timeout(Duration::from_secs(2), tracker.wait()).await;
        Ok(ExitCode::SUCCESS)
    })
}

/// `redrive demo`.
///
/// # Errors
/// When a part of the demo or the terminal cannot be set up.
pub fn demo(settings: &Settings, plan: &demo::Plan, look: &Look) -> anyhow::Result<ExitCode> {
    log(settings, Quiet::Always)?;
    // A demo has one place, and nothing in it is dear.
    let settings = &Settings { contexts: Vec::new(), production: false, ..settings.clone() };
    runtime()?.block_on(async {
        let recorder = recorder(look, DEMO)?;
        // Asked to stop before there is a dashboard to ask, it leaves nothing behind either.
        let running = tokio::select! {
            biased;
            () = stopped()? => return Ok(ExitCode::from(STOPPED)),
            started = demo::start(plan) => started?,
        };
        let feed = &running.feed;
        let engine = match settings.read_only {
            true => running.engine.clone().read_only(),
            false => running.engine.clone(),
        };
        let (tracker, cancel) = (running.tracker(), running.cancel());
        let recording = recorder.map(|recorder| record(recorder, feed, tracker, cancel));
        let named = (DEMO, Some(running.database_url()));
        let session = session(settings, look, engine, feed, named, recording, (tracker, cancel));
        let shown = tui::run(session).await;
        let worth = running.stop().await;
        let exit = shown?;
        if exit == tui::Exit::Asked {
            say(&worth)?;
        }
        Ok(ExitCode::from(exit.code()))
    })
}

/// `redrive demo --headless`: what the scenario came to; `None` when the process was asked to stop before its end.
///
/// # Errors
/// When a part of the demo cannot be set up.
pub async fn rehearse(plan: &demo::Plan) -> anyhow::Result<Option<demo::Report>> {
    tokio::select! {
        biased;
        () = stopped()? => Ok(None),
        report = demo::rehearse(plan) => Ok(Some(report?)),
    }
}

/// `redrive`, `redrive top`.
///
/// # Errors
/// When the database was never reached, a target cannot be read, or the terminal cannot be set up.
pub fn top(settings: &Settings, look: &Look) -> anyhow::Result<ExitCode> {
    log(settings, Quiet::Always)?;
    runtime()?.block_on(async {
        let Some(mut shown) = once_there(async || Shown::open(settings, look).await).await? else {
            return Ok(ExitCode::from(STOPPED));
        };
        loop {
            let exit = shown.show().await;
            let Ok(tui::Exit::Context(switch)) = exit else {
                shown.close().await;
                return Ok(ExitCode::from(exit?.code()));
            };
            // A signal in between has no dashboard to tell.
            let next = tokio::select! {
                biased;
                () = stopped()? => None,
                next = shown.switched(switch) => Some(next),
            };
            match next {
                None => {
                    shown.close().await;
                    return Ok(ExitCode::from(STOPPED));
                }
                Some(Ok(next)) => std::mem::replace(&mut shown, next).close().await,
                Some(Err(error)) => {
                    let why = format!("still here: {error:#}");
                    shown.settings.preferences.greeting = Some(SafeText::new(&why).as_str().to_owned());
                }
            }
        }
    })
}

/// A dashboard's database and targets, looked at.
struct Shown {
    settings: Settings,
    look: Look,
    engine: Engine,
    store: Arc<dyn Store>,
    feed: Feed,
    title: String,
    /// Answers why pictures are not recorded any more.
    recording: Option<oneshot::Receiver<String>>,
    tracker: TaskTracker,
    cancel: CancellationToken,
}

impl Shown {
    async fn open(settings: &Settings, look: &Look) -> anyhow::Result<Self> {
        let (tracker, cancel) = (TaskTracker::new(), CancellationToken::new());
        let opened = open(settings).await?;
        let sources = Sources {
            reader: Arc::clone(opened.engine.reader()),
            interval: look.interval,
            origins: origins(settings)?,
            prometheus: server(settings)?,
            scrape_interval: look.interval.max(Duration::from_secs(1)),
            rules: settings.rules.clone(),
            presets: settings.presets.clone(),
        };
        let feed = poll::start(sources, &tracker, &cancel)?;
        let label = opened.engine.reader().label();
        let title = match &settings.context {
            Some(context) => format!("{context} · {label}"),
            None => label,
        };
        let recording = recorder(look, &title)?.map(|recorder| record(recorder, &feed, &tracker, &cancel));
        let (settings, look) = (settings.clone(), look.clone());
        let Opened { engine, store } = opened;
        Ok(Self { settings, look, engine, store, feed, title, recording, tracker, cancel })
    }

    async fn show(&mut self) -> Result<tui::Exit, tui::TuiError> {
        // A URL with a password is not handed on to a clipboard.
        let database = self.settings.database_url.clone().filter(|url| mask::secrets(url) == *url);
        let (engine, named) = (self.engine.clone(), (self.title.as_str(), database));
        let recording = self.recording.take();
        let owners = (&self.tracker, &self.cancel);
        tui::run(session(&self.settings, &self.look, engine, &self.feed, named, recording, owners)).await
    }

    /// The dashboard of another context; this one stays as it is, with the look the operator left it in.
    async fn switched(&mut self, switch: Switch) -> anyhow::Result<Self> {
        (self.look.look, self.look.interval) = (switch.look, switch.interval);
        self.settings.preferences.view = Some(switch.view);
        self.settings.preferences.greeting = None;
        let Some(place) = self.settings.contexts.get(switch.context) else { bail!("no such context") };
        let next = self.settings.within(place);
        Self::open(&next, &self.look).await.with_context(|| format!("cannot go to context {}", place.name))
    }

    async fn close(self) {
        self.cancel.cancel();
        self.tracker.close();
        let _ = tokio::time::timeout(Duration::from_secs(1), self.tracker.wait()).await;
        self.store.close().await;
    }
}

/// `redrive top --playback`.
///
/// # Errors
/// When the recording cannot be played, or the terminal cannot be set up.
pub fn playback(settings: &Settings, look: &Look, file: &Path, speed: f64) -> anyhow::Result<ExitCode> {
    log(settings, Quiet::Always)?;
    let recording = Recording::open(file)?;
    runtime()?.block_on(async {
        let (tracker, cancel) = (TaskTracker::new(), CancellationToken::new());
        let player = recording.play(speed, &tracker, &cancel)?;
        let session = tui::Session {
            source: tui::Source::Recording(player.clock),
            snapshots: player.snapshots,
            // Nobody reads them: a recording shows what it holds.
            queries: watch::Sender::new(Query::default()),
            nudge: Arc::default(),
            operator: settings.operator.clone(),
            title: recording.head.title.as_str().to_owned(),
            database: None,
            interval: Duration::from_millis(recording.head.interval_ms),
            pace: watch::Sender::new(look.interval),
            look: look.look,
            preferences: Preferences { mouse: look.mouse, ..settings.preferences.clone() },
            recording: None,
            cancel: cancel.clone(),
            tracker: tracker.clone(),
        };
        let shown = tui::run(session).await;
        cancel.cancel();
        tracker.close();
        tracker.wait().await;
        Ok(ExitCode::from(shown?.code()))
    })
}

/// The file that `look` asks for, made before anything is shown.
fn recorder(look: &Look, title: &str) -> Result<Option<Recorder>, RecordError> {
    let head = || Head {
        format: record::FORMAT.to_owned(),
        version: record::VERSION,
        redrive: env!("CARGO_PKG_VERSION").to_owned(),
        title: SafeText::new(&mask::secrets(title)),
        interval_ms: u64::try_from(look.interval.as_millis()).unwrap_or(u64::MAX),
        begun_at: clock::now(),
    };
    look.record.as_deref().map(|file| record::create(file, &head())).transpose()
}

/// Records what `feed` brings until `cancel`; answers why it ends before.
fn record(
    recorder: Recorder,
    feed: &Feed,
    tracker: &TaskTracker,
    cancel: &CancellationToken,
) -> oneshot::Receiver<String> {
    let (sender, ended) = oneshot::channel();
    let recording = recorder.run(feed.snapshots.clone(), cancel.clone());
    tracker.spawn(async move {
        if let Err(error) = recording.await {
            tracing::error!(%error, "the recording ends");
            // The screen may be gone.
            let _ = sender.send(error.to_string());
        }
    });
    ended
}

/// What the metrics say, sampled for at most `window`; at once where a Prometheus server knows the past. `None` when
/// neither target nor server was named.
///
/// # Errors
/// When a URL cannot be read.
pub async fn sample(settings: &Settings, window: Duration) -> anyhow::Result<Option<Signals>> {
    let (origins, server) = (origins(settings)?, server(settings)?);
    if origins.is_empty() && server.is_none() {
        return Ok(None);
    }
    let interval = Duration::from_secs(1);
    let client = http::client(scrape::TIMEOUT)?;
    let began = clock::instant();
    let mut collector = Collector::new(settings.rules.clone(), interval, began, clock::now())
        .reading(settings.presets.clone());
    // History from the server is judged with the second answer; targets alone need the whole window.
    let enough = if origins.is_empty() { interval } else { window };
    let mut rounds = Rounds::new(client, origins, server, interval);
    loop {
        rounds.next().await.tell(&mut collector);
        if clock::instant().saturating_duration_since(began) >= enough {
            rounds.rest().await.tell(&mut collector);
            return Ok(Some(collector.signals()));
        }
    }
}

pub(crate) fn origins(settings: &Settings) -> anyhow::Result<Vec<Origin>> {
    settings.metrics.clone().map_err(anyhow::Error::msg)
}

pub(crate) fn server(settings: &Settings) -> anyhow::Result<Option<Prometheus>> {
    let named = settings.prometheus.clone().map_err(anyhow::Error::msg)?;
    named
        .map(|(url, access)| Ok(Prometheus::parse(&url)?.with(access).reading(&settings.presets)))
        .transpose()
}

fn session(
    settings: &Settings,
    look: &Look,
    engine: Engine,
    feed: &Feed,
    (title, database): (&str, Option<String>),
    recording: Option<oneshot::Receiver<String>>,
    (tracker, cancel): (&TaskTracker, &CancellationToken),
) -> tui::Session {
    tui::Session {
        source: tui::Source::Live(engine),
        snapshots: feed.snapshots.clone(),
        queries: feed.queries.clone(),
        nudge: Arc::clone(&feed.nudge),
        operator: settings.operator.clone(),
        title: title.to_owned(),
        database,
        interval: look.interval,
        pace: feed.pace.clone(),
        look: look.look,
        recording,
        preferences: Preferences {
            contexts: match look.record {
                // A recording is of one place.
                Some(_) => Vec::new(),
                None => settings.contexts.iter().map(|place| place.name.clone()).collect(),
            },
            production: settings.production,
            mouse: look.mouse,
            ..settings.preferences.clone()
        },
        cancel: cancel.clone(),
        tracker: tracker.clone(),
    }
}

/// Prints a line; unlike `println!` it answers an error, not a panic, where standard output is closed.
fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

/// Whom a worker's pipeline talks to, so that nobody starts one against the wrong side by omission. Only schemes and
/// hosts: the rest of an address may be a secret.
fn talks_to(upstreams: &Upstreams) -> String {
    let with = |token: &str| if token.is_empty() { "without a token" } else { "with a token" };
    format!(
        "upstreams: GitHub {} {}, Terraform Cloud {} {}, announcements {}, hooks call back {}",
        place_of(&upstreams.github_url),
        with(&upstreams.github_token),
        place_of(&upstreams.tfc_url),
        with(&upstreams.tfc_token),
        upstreams.notify_url.as_deref().map_or_else(|| "nowhere".to_owned(), place_of),
        place_of(&upstreams.callback_url),
    )
}

/// Scheme, host and port of an address.
fn place_of(url: &str) -> String {
    let parsed = url.parse::<axum::http::Uri>().ok();
    let place = parsed.as_ref().and_then(|uri| {
        let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
        Some(format!("{}://{}{port}", uri.scheme()?, uri.host()?))
    });
    place.unwrap_or_else(|| "an address that cannot be read".to_owned())
}

fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the async runtime")
}

/// Until the process is asked to stop: SIGTERM, SIGINT or SIGHUP. Listened for from the call on, not from the first
/// poll: call it before the process says that it is up, or whoever reads that and stops it kills it.
fn stopped() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

fn worker_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    format!("{}-{}", if host.is_empty() { "worker" } else { host }, std::process::id())
}

/// Whether the log may go to standard error.
enum Quiet {
    /// A service: it logs there.
    Never,
    /// A headless command: only when `REDRIVE_LOG` asks for it.
    Unless,
    /// The screen owns the terminal.
    Always,
}

fn log(settings: &Settings, quiet: Quiet) -> anyhow::Result<()> {
    use tracing_subscriber::EnvFilter;
    let asked = std::env::var("REDRIVE_LOG").ok();
    let filter = EnvFilter::try_new(asked.as_deref().unwrap_or("info"))
        .context("REDRIVE_LOG is not a log filter: write error, warn, info, debug or redrive=debug")?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    // A logger that is already there (in tests) is as good.
    if let Some(path) = &settings.log {
        let file = File::options()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .with_context(|| format!("cannot write the log file {}", path.display()))?;
        let _ = builder.with_ansi(false).with_writer(std::sync::Mutex::new(Masked(file))).try_init();
    } else if matches!(quiet, Quiet::Never) || (matches!(quiet, Quiet::Unless) && asked.is_some()) {
        let _ = builder.with_writer(|| Masked(io::stderr())).try_init();
    }
    for warning in &settings.warnings {
        if settings.log.is_some() {
            tracing::warn!("{warning}");
        }
        // Nobody may be listening there.
        let _ = writeln!(io::stderr(), "redrive: warning: {}", SafeText::new(warning));
    }
    Ok(())
}

/// Where a log's lines go, each without secrets: it comes whole, in one write.
struct Masked<W>(W);

impl<W: Write> Write for Masked<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_all(mask::secrets(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_is_written_without_secrets() {
        let mut log = Masked(Vec::new());
        let line = b"INFO GET https://bob:hunter2@host failed key=a/b lease=0198a7c2 after 3 tries\n";
        log.write_all(line).expect("it is written");
        let written = String::from_utf8(log.0).expect("it is text");
        assert_eq!(written, "INFO GET https://bob:***@host failed key=a/b lease=0198a7c2 after 3 tries\n");
    }

    #[test]
    fn what_a_worker_says_of_its_upstreams_holds_no_secret() {
        let upstreams = Upstreams {
            github_url: "https://bob:hunter2@github.example:8443/api?token=s3cret".to_owned(),
            github_token: "ghp_s3cret".to_owned(),
            tfc_url: "bob:hunter2".to_owned(),
            notify_url: Some("https://hooks.slack.com/services/T000/B000/s3cret".to_owned()),
            callback_url: "http://[::1]:9/callback#s3cret".to_owned(),
            ..Upstreams::default()
        };
        assert_eq!(
            talks_to(&upstreams),
            "upstreams: GitHub https://github.example:8443 with a token, Terraform Cloud an address that cannot be read \
             without a token, announcements https://hooks.slack.com, hooks call back http://[::1]:9"
        );
    }
}
