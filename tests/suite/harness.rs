//! The tests' own footing, tried out: a broken harness would make every test above it say nothing.

use std::{
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    time::Duration,
};

use sqlx::{Connection, PgConnection};

use crate::support::{postgres, prometheus::Prometheus, pty::Terminal, wait::eventually};

const LIMIT: Duration = Duration::from_secs(10);

fn shell(script: &str) -> Terminal {
    Terminal::spawn(Path::new("sh"), &["-c", script], 40, 5, &[("GREETING", "good morning")])
}

#[test]
fn a_terminal_shows_what_a_program_draws_and_passes_keys_on() {
    let mut terminal =
        shell("printf '%s? ' \"$GREETING\"; read -r answer; printf 'so: %s' \"$answer\"; exit 3");
    terminal.wait_for("good morning?", LIMIT);
    terminal.press("y e Shift+S Enter");
    assert!(terminal.wait_for("so: yeS", LIMIT).starts_with("good morning? yeS\nso: yeS"));
    assert_eq!(terminal.exit_code(LIMIT), 3);
}

#[test]
fn a_program_does_not_see_the_settings_of_whoever_runs_the_tests() {
    let terminal = shell("env");
    assert_eq!(terminal.exit_code(LIMIT), 0);
    let written = String::from_utf8_lossy(&terminal.raw()).into_owned();
    assert!(
        written.contains("GREETING=good morning") && written.contains("TERM=xterm-256color"),
        "{written}"
    );
    for name in crate::support::pty::settings_of_others() {
        let name = name.to_string_lossy().into_owned();
        assert!(
            !written.lines().any(|line| line.starts_with(&format!("{name}="))),
            "{name} is in\n{written}"
        );
    }
}

#[test]
fn a_terminal_tells_its_size_and_changes_it() {
    let mut terminal = shell("while read -r _; do stty size; done");
    terminal.press("Enter");
    terminal.wait_for("5 40", LIMIT);
    terminal.resize(100, 30);
    terminal.press("Enter");
    terminal.wait_for("30 100", LIMIT);
    terminal.signal("TERM");
    assert_eq!(terminal.exit(LIMIT).signal(), Some("Terminated"));
}

#[test]
fn a_terminal_notices_what_was_not_restored() {
    let tidy = shell(
        r"before=$(stty -g); stty raw -echo; printf '\033[?1049h\033[?25l\033[?2026h';
        printf '\033[?2026l\033[?25h\033[?1049l'; stty $before",
    );
    assert_eq!(tidy.exit_code(LIMIT), 0);
    assert_eq!(tidy.not_restored(), Vec::<&str>::new());
    let untidy = shell(r"stty raw -echo; printf '\033[?1049h\033[?25l\033[?2004h\033[?1000h\033[?2026h'");
    assert_eq!(untidy.exit_code(LIMIT), 0);
    assert_eq!(untidy.not_restored().len(), 6, "{:?}", untidy.not_restored());
}

#[test]
fn nobody_sees_a_frame_that_is_half_drawn() {
    let mut terminal = shell(r"printf '\033[?2026hhalf'; read -r _; printf ' whole\033[?2026l'; read -r _");
    terminal.wait_for_bytes(b"half", LIMIT);
    terminal.press("Enter");
    assert!(terminal.wait_for("half", LIMIT).contains("whole"));
}

#[tokio::test]
async fn each_test_has_a_postgres_database_of_its_own_and_leaves_none() {
    let (one, other) = (postgres::database().await, postgres::database().await);
    let mut to_one = PgConnection::connect(&one.url).await.unwrap();
    let mut to_other = PgConnection::connect(&other.url).await.unwrap();
    sqlx::raw_sql("CREATE TABLE only_here (n int)").execute(&mut to_one).await.unwrap();
    assert!(sqlx::raw_sql("SELECT * FROM only_here").execute(&mut to_one).await.is_ok());
    assert!(sqlx::raw_sql("SELECT * FROM only_here").execute(&mut to_other).await.is_err());
    let gone = one.url.clone();
    drop(one);
    assert!(PgConnection::connect(&gone).await.unwrap_err().to_string().contains("does not exist"));
}

#[tokio::test]
async fn a_prometheus_server_has_scraped_a_tests_target() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = target.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in target.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 2048]);
            let _ = stream.write_all(
                b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n# TYPE a_total counter\na_total 7\n",
            );
        }
    });
    let server = Prometheus::start(&[&address]).await;
    let found =
        eventually("the sample was stored", LIMIT, async || server.query("a_total").await.pop()).await;
    assert_eq!(found["value"][1], "7");
    assert_eq!(found["metric"]["instance"], address.as_str());
}
