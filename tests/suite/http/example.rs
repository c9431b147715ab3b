//! `examples/http_api.rs`, as its own process.

use std::{
    io::Write as _,
    net::TcpStream,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::{Answered, PATIENCE, read_all};
use crate::support::{daemon::Daemon, example::built};

/// The most memory the process ever had, in KiB.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says so");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_payments_service_charges_once() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", folder.path().join("payments.db").display());
    let mut program = Command::new(built("http_api"));
    program.args(["--listen", "127.0.0.1:0", "--database-url", &database]).stdout(Stdio::piped());
    let mut service = Daemon::of(program, "listens on");
    let client = redrive::http::client(PATIENCE).unwrap();
    let at = |path: &str| format!("{}{path}", service.base());
    let pay = async |key: &str, body: Value| {
        let request = client.post(at("/payments")).header("idempotency-key", key).json(&body);
        Answered::of(request.send().await.unwrap()).await
    };
    let first = pay("\"order-42\"", json!({"account": "acme", "cents": 1999})).await;
    assert_eq!((first.status, first.header("location")), (201, Some("/payments/acme/1")));
    let again = pay("order-42", json!({"cents": 1999, "account": "acme"})).await;
    assert!(again.is_replayed() && !first.is_replayed());
    assert_eq!(
        (again.status, again.header("location"), &again.body),
        (201, Some("/payments/acme/1"), &first.body)
    );
    assert_eq!(
        pay("order-42", json!({"account": "acme", "cents": 1})).await.problem(422).0,
        "idempotency-key-reused"
    );
    let missing = client.post(at("/payments")).json(&json!({})).send().await.unwrap();
    assert_eq!(Answered::of(missing).await.problem(400).0, "idempotency-key-missing");
    for replayed in [false, true] {
        let refused = pay("order-0", json!({"account": "acme", "cents": 0})).await;
        assert_eq!((refused.status, refused.is_replayed()), (422, replayed));
    }
    // A hundred megabytes under a key: refused, and never in memory.
    let before = peak(service.pid());
    let mut stream = TcpStream::connect(service.base().trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(b"POST /payments HTTP/1.1\r\nHost: x\r\nIdempotency-Key: big\r\nTransfer-Encoding: chunked\r\n\r\n")
        .unwrap();
    let answer = read_all(stream.try_clone().unwrap());
    let sending = tokio::task::spawn_blocking(move || {
        let chunk = [b"10000\r\n".as_slice(), &[b'x'; 65_536], b"\r\n"].concat();
        (0..1_600).take_while(|_| stream.write_all(&chunk).is_ok()).count()
    });
    assert_eq!(answer.await.0, 413);
    sending.await.unwrap();
    let grown = peak(service.pid()) - before;
    assert!(grown < 16 * 1_024, "{grown} KiB more than before");
    let charged: Value = client.get(at("/charged")).send().await.unwrap().json().await.unwrap();
    assert_eq!(charged, json!({"acme": [1999]}));
    service.signal("INT");
    assert_eq!(service.wait(PATIENCE), Some(0), "it ends once its work is done");
}
