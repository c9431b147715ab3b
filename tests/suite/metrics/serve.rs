//! A small server on loopback whose answers are told, and a client to ask it with.

use axum::Router;
use tokio::{net::TcpListener, task::JoinSet};

/// A running server; it stops when dropped.
pub(super) struct Server {
    pub(super) address: String,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(super) async fn start(routes: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port").to_string();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, routes).await.expect("it serves") });
        Self { address, _tasks: tasks }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// A client that needs no roots: everything here is plain http on loopback.
pub(super) fn client() -> reqwest::Client {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let stay = reqwest::redirect::Policy::none();
    let built = reqwest::Client::builder().tls_backend_preconfigured(tls).redirect(stay).no_proxy().build();
    built.expect("a client")
}
