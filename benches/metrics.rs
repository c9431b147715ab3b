//! Reading metrics: one exposition of 100,000 series, read here, by plain `prometheus-parse` and by Prometheus's client for
//! Python; and what such a target costs from the answer to the verdict, in time and memory. `cargo bench --bench metrics`.
//!
//! In MB/s and as a multiple of the plain crate, which drops or garbles what it does not expect; believe only what a machine
//! without other work says. Memory is the peak of a child process that does nothing else. Without a Python that has
//! `prometheus_client` (REDRIVE_TEST_PYTHON, or python3) that row is missing.
#![allow(clippy::unwrap_used, reason = "a panic is how a bench fails")]

use std::{
    env,
    fmt::Write as _,
    fs,
    hint::black_box,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use axum::{Router, routing::get};
use chrono::DateTime;
use redrive::{
    clock, http,
    metrics::{
        collector::Collector,
        exposition::parse,
        scrape::{self, ScrapeResult, Scraped, Target},
        verdict::Rules,
    },
};

const SERIES: usize = 100_000;

/// What one target with 100,000 series may cost, see the safety rules.
const MOST_TIME: Duration = Duration::from_secs(1);
const MOST_MEMORY: f64 = 200.0;

/// As processes write them: four series in five are of other things, one is counted here.
fn exposition(series: usize) -> String {
    let mut text = String::new();
    let outcomes = ["success", "transient", "permanent", "timeout"];
    text.push_str("# HELP redrive_attempts_total Attempts.\n# TYPE redrive_attempts_total counter\n");
    for n in 0..series / 5 {
        let (kind, outcome) = (if n % 2 == 0 { "first" } else { "retry" }, outcomes[n / 2 % 4]);
        writeln!(
            text,
            "redrive_attempts_total{{operation=\"op.{}\",kind=\"{kind}\",outcome=\"{outcome}\",tenant=\"{n}\"}} {n}",
            n / 8 % 200
        )
        .unwrap();
    }
    text.push_str("# HELP http_server_seconds Time.\n# TYPE http_server_seconds histogram\n");
    for n in 0..series - series / 5 {
        writeln!(
            text,
            "http_server_seconds_bucket{{method=\"GET\",path=\"/users/{{id}}/{}\",code=\"200\",le=\"{}\"}} {}.5e3",
            n / 16,
            n % 16,
            n * 7
        )
        .unwrap();
    }
    text
}

/// The least of some runs, for what other work on the machine adds is no part of the cost.
fn least(runs: usize, mut work: impl FnMut()) -> Duration {
    let timed = (0..runs).map(|_| {
        let began = clock::instant();
        work();
        clock::instant() - began
    });
    timed.min().unwrap()
}

fn plain(text: &str) -> usize {
    let lines = text.lines().map(|line| Ok(line.to_owned()));
    prometheus_parse::Scrape::parse_at(lines, DateTime::UNIX_EPOCH).unwrap().samples.len()
}

/// Seconds that Prometheus's client for Python takes.
fn python(file: &Path) -> Option<Duration> {
    let script = "import sys, time\nfrom prometheus_client.parser import text_string_to_metric_families as read\n\
                  text = open(sys.argv[1]).read()\nbest = 1e9\nfor _ in range(2):\n    began = time.perf_counter()\n    \
                  n = sum(len(f.samples) for f in read(text))\n    best = min(best, time.perf_counter() - began)\nprint(best, n)";
    let named = env::var("REDRIVE_TEST_PYTHON").ok();
    for program in named.as_deref().into_iter().chain(["/usr/bin/python3", "python3"]) {
        let mut command = Command::new(program);
        let output = command.args(["-c", script]).arg(file).stderr(Stdio::null()).output().ok()?;
        let said = String::from_utf8(output.stdout).ok()?;
        if let Some((seconds, samples)) = said.trim().split_once(' ') {
            assert_eq!(samples, SERIES.to_string());
            return Some(Duration::from_secs_f64(seconds.parse().ok()?));
        }
    }
    None
}

/// The most memory this process ever had, in MB.
fn peak() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    let kib: f64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(f64::NAN);
    kib / 1_000.0 * 1.024
}

/// Two scrapes of the file's exposition over HTTP, taken and judged. Prints the slower one's seconds and the peak in MB.
fn child(file: &Path) {
    let text = fs::read_to_string(file).unwrap();
    let samples = text.lines().filter(|line| !line.starts_with('#')).count();
    drop(text);
    let file = file.to_owned();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let slowest = runtime.block_on(async move {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/metrics", listener.local_addr().unwrap());
        let routes = Router::new().route(
            "/metrics",
            get(move || {
                let file = file.clone();
                // In pieces, so that the server's own copy is no part of the peak.
                async move {
                    let file = tokio::fs::File::open(file).await.unwrap();
                    axum::body::Body::from_stream(futures_util::stream::unfold(file, async |mut file| {
                        use tokio::io::AsyncReadExt as _;
                        let mut piece = vec![0; 65_536];
                        let read = file.read(&mut piece).await.unwrap();
                        piece.truncate(read);
                        (read > 0).then_some((Ok::<_, std::io::Error>(piece), file))
                    }))
                }
            }),
        );
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let client = http::client(scrape::TIMEOUT).unwrap();
        let target = Target::parse(&url).unwrap();
        let interval = Duration::from_secs(1);
        let began = clock::instant();
        let mut collector = Collector::new(Rules::default(), interval, began, clock::now());
        let mut slowest = Duration::ZERO;
        for round in 1..=3 {
            let began_round = clock::instant();
            let said = scrape::scrape(&client, &target).await;
            match &said.outcome {
                Ok(Scraped::Exposition(read)) => assert_eq!(read.samples.len(), samples),
                other => panic!("{other:?}"),
            }
            collector.observe(began + interval * round, clock::now(), vec![said]);
            black_box(collector.signals());
            slowest = slowest.max(clock::instant() - began_round);
        }
        slowest
    });
    println!("{} {}", slowest.as_secs_f64(), peak());
}

