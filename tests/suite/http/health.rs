//! Signs of health: alive whatever the database does, ready only with it.

use std::time::Duration;

use redrive::{
    config,
    store::{OpenOptions, open},
};

use super::{PATIENCE, shed::Intake};
use crate::support::{proxy::Proxy, stores::TestStore, wait::eventually};

/// Waits until the worker says that it is ready, or that it is not; every answer comes within the test's patience.
async fn until(intake: &Intake, status: u16) -> String {
    eventually(&format!("/readyz says {status}"), PATIENCE, async || {
        let (ready, health) = (intake.get("/readyz").await, intake.get("/healthz").await);
        (ready.status == status && health.status == status).then(|| ready.text().to_owned())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_is_ready_without_the_board_being_read_and_not_with_another_schema() {
    let intake = Intake::with(config::Intake::default(), None).await;
    intake.store.sql("ALTER TABLE onboarding_history RENAME TO put_away").await;
    assert_eq!(until(&intake, 200).await, "ok\n");
    intake.store.sql("UPDATE redrive_migrations SET version = version + 1000").await;
    assert!(until(&intake, 503).await.contains("schema"));
    assert_eq!(intake.get("/livez").await.status, 200);
    intake.store.sql("UPDATE redrive_migrations SET version = version - 1000").await;
    until(&intake, 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_database_file_is_gone_is_alive_and_not_ready() {
    let intake = Intake::with(config::Intake::default(), None).await;
    until(&intake, 200).await;
    std::fs::remove_file(intake.store.url.trim_start_matches("sqlite:")).unwrap();
    assert!(until(&intake, 503).await.contains("there is no file"));
    assert_eq!((intake.get("/livez").await.status, intake.get("/livez").await.text()), (200, "ok\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_postgres_hangs_says_so_and_is_ready_again_over_another_line() {
    let store = TestStore::postgres().await;
    let (login, place) = store.url.split_once('@').expect("a URL with a user");
    let (server, name) = place.split_once('/').expect("a database");
    let wire = Proxy::to(server);
    let through = format!("{login}@{}/{name}?sslmode=disable", wire.address);
    let options = OpenOptions { connect_timeout: Duration::from_secs(20), ..OpenOptions::default() };
    let opened = open(&through, options).await.expect("it opens");
    let intake = Intake::over(store, opened, config::Intake::default(), None).await;
    until(&intake, 200).await;
    wire.freeze();
    let asked = eventually("a hanging database is told", PATIENCE, async || {
        let asked = redrive::clock::instant();
        let answer = intake.get("/readyz").await;
        (answer.status == 503).then(|| redrive::clock::instant() - asked)
    })
    .await;
    assert!(asked < Duration::from_secs(5), "{asked:?}: the database's own limits are longer");
    assert_eq!(intake.get("/livez").await.status, 200);
    until(&intake, 200).await;
}
