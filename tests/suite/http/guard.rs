//! Whom the intake refuses: web pages, names that are not its own, and requests that could be read in two ways.

use redrive::config;

use super::{read_all, shed::Intake};

const BODY: &str = r#"{"tenantId":"acme","repoUrl":"https://github.com/acme/payments"}"#;

async fn open() -> Intake {
    let allowed_hosts = vec!["redrive.internal".to_owned()];
    Intake::with(config::Intake { allowed_hosts, ..config::Intake::default() }, None).await
}

/// A trigger with these header lines, and what its body is.
async fn sent(intake: &Intake, target: &str, lines: &[&str], body: &str) -> (u16, String) {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let request = format!("POST {target} HTTP/1.1\r\nConnection: close\r\n{lines}\r\n{body}");
    read_all(intake.send(request.as_bytes())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_page_begins_nothing_whatever_it_sends() {
    let intake = open().await;
    let length = format!("content-length: {}", BODY.len());
    let json = "content-type: application/json";
    for (lines, status) in [
        (vec!["host: localhost"], 415),
        (vec!["host: localhost", "content-type: text/plain"], 415),
        (vec!["host: localhost", "content-type: application/x-www-form-urlencoded"], 415),
        (vec!["host: localhost", json, "origin: https://evil.example"], 403),
        (vec!["host: localhost", json, "origin: null"], 403),
        (vec!["host: localhost:1", json, "origin: http://localhost:2"], 403),
        (vec!["host: localhost", json, "sec-fetch-site: cross-site"], 403),
        (vec!["host: localhost", json, "sec-fetch-site: same-site"], 403),
        (vec!["host: evil.example", json, "origin: http://evil.example", "sec-fetch-site: same-origin"], 421),
        (vec!["host: localhost.evil.example", json], 421),
        (vec!["host: 127.0.0.1@evil.example", json], 421),
        (vec!["host: 192.0.2.1", json], 421),
        (vec!["host: localhost", "host: evil.example", json], 400),
        (vec![json], 400),
    ] {
        let said = sent(&intake, "/onboardings", &[&lines[..], &[&length]].concat(), BODY).await;
        assert_eq!(said.0, status, "{lines:?}: {}", said.1);
        assert!(said.1.contains("application/problem+json"), "{lines:?}: {}", said.1);
    }
    let lines = ["host: localhost", json, &length];
    let elsewhere = sent(&intake, "http://evil.example/onboardings", &lines, BODY).await;
    assert_eq!(elsewhere.0, 421, "a target's own name counts: {}", elsewhere.1);
    assert_eq!(intake.onboardings().await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_asks_by_any_name_of_loopback_or_one_that_was_allowed() {
    let intake = open().await;
    let length = format!("content-length: {}", BODY.len());
    for (host, origin) in [
        ("localhost", ""),
        ("LOCALHOST.:8383", ""),
        ("worker.localhost", ""),
        ("127.0.0.1:8383", "origin: http://127.0.0.1:8383"),
        ("127.8.8.8", "sec-fetch-site: none"),
        ("[::1]:8383", "sec-fetch-site: same-origin"),
        ("redrive.internal:8383", ""),
    ] {
        let host = format!("host: {host}");
        let kind = "content-type: Application/JSON; charset=utf-8";
        let lines: Vec<&str> =
            [&host, kind, &length, origin].into_iter().filter(|line| !line.is_empty()).collect();
        let said = sent(&intake, "/onboardings", &lines, BODY).await;
        assert!([200, 202].contains(&said.0), "{lines:?}: {said:?}");
    }
    assert_eq!(intake.onboardings().await, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_with_two_lengths_is_refused_and_ends_its_connection() {
    let intake = open().await;
    let chunked = format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len());
    let head = "POST /onboardings HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let length = format!("content-length: {}\r\n", BODY.len());
    let coding = "transfer-encoding: chunked\r\n";
    let get = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
    for both in [format!("{length}{coding}"), format!("{coding}{length}")] {
        for before in ["", get] {
            // What would be read as a request of its own if the other length counted.
            let request = format!("{before}{head}{both}\r\n{chunked}{get}");
            let (_, rest) = read_all(intake.send(request.as_bytes())).await;
            let rest = format!("HTTP/1.1 {rest}");
            assert!(before.is_empty() || rest.contains("ok\n"), "{rest}");
            assert!(rest.contains("a Content-Length and a Transfer-Encoding"), "{rest}");
            assert_eq!(rest.matches("ok\n").count(), usize::from(!before.is_empty()), "{rest}");
        }
    }
    assert_eq!(intake.onboardings().await, "0");
    let (status, rest) = read_all(intake.send(format!("{head}{coding}\r\n{chunked}").as_bytes())).await;
    assert_eq!(status, 202, "in pieces alone is lawful: {rest}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_answered_in_http_2() {
    let intake = open().await;
    let mut stream = intake.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    let answer = tokio::task::spawn_blocking(move || {
        let mut answer = Vec::new();
        let _ = std::io::Read::read_to_end(&mut stream, &mut answer);
        answer
    });
    let answer = answer.await.unwrap();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{answer:?}");
}
