//! The connection to Redis: made when it is needed, made anew when it was lost, and what went wrong with it in the
//! engine's words.
//!
//! A command that was not sent is [`StoreError::Unreachable`]. One that was sent and not answered, because the connection
//! ended or the time was over, is [`StoreError::UnknownOutcome`]; it may still happen.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, FromRedisValue, PushInfo, PushKind,
    RedisError, ServerErrorKind, Value,
    aio::MultiplexedConnection,
    cluster::{ClusterClient, ClusterClientBuilder},
    cluster_async::ClusterConnection,
};
use tokio::sync::Mutex;

use super::script::Verb;
use crate::engine::store::StoreError;

/// A link to one server or to a cluster.
pub(super) struct Link {
    to: To,
    /// Where, without the password.
    label: String,
    connect_timeout: Duration,
}

enum To {
    Server { client: Client, config: AsyncConnectionConfig, current: Mutex<Option<Current>> },
    Cluster { client: ClusterClient, current: Mutex<Option<ClusterConnection>> },
}

/// A connection, and whether it ended while nobody was asking.
#[derive(Clone)]
struct Current {
    connection: MultiplexedConnection,
    ended: Arc<AtomicBool>,
}

enum Connection {
    Server(Current),
    Cluster(ClusterConnection),
}

impl Connection {
    async fn ask(&mut self, command: &Cmd) -> Result<Value, RedisError> {
        match self {
            Self::Server(current) => command.query_async(&mut current.connection).await,
            Self::Cluster(connection) => command.query_async(connection).await,
        }
    }
}

impl Link {
    /// To one server. Connects to nothing yet.
    pub(super) fn server(
        info: ConnectionInfo,
        label: String,
        connect_timeout: Duration,
        answer_timeout: Duration,
    ) -> Result<Self, StoreError> {
        let client = Client::open(info).map_err(|error| unreachable(&label, error.to_string()))?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(connect_timeout))
            .set_response_timeout(Some(answer_timeout));
        Ok(Self { to: To::Server { client, config, current: Mutex::default() }, label, connect_timeout })
    }

    /// To the cluster that the server of `info` belongs to. Connects to nothing yet.
    pub(super) fn cluster(
        info: ConnectionInfo,
        label: String,
        connect_timeout: Duration,
        answer_timeout: Duration,
    ) -> Result<Self, StoreError> {
        let client = ClusterClientBuilder::new([info])
            .connection_timeout(connect_timeout)
            .response_timeout(answer_timeout)
            .build()
            .map_err(|error| unreachable(&label, error.to_string()))?;
        Ok(Self { to: To::Cluster { client, current: Mutex::default() }, label, connect_timeout })
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// Runs `verb` on `key`.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        doing: &'static str,
        verb: &Verb,
        key: &str,
        args: &[Vec<u8>],
    ) -> Result<T, StoreError> {
        match self.ask(doing, &verb.by_name(key, args)).await {
            // A server that restarted, or took over from another, does not know it yet.
            Err(Failed::Redis(error)) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.ask(doing, &verb.by_text(key, args)).await
            }
            other => other,
        }
        .and_then(|answer| T::from_redis_value(answer).map_err(|error| Failed::Redis(error.into())))
        .map_err(|failed| failed.explain(doing))
    }

    /// What `INFO` says.
    pub(super) async fn info(&self, doing: &'static str) -> Result<String, StoreError> {
        let answer = self.ask(doing, &redis::cmd("INFO")).await;
        answer
            .and_then(|answer| String::from_redis_value(answer).map_err(|error| Failed::Redis(error.into())))
            .map_err(|failed| failed.explain(doing))
    }

    async fn ask(&self, doing: &'static str, command: &Cmd) -> Result<Value, Failed> {
        let mut connection = self.connection().await.map_err(Failed::Store)?;
        let answer = connection.ask(command).await;
        if let Err(error) = &answer
            && is_used_up(error)
        {
            self.let_go(&connection).await;
        }
        answer.map_err(|error| match error.kind() {
            ErrorKind::Io | ErrorKind::Parse => Failed::Store(StoreError::UnknownOutcome { doing }),
            ErrorKind::ClusterConnectionNotFound => {
                Failed::Store(unreachable(&self.label, error.to_string()))
            }
            _ => Failed::Redis(error),
        })
    }

    /// The connection that is there, or a new one. Nobody waits longer than the time-out, however many wait together.
    async fn connection(&self) -> Result<Connection, StoreError> {
        let connecting = async {
            match &self.to {
                To::Server { client, config, current } => {
                    let mut current = current.lock().await;
                    if let Some(alive) = current.as_ref().filter(|c| !c.ended.load(Ordering::Acquire)) {
                        return Ok(Connection::Server(alive.clone()));
                    }
                    let ended = Arc::new(AtomicBool::new(false));
                    let tell = ended.clone();
                    let config = config.clone().set_push_sender(move |push: PushInfo| {
                        if push.kind == PushKind::Disconnection {
                            tell.store(true, Ordering::Release);
                        }
                        Ok::<_, ()>(())
                    });
                    let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
                    Ok(Connection::Server(current.insert(Current { connection, ended }).clone()))
                }
                To::Cluster { client, current } => {
                    let mut current = current.lock().await;
                    let connection = match current.as_ref() {
                        Some(connection) => connection.clone(),
                        None => current.insert(client.get_async_connection().await?).clone(),
                    };
                    Ok(Connection::Cluster(connection))
                }
            }
        };
        match tokio::time::timeout(self.connect_timeout, connecting).await {
            Ok(connected) => connected.map_err(|error: RedisError| unreachable(&self.label, said(&error))),
            Err(_) => {
                let why = format!("no answer within {:.0?}", self.connect_timeout);
                Err(unreachable(&self.label, why))
            }
        }
    }

    /// The next to ask connects anew, unless that has happened already.
    async fn let_go(&self, used_up: &Connection) {
        let (Connection::Server(used_up), To::Server { current, .. }) = (used_up, &self.to) else {
            return; // a cluster's connection finds the servers again by itself
        };
        let mut current = current.lock().await;
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(&current.ended, &used_up.ended)) {
            *current = None;
        }
    }
}

/// Why there is no answer.
enum Failed {
    Redis(RedisError),
    Store(StoreError),
}

impl Failed {
    fn explain(self, doing: &'static str) -> StoreError {
        let error = match self {
            Self::Store(error) => return error,
            Self::Redis(error) => error,
        };
        let why = said(&error);
        match (error.kind(), error.code()) {
            (ErrorKind::Server(ServerErrorKind::ReadOnly), _) => StoreError::ReadOnly,
            (ErrorKind::Server(ServerErrorKind::NoPerm), _) => StoreError::Denied { doing, why },
            (_, Some("LOADING" | "MASTERDOWN" | "TRYAGAIN" | "CLUSTERDOWN" | "BUSY" | "NOREPLICAS")) => {
                StoreError::Busy { doing, why }
            }
            _ => StoreError::Failed { doing, why },
        }
    }
}

/// Whether the next command had better take another connection: this one ended, is stuck, or leads to a server that
/// takes no writes any more.
fn is_used_up(error: &RedisError) -> bool {
    error.is_unrecoverable_error()
        || matches!(error.kind(), ErrorKind::Io | ErrorKind::Server(ServerErrorKind::ReadOnly))
}

/// The server's or the driver's words.
fn said(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string(),
    }
}

fn unreachable(label: &str, why: String) -> StoreError {
    StoreError::Unreachable { database: label.to_owned(), why }
}
