//! Keys and locks on Redis, behind the cargo feature `redis`: one hash for each, begun, kept and ended by scripts that
//! Redis runs as one, forgotten by Redis itself when their time is over.
//!
//! ```text
//!   open(url) ──▶ Redis: KeyStore + LockStore
//!                   └ link.rs: the connection · script.rs and *.lua: the verbs · address.rs: the URL
//! ```
//! Which answer follows from where a key stands is `domain::key`'s table; `key.lua` repeats it, and a law compares the
//! two cell by cell. Each script touches one key, so a cluster serves as well as a server. Redis 6 or newer is needed.
//!
//! # What Redis cannot promise
//! - Redis answers before its replicas know, and before the disk does unless `appendfsync always` is set. A fail-over or
//!   a crash can so lose a key that was begun or ended a moment ago, and its work runs a second time; a lock can so be
//!   held twice for a while, which only its fencing token then tells. Where that matters use a database.
//! - A server that evicts (`maxmemory-policy` other than `noeviction`) forgets keys whose retention is not over. This is
//!   looked for when the store is opened: [`Redis::evicts`].
//! - A forgotten key leaves nothing behind: using it again is [`New`](crate::domain::key::KeyRun::New), never
//!   [`Reused`](crate::domain::key::KeyRun::Reused), and there is nothing to sweep.

mod address;
mod link;
mod script;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::BoundTime;
use crate::{
    domain::id::KeyId,
    engine::{
        key::{Answer, Hold, KeyBegun, KeyEnd, KeyIntent, KeyStore},
        lock::{LockStore, Locked},
        store::StoreError,
    },
};
use link::Link;
use script::Verbs;

/// How to open a Redis.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// What every name at the server begins with, so that several can share one.
    pub prefix: String,
    /// The longest to wait for a connection.
    pub connect_timeout: Duration,
    /// The longest to wait for an answer; after that the outcome is unknown.
    pub answer_timeout: Duration,
    /// Tests bind the time here.
    pub time: BoundTime,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            prefix: "redrive:".to_owned(),
            connect_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(2),
            time: BoundTime::default(),
        }
    }
}

/// An open Redis.
pub struct Redis {
    link: Link,
    verbs: Verbs,
    prefix: String,
    time: BoundTime,
    evicts: Option<String>,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis({})", self.label())
    }
}

/// Opens `redis://HOST:PORT/NUMBER`, `rediss://…` (TLS, its certificate verified) or `unix:/PATH`; a server of a cluster
/// stands for the whole cluster. A lost connection is made anew by itself.
///
/// # Errors
/// [`StoreError::Unreachable`] within the connect timeout, with the driver's or the server's reason, and whatever the
/// server answers to `INFO`.
pub async fn open(url: &str, options: RedisOptions) -> Result<Arc<Redis>, StoreError> {
    let address = address::parse(url)?;
    let label = address::label(&address);
    let RedisOptions { prefix, connect_timeout, answer_timeout, time } = options;
    let mut link = Link::server(address.clone(), label.clone(), connect_timeout, answer_timeout)?;
    let info = match link.info("opening Redis").await {
        // Who may not ask may still hold keys.
        Err(StoreError::Denied { why, .. }) => {
            tracing::warn!(redis = label, why, "cannot see whether this Redis evicts keys, or is a cluster");
            String::new()
        }
        // Nothing was to happen, so that nothing is unknown.
        Err(StoreError::UnknownOutcome { .. }) => {
            return Err(StoreError::Unreachable { database: label, why: "it did not answer".to_owned() });
        }
        other => other?,
    };
    let evicts = said(&info, "maxmemory_policy").filter(|policy| *policy != "noeviction").map(str::to_owned);
    if let Some(policy) = &evicts {
        tracing::warn!(
            redis = label,
            policy,
            "this Redis forgets keys before their time when its memory is full: set maxmemory-policy noeviction"
        );
    }
    if said(&info, "cluster_enabled") == Some("1") {
        link = Link::cluster(address, label, connect_timeout, answer_timeout)?;
    }
    Ok(Arc::new(Redis { link, verbs: Verbs::new(), prefix, time, evicts }))
}

/// The value of a line of `INFO`.
fn said<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

impl Redis {
    /// Where it is, without the password: `redis://user:***@host:6379`.
    pub fn label(&self) -> &str {
        self.link.label()
    }

    /// The server's `maxmemory-policy` when this was opened, if that is one under which keys are lost.
    pub fn evicts(&self) -> Option<&str> {
        self.evicts.as_deref()
    }

    fn key(&self, key: &KeyId) -> String {
        format!("{}key:{}", self.prefix, key.as_str())
    }

    fn resource(&self, resource: &str) -> String {
        format!("{}lock:{resource}", self.prefix)
    }

