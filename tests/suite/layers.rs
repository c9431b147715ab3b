//! The layers that put a policy around services: through closures, and through real HTTP on loopback.

mod chain;
mod client;
mod header;

use std::{
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use http::{Request, Response, StatusCode};
use redrive::resilience::{
    backoff::{Backoff, Jitter},
    policy::{Policy, Settings},
};

use crate::support::example::built;

/// The longest anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Three attempts, a millisecond apart.
fn settings() -> Settings {
    let (base, cap) = (Duration::from_millis(1), Duration::from_millis(2));
    Settings {
        attempts: 3,
        backoff: Backoff { base, cap, jitter: Jitter::None },
        longest_asked: Duration::from_millis(5),
        timeout: PATIENCE,
        ..Settings::default()
    }
}

fn policy(settings: Settings) -> Arc<Policy> {
    Arc::new(Policy::new("ledger.book", settings).unwrap())
}

/// Header lines.
type Lines = &'static [(&'static str, &'static str)];

/// A service that answers as it is told, and remembers what it was asked.
#[derive(Clone)]
struct Ledger {
    answers: Arc<Vec<(u16, Lines)>>,
    made: Arc<AtomicU32>,
    heads: Arc<Mutex<Vec<http::HeaderMap>>>,
}

impl Ledger {
    /// Answers with these in turn, the last one again and again.
    fn new(answers: &[(u16, Lines)]) -> Self {
        Self { answers: Arc::new(answers.to_vec()), made: Arc::default(), heads: Arc::default() }
    }

    fn answer<B, R>(&self, request: &Request<B>, body: R) -> Response<R> {
        let made = self.made.fetch_add(1, Ordering::SeqCst) as usize;
        self.heads.lock().unwrap().push(request.headers().clone());
        let (status, headers) = self.answers[made.min(self.answers.len() - 1)];
        let builder = Response::builder().status(status);
        headers.iter().fold(builder, |b, (name, value)| b.header(*name, *value)).body(body).unwrap()
    }

    fn made(&self) -> u32 {
        self.made.load(Ordering::SeqCst)
    }

    /// What `name` said on each request.
    fn told(&self, name: &str) -> Vec<String> {
        let said = |head: &http::HeaderMap| head.get(name).map_or("-", |v| v.to_str().unwrap()).to_owned();
        self.heads.lock().unwrap().iter().map(said).collect()
    }
}

fn should_retry<R>(answer: &Response<R>) -> (StatusCode, Option<&str>) {
    (answer.status(), answer.headers().get("x-should-retry").map(|said| said.to_str().unwrap()))
}

#[test]
fn the_example_books_by_hand_and_through_a_layer_and_obeys_a_no() {
    let output = Command::new(built("resilient_client")).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "  the ledger: /by-hand, attempt 1: 503\n  \
           the ledger: /by-hand, attempt 2: 503\n  \
           the ledger: /by-hand, attempt 3: 200\n\
         by hand: booked\n  \
           the ledger: /as-a-layer, attempt 1: 503\n  \
           the ledger: /as-a-layer, attempt 2: 503\n  \
           the ledger: /as-a-layer, attempt 3: 200\n\
         as-a-layer: 200 OK\n  \
           the ledger: /closed, attempt 1: 503\n\
         closed: 503 Service Unavailable\n"
    );
}
