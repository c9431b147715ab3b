//! A small server on loopback whose answers are told, and a client to ask it with.

use std::time::Duration;

use axum::Router;
use tokio::{net::TcpListener, task::JoinSet};

/// A running server; it stops when dropped.
pub(crate) struct Server {
    pub(crate) address: String,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(routes: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port").to_string();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, routes).await.expect("it serves") });
        Self { address, _tasks: tasks }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

pub(super) fn client() -> reqwest::Client {
    redrive::http::client(Duration::from_secs(30)).expect("a client")
}