    /// The bound instant in microseconds; empty for Redis's own.
    fn instant(&self) -> Vec<u8> {
        self.time.get().map_or_else(Vec::new, |at| at.timestamp_micros().to_string().into_bytes())
    }
}

#[async_trait]
impl KeyStore for Redis {
    async fn begin(&self, key: &KeyIntent, hold: &Hold) -> Result<KeyBegun, StoreError> {
        const DOING: &str = "beginning under a key";
        let args = [
            self.instant(),
            hold.lease.as_str().into(),
            hold.owner.as_str().into(),
            micros(hold.lasts),
            micros(hold.retention),
            key.operation.as_str().into(),
            key.client_key.as_str().into(),
            key.request_hash.as_str().into(),
        ];
        let answer: Vec<Vec<u8>> =
            self.link.run(DOING, &self.verbs.begin, &self.key(&key.key), &args).await?;
        begun(&answer).ok_or_else(|| strange(DOING, &answer))
    }

    async fn keep(&self, key: &KeyId, hold: &Hold) -> Result<bool, StoreError> {
        let args = [self.instant(), hold.lease.as_str().into(), micros(hold.lasts)];
        self.link.run("keeping a key's lease", &self.verbs.keep, &self.key(key), &args).await
    }

    async fn end(&self, key: &KeyId, hold: &Hold, end: &KeyEnd) -> Result<bool, StoreError> {
        let phase = end.phase();
        let mut args = vec![
            self.instant(),
            hold.lease.as_str().into(),
            phase.status().as_str().into(),
            phase.as_str().into(),
            micros(hold.retention),
        ];
        if let Some(Answer { code, headers, body }) = end.answer() {
            let headers = serde_json::to_vec(headers).expect("pairs of strings are JSON");
            args.extend([code.to_string().into_bytes(), headers, body.clone()]);
        }
        self.link.run("ending the work under a key", &self.verbs.end, &self.key(key), &args).await
    }

    async fn sweep(&self, _: u32) -> Result<u64, StoreError> {
        Ok(0) // Redis forgets by itself
    }
}

#[async_trait]
impl LockStore for Redis {
    async fn lock(&self, resource: &str, owner: &str, ttl: Duration) -> Result<Locked, StoreError> {
        const DOING: &str = "taking a lock";
        let args = [self.instant(), owner.into(), micros(ttl)];
        let answer: Vec<Vec<u8>> =
            self.link.run(DOING, &self.verbs.lock, &self.resource(resource), &args).await?;
        locked(&answer).ok_or_else(|| strange(DOING, &answer))
    }

    async fn unlock(&self, resource: &str, owner: &str) -> Result<bool, StoreError> {
        let args = [self.instant(), owner.into()];
        self.link.run("letting go of a lock", &self.verbs.unlock, &self.resource(resource), &args).await
    }
}

/// What `begin.lua` answers.
fn begun(answer: &[Vec<u8>]) -> Option<KeyBegun> {
    Some(match answer {
        [said, run] if said == b"run" => KeyBegun::Run(str::from_utf8(run).ok()?.parse().ok()?),
        [said, code, headers, body] if said == b"replay" => KeyBegun::Replay(Answer {
            code: u16::try_from(number(code)?).ok()?,
            headers: serde_json::from_slice(headers).ok()?,
            body: body.clone(),
        }),
        [said, left] if said == b"wait" => KeyBegun::InFlight {
            retry_after: number(left).and_then(|left| u64::try_from(left).ok()).map(Duration::from_micros),
        },
        [said] if said == b"mismatch" => KeyBegun::Mismatch,
        _ => return None,
    })
}

/// What `lock.lua` answers.
fn locked(answer: &[Vec<u8>]) -> Option<Locked> {
    let [said, first, second] = answer else { return None };
    let (first, second) = (number(first)?, number(second)?);
    match said.as_slice() {
        b"taken" => {
            Some(Locked::Taken { token: first, until: DateTime::<Utc>::from_timestamp_micros(second)? })
        }
        b"held" => Some(Locked::Held {
            until: DateTime::<Utc>::from_timestamp_micros(first)?,
            retry_after: Duration::from_micros(u64::try_from(second).ok()?),
        }),
        _ => None,
    }
}

fn number(text: &[u8]) -> Option<i64> {
    str::from_utf8(text).ok()?.parse().ok()
}

/// In microseconds, at most a hundred years: what Redis can add to a time.
fn micros(duration: Duration) -> Vec<u8> {
    const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);
    duration.min(LONGEST).as_micros().to_string().into_bytes()
}

fn strange(doing: &'static str, answer: &[Vec<u8>]) -> StoreError {
    let said: Vec<_> = answer.iter().map(|part| String::from_utf8_lossy(part)).collect();
    let why = format!("the hash at Redis was written by something else: it makes `{}`", said.join(" "));
    StoreError::Failed { doing, why }
}
