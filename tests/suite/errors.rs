//! What counts as one kind of error: pairs of texts as programs really write them, each marked same or different.

use redrive::domain::fault::Fault;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Same,
    Different,
}
use Kind::{Different, Same};

#[rustfmt::skip]
const PAIRS: [(Kind, &str, &str); 74] = [
    // HTTP clients: the status is the kind, how long it took is not.
    (Same, "took 512 ms", "took 734 ms"),
    (Different, "status 502", "status 503"),
    (Different, "503 from api.github.com: Service Unavailable", "502 from api.github.com: Bad Gateway"),
    (Different, "Request failed with status code 404", "Request failed with status code 500"),
    (Different, "HTTP/1.1 429 Too Many Requests", "HTTP/1.1 401 Too Many Requests"),
    (Different, "unexpected response (status=500)", "unexpected response (status=504)"),
    (Different, r#"{"status":503,"id":"a1"}"#, r#"{"status":409,"id":"a2"}"#),
    (Same, "503 from api.github for acme/payments after 12 ms", "503 from api.github for acme/ledger after 9801 ms"),
    (Same, "GET https://api.example.com/orders/4711/items: 404 Not Found", "GET https://api.example.com/orders/12/items: 404 Not Found"),
    (Same, "no route for /orders/4711/items", "no route for /orders/12/items"),
    (Same, "request 550e8400-e29b-41d4-a716-446655440000 timed out", "request 16fd2706-8baf-433b-82da-8c7fada847da timed out"),
    (Same, "request deadbeef-cafe-babe-feed-facedeedbeef timed out", "request 550e8400-e29b-41d4-a716-446655440000 timed out"),
    (Same, "GitHub answered 403: rate limit exceeded, resets in 59 min", "GitHub answered 403: rate limit exceeded, resets in 8 min"),
    (Different, "GitHub answered 403: rate limit exceeded", "GitHub answered 403: Resource not accessible by integration"),
    (Same, "429 Too Many Requests, retry after Tue, 03 Mar 2026 12:00:00 GMT", "429 Too Many Requests, retry after Wed, 14 Oct 2026 09:30:11 GMT"),
    (Same, "503 on hook 404", "503 on hook 12345"),
    // Durations, sizes, counts.
    (Same, "gave no answer within 500 ms", "gave no answer within 2 s"),
    (Same, "timeout of 30000ms exceeded", "timeout of 500ms exceeded"),
    (Same, "lock waited 1 h 5 min", "lock waited 45 s"),
    (Same, "lock waited 250 µs", "lock waited 3 milliseconds"),
    (Same, "gave up after 1 attempt", "gave up after 5 attempts"),
    (Same, "gave up after 500 seconds", "gave up after 1 minute"),
    (Same, "body of 404 bytes is cut", "body of 1,048,576 bytes is cut"),
    (Same, "body of 10 MB is too large", "body of 1.5 GiB is too large"),
    (Same, "disk is 91 % full", "disk is 100% full"),
    (Same, "read 200 rows of 500", "read 3 rows of 9000"),
    // Postgres.
    (Same, r#"duplicate key value violates unique constraint "orders_pkey" (SQLSTATE 23505)"#, r#"duplicate key value violates unique constraint "users_pkey" (SQLSTATE 23505)"#),
    (Different, "could not write (SQLSTATE 23505)", "could not write (SQLSTATE 40001)"),
    (Different, "SQLSTATE[08006]: could not connect", "SQLSTATE[28P01]: could not connect"),
    (Different, "ERROR: 40P01: transaction failed", "ERROR: 40001: transaction failed"),
    (Same, "process 4711 waits for ShareLock on transaction 998877", "process 12 waits for ShareLock on transaction 3"),
    (Same, "connection to server at 10.0.0.5, port 5432 failed", "connection to server at 10.0.0.17, port 443 failed"),
    (Different, "canceling statement due to statement timeout", "canceling statement due to lock timeout"),
    // Terraform and other programs that end.
    (Different, "terraform exited with exit code 1", "terraform exited with exit code 137"),
    (Different, "exit status 1", "exit status 2"),
    (Different, "the container Exited (137)", "the container Exited (1)"),
    (Different, "killed by signal 9", "killed by signal 15"),
    (Same, "Error: invalid workspace ws-a1b2c3, on main.tf line 42", "Error: invalid workspace ws-z9y8x7, on main.tf line 500"),
    (Same, "Terraform v1.5.7 does not support this provider", "Terraform v1.12.0 does not support this provider"),
    (Same, "Error acquiring the state lock: ID deadbeefcafe", "Error acquiring the state lock: ID feedfacecafe"),
    // Java.
    (Same, "java.net.SocketTimeoutException: Read timed out after 30000 ms", "java.net.SocketTimeoutException: Read timed out after 100 ms"),
    (Different, "java.net.SocketTimeoutException: Read timed out", "java.net.ConnectException: Connection refused"),
    (Different, "java.sql.SQLException: ORA-00942: it failed", "java.sql.SQLException: ORA-01017: it failed"),
    (Same, "cannot cast com.acme.Order@1b6d3586", "cannot cast com.acme.Order@deadbeef"),
    // Node.
    (Different, "connect ECONNREFUSED 127.0.0.1:5432", "connect ETIMEDOUT 127.0.0.1:5432"),
    (Same, "connect ECONNREFUSED 127.0.0.1:5432", "connect ECONNREFUSED 10.1.2.3:6379"),
    (Same, "getaddrinfo ENOTFOUND db1.internal", "getaddrinfo ENOTFOUND db2.internal"),
    (Different, "Invalid invocation, code: P2002", "Invalid invocation, code: P2025"),
    (Same, "Unexpected token < in JSON at position 0", "Unexpected token < in JSON at position 404"),
    // Go.
    (Same, "dial tcp [2001:db8::1]:443: connect: connection refused", "dial tcp [fe80::7]:8443: connect: connection refused"),
    (Different, "dial tcp 10.0.0.1:5432: connect: connection refused", "dial tcp 10.0.0.1:5432: i/o timeout"),
    (Different, "rpc error: code = Unavailable desc = gone", "rpc error: code = NotFound desc = gone"),
    (Different, "404 page not found", "405 page not found"),
    // Python.
    (Different, "[Errno 111] it failed", "[Errno 113] it failed"),
    (Same, "KeyError: 'tenant'", "KeyError: 'workspace'"),
    (Same, r#"File "/app/run.py", line 10, in main"#, r#"File "/app/other.py", line 200, in main"#),
    (Different, "Command returned non-zero exit status 1.", "Command returned non-zero exit status 2."),
    // Rust and the system.
    (Different, "it failed (os error 104)", "it failed (os error 111)"),
    // Moments, addresses, people.
    (Same, "expired at 2026-03-01T12:00:00Z", "expired at 2026-11-30T23:59:59.123456+01:00"),
    (Same, "expired at 2026-03-01 12:00:00", "expired at 2026-11-30T23:59:59Z"),
    (Same, "no route to fe80::1", "no route to 2001:db8::42"),
    (Same, "no mailbox for ana@example.com", "no mailbox for bob.smith@mail.example.org"),
    (Same, "token for <ana@example.com> expired", "token for <bob@example.com> expired"),
    // Quotes, and apostrophes, which are none.
    (Different, "can't verify the card", "can't reach the bank"),
    (Different, "can't verify the card, won't retry", "can't reach the bank, won't retry"),
    (Different, "the users' cards aren't valid", "the users' banks aren't valid"),
    (Same, "can't find 'alice'", "can't find 'bob'"),
    (Same, "the card's owner 'it's me' is gone", "the card's owner 'bob' is gone"),
    (Same, "no field “amount”", "no field “currency”"),
    (Same, "no field ‘amount’", "no field ‘it’s mine’"),
    (Same, "pas de champ «montant»", "pas de champ «devise»"),
    (Different, "can’t verify the card", "can’t reach the bank"),
    (Same, "unknown column `total`", "unknown column `sum`"),
    // A quote that never ends is text.
    (Different, "unterminated \" in the header", "unterminated \" in the body"),
];

fn fingerprint(text: &str) -> String {
    Fault::transient(text).of("shop.order").fingerprint()
}

#[test]
fn errors_of_one_kind_are_one_group_and_others_are_not() {
    let wrong = |(kind, a, b): &&(Kind, &str, &str)| (fingerprint(a) == fingerprint(b)) != (*kind == Same);
    let wrong: Vec<_> = PAIRS.iter().filter(wrong).collect();
    assert!(wrong.is_empty(), "{} of {} pairs: {wrong:#?}", wrong.len(), PAIRS.len());
}