fn parsing(file: &Path, text: &str) {
    let megabytes = text.len() as f64 / 1e6;
    println!("parsing {SERIES} series, {megabytes:.1} MB");
    println!("{:<44} {:>8} {:>8} {:>13} {:>9}", "", "ms", "MB/s", "× plain crate", "× Python");
    let plainly = least(7, || _ = black_box(plain(text)));
    let here = least(7, || {
        let read = parse(text).unwrap();
        assert_eq!((read.samples.len(), read.unreadable), (SERIES, 0));
        black_box(read);
    });
    let python = python(file);
    let rows = [
        ("redrive", Some(here)),
        ("prometheus-parse alone (drops and garbles)", Some(plainly)),
        ("prometheus_client for Python", python),
    ];
    for (name, took) in rows.into_iter().filter_map(|(name, took)| Some((name, took?))) {
        let seconds = took.as_secs_f64();
        let beside = |other: Option<Duration>| {
            other.map_or_else(|| "n/a".to_owned(), |other| format!("{:.2}", other.as_secs_f64() / seconds))
        };
        println!(
            "{name:<44} {:>8.0} {:>8.1} {:>13} {:>9}",
            seconds * 1e3,
            megabytes / seconds,
            beside(Some(plainly)),
            beside(python)
        );
    }
    println!("plain crate: {} of {SERIES} series come out", plain(text));
}

fn one_target(file: &Path) {
    let output = Command::new(env::current_exe().unwrap()).arg("--child").arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let (seconds, megabytes) = said.trim().split_once(' ').unwrap();
    let (seconds, megabytes): (f64, f64) = (seconds.parse().unwrap(), megabytes.parse().unwrap());
    let word = |holds: bool| if holds { "holds" } else { "MISSED" };
    println!("one target with {SERIES} series, scraped, counted and judged (the slowest of 3 rounds)");
    println!(
        "  time {seconds:.2} s, at most {} s: {}",
        MOST_TIME.as_secs(),
        word(seconds <= MOST_TIME.as_secs_f64())
    );
    println!("  peak {megabytes:.0} MB, at most {MOST_MEMORY} MB: {}", word(megabytes <= MOST_MEMORY));
}

/// What one process exports of 200 operations at its `round`-th scrape, a tenth of them in trouble.
fn operations(round: u32) -> String {
    let mut text = String::new();
    for n in 0..200 {
        let retries = if n % 10 == 0 { 3 } else { 0 };
        for (kind, outcome, each) in
            [("first", "success", 4), ("first", "transient", retries), ("retry", "transient", retries)]
        {
            let labels = format!("operation=\"op.{n}\",kind=\"{kind}\",outcome=\"{outcome}\"");
            writeln!(text, "redrive_attempts_total{{{labels}}} {}", each * round).unwrap();
        }
    }
    text
}

/// A round of four processes with 200 operations each, after a quarter of an hour of scrapes each second.
fn verdict() {
    let (interval, processes) = (Duration::from_secs(1), ["a", "b", "c", "d"]);
    let result = |name: &str, text: &str| ScrapeResult {
        name: name.to_owned(),
        url: format!("http://{name}/metrics"),
        address: format!("{name}:80"),
        took: Duration::ZERO,
        outcome: Ok(Scraped::Exposition(parse(text).unwrap())),
    };
    let round = |n: u32| -> Vec<ScrapeResult> {
        let text = operations(n);
        processes.iter().map(|name| result(name, &text)).collect()
    };
    let began = clock::instant();
    let mut collector = Collector::new(Rules::default(), interval, began, clock::now());
    let mut n = 0;
    for _ in 0..900 {
        n += 1;
        collector.observe(began + interval * n, clock::now(), round(n));
    }
    let mut ready: Vec<_> = (1..=7).map(|more| (n + more, round(n + more))).rev().collect();
    let judging = least(7, || {
        let (n, said) = ready.pop().unwrap();
        collector.observe(began + interval * n, clock::now(), said);
        black_box(collector.signals());
    });
    let reading = least(7, || _ = black_box(round(n)));
    println!("a verdict over 200 operations of {} processes, 15 min of history", processes.len());
    println!(
        "  counting, judging and telling {:.1} ms, {:.2} × of reading the same expositions",
        judging.as_secs_f64() * 1e3,
        judging.as_secs_f64() / reading.as_secs_f64()
    );
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if let Some(place) = arguments.iter().position(|argument| argument == "--child") {
        return child(Path::new(&arguments[place + 1]));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("metrics");
    let text = exposition(SERIES);
    fs::write(&file, &text).unwrap();
    parsing(&file, &text);
    drop(text);
    one_target(&file);
    verdict();
}
