//! How long a request may take to arrive, and how large it may be.

use std::{io::Read as _, time::Duration};

use redrive::config;

use super::{read_all, shed::Intake};

/// An intake that waits only this long.
async fn hurried() -> Intake {
    let limit = Duration::from_millis(100);
    Intake::with(
        config::Intake { header_timeout: limit, body_timeout: limit, ..config::Intake::default() },
        None,
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_does_not_come_whole_is_not_waited_for() {
    let intake = hurried().await;
    for begun in ["", "POST /onbo", "POST /onboardings HTTP/1.1\r\nhost: localhost\r\n"] {
        let mut stream = intake.send(begun.as_bytes());
        let ended = tokio::task::spawn_blocking(move || stream.read_to_end(&mut Vec::new())).await.unwrap();
        assert!(ended.is_ok(), "{begun:?}: the worker hangs up before the test does: {ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_come_whole_is_refused_with_and_without_a_key() {
    let intake = hurried().await;
    for key in ["", "idempotency-key: k\r\n"] {
        let begun = format!(
            "POST /onboardings HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{key}content-length: 100\r\n\r\n{{"
        );
        let (status, rest) = read_all(intake.send(begun.as_bytes())).await;
        assert_eq!(status, 408, "{rest}");
        assert!(rest.contains("the body did not arrive within 100ms"), "{rest}");
    }
    assert_eq!(intake.onboardings().await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_announced_over_the_cap_is_refused_before_a_byte_of_it_is_asked_for() {
    let intake = Intake::with(config::Intake::default(), None).await;
    for key in ["", "idempotency-key: k\r\n"] {
        let head = format!(
            "POST /onboardings HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{key}\
             content-length: 65537\r\nexpect: 100-continue\r\n\r\n"
        );
        let (status, rest) = read_all(intake.send(head.as_bytes())).await;
        assert_eq!(status, 413, "{rest}");
        assert!(rest.contains("application/problem+json"), "{rest}");
    }
}
