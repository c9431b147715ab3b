//! The twins without a terminal: what they answer, their exit codes, and what bad input is told.

mod check;
mod files;
mod hostile;
mod secrets;
mod troubled;

use std::collections::BTreeMap;

use redrive::{
    domain::circuit::CircuitState,
    engine::store::{CircuitReport, Heartbeat},
};

use crate::support::{
    program::{redrive, run},
    stores::{TestStore, anything},
    wait::eventually,
};

async fn fresh() -> (TestStore, String) {
    let store = TestStore::sqlite().await;
    let url = store.url.clone();
    (store, url)
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e} in {text}"))
}

#[test]
fn an_unknown_flag_is_wrong_usage() {
    let (code, _, err) = run(&["status", "--colour"]);
    assert_eq!(code, 2);
    assert!(err.contains("--colour"), "{err}");
}

#[test]
fn without_a_database_it_says_how_to_name_one() {
    let (code, _, err) = run(&["onboardings", "list"]);
    assert_eq!(code, 1);
    assert!(err.contains("--database-url") && err.contains("redrive demo"), "{err}");
}

#[test]
fn an_unreachable_database_is_named_without_its_password() {
    let (code, _, err) = run(&["status", "--database-url", "postgres://ana:s3cret@127.0.0.1:1/onboardings"]);
    assert_eq!(code, 1);
    assert!(err.contains("cannot reach the database") && err.contains("127.0.0.1:1"), "{err}");
    assert!(!err.contains("s3cret"), "{err}");
}

#[test]
fn a_url_of_another_kind_is_refused_with_the_kinds_there_are() {
    let (code, _, err) = run(&["status", "--database-url", "mysql://root@localhost/x"]);
    assert_eq!(code, 1);
    assert!(err.contains("sqlite:") && err.contains("postgres://"), "{err}");
}

#[test]
fn a_database_without_tables_is_told_to_migrate() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.db");
    std::fs::write(&path, b"").unwrap();
    let (code, _, err) = run(&["status", "--database-url", &format!("sqlite:{}", path.display())]);
    assert_eq!(code, 1);
    assert!(err.contains("redrive migrate"), "{err}");
}

#[test]
fn a_file_that_is_no_database_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    let notes = "these are my notes, not a database\n".repeat(100);
    std::fs::write(&path, &notes).unwrap();
    for command in ["status", "migrate"] {
        let (code, _, err) = run(&[command, "--database-url", &format!("sqlite:{}", path.display())]);
        assert_eq!(code, 1, "{err}");
        assert!(err.contains("notes.txt"), "{err}");
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), notes);
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let (store, url) = fresh().await;
    store
        .sql("INSERT INTO redrive_migrations (version, description, success, checksum, execution_time) VALUES (999, 'later', true, x'00', 0)")
        .await;
    for command in [&["status"][..], &["migrate"], &["onboardings", "list"]] {
        let (code, _, err) = run(&[command, &["--database-url", &url]].concat());
        assert_eq!(code, 1, "{command:?}: {err}");
        assert!(err.contains("newer"), "{err}");
    }
}

#[tokio::test]
async fn a_malformed_trigger_is_told_what_was_expected() {
    let (_store, url) = fresh().await;
    let trigger = |repo: &str, workspace: &str| {
        run(&[
            "onboardings",
            "trigger",
            "--database-url",
            &url,
            "--tenant",
            "acme",
            "--repo-url",
            repo,
            "--workspace-id",
            workspace,
        ])
    };
    let (code, _, err) = trigger("github.com/acme", "ws-1");
    assert_eq!(code, 1);
    assert!(err.contains("https://github.com/acme/payments"), "{err}");
    let (code, _, err) = trigger("https://github.com/acme/payments", "workspace 1");
    assert_eq!(code, 1);
    assert!(err.contains("ws-"), "{err}");
    let (_, out, _) = run(&["onboardings", "list", "--json", "--database-url", &url]);
    assert_eq!(json(&out), serde_json::json!([]), "nothing was begun");
}

#[tokio::test]
async fn triggering_twice_gives_the_same_onboarding() {
    let (_store, url) = fresh().await;
    let args = ["onboardings", "trigger", "--database-url", &url, "--tenant", "acme"];
    let args = [&args[..], &["--repo-url", "https://github.com/acme/payments"]].concat();
    let trigger = || {
        let (code, out, err) = run(&[&args[..], &["--json"]].concat());
        assert_eq!(code, 0, "{err}");
        json(&out)["triggered"].clone()
    };
    let dry_run = || run(&[&args[..], &["--dry-run"]].concat()).1;
    assert!(dry_run().contains("1 will run"), "{}", dry_run());
    let (first, second) = (trigger(), trigger());
    assert_eq!(first["status"], "started");
    assert_eq!(second["status"], "in_progress");
    assert_eq!(first["onboardingId"], second["onboardingId"]);
    let said = dry_run();
    let id = first["onboardingId"].as_str().unwrap_or_default();
    assert!(said.contains("0 will run, 1 already in progress") && said.contains(id), "{said}");
}

#[tokio::test]
async fn an_action_without_a_terminal_needs_yes_and_changes_nothing_before() {
    let (_store, url) = fresh().await;
    let (_, out, _) = run(&[
        "onboardings",
        "trigger",
        "--json",
        "--database-url",
        &url,
        "--tenant",
        "acme",
        "--repo-url",
        "https://github.com/acme/payments",
    ]);
    let id = json(&out)["triggered"]["onboardingId"].as_str().unwrap().to_owned();
    let (code, out, err) = run(&["onboardings", "rollback", &id, "--database-url", &url]);
    assert_eq!(code, 1);
    assert!(out.contains("1 will run") && err.contains("--yes"), "{out}{err}");
    let (_, out, _) = run(&["onboardings", "show", &id, "--json", "--database-url", &url]);
    assert_eq!(json(&out)["row"]["phase"], "queued");
    let (code, _, err) =
        run(&["onboardings", "rollback", &id, "--yes", "--read-only", "--database-url", &url]);
    assert_eq!(code, 1);
    assert!(err.contains("--read-only"), "{err}");
    let (code, _, err) = run(&["onboardings", "rollback", &id, "--yes", "--database-url", &url]);
    assert_eq!(code, 0, "{err}");
    let (_, out, _) = run(&["onboardings", "show", &id, "--json", "--database-url", &url]);
    assert_eq!(json(&out)["row"]["phase"], "rolling_back");
    let (_, out, _) = run(&["onboardings", "show", &id, "--database-url", &url]);
    assert!(
        out.contains("roll back  1") && out.contains("OPERATOR"),
        "what operators did stands below: {out}"
    );
}

#[tokio::test]
async fn the_audit_says_who_did_what_and_why() {
    let (_store, url) = fresh().await;
    let act = |args: &[&str]| {
        let (code, _, err) = run(&[args, &["--yes", "--database-url", &url, "--operator", "ana"]].concat());
        assert_eq!(code, 0, "{err}");
    };
    act(&["circuits", "pause", "onboarding", "--for=10m", "--reason=token=hunter2 leaked"]);
    act(&["circuits", "unpause", "onboarding"]);
    let audit = |args: &[&str]| run(&[&["audit", "list", "--database-url", &url], args].concat());
    let (code, out, err) = audit(&["action:pause", "age:<1h", "operator:ana"]);
    assert_eq!((code, err.as_str(), out.lines().count()), (0, "", 2), "{out}");
    assert!(
        out.contains("ana")
            && out.contains("pause for 10m")
            && out.contains("onboarding")
            && !out.contains("hunter2"),
        "{out}"
    );
    let (_, out, _) = audit(&["--json", "--sort=oldest"]);
    let kinds: Vec<_> = json(&out).as_array().unwrap().iter().map(|row| row["kind"].clone()).collect();
    assert_eq!(kinds, ["pause", "unpause"], "{out}");
    assert_eq!(audit(&["tenant:acme"]).0, 2, "no row of the audit has a tenant");
}

#[tokio::test]
async fn a_refused_action_exits_with_1_and_says_why() {
    let (_store, url) = fresh().await;
    let (code, _, err) = run(&["onboardings", "resume", "nobody", "--yes", "--database-url", &url]);
    assert_eq!(code, 1);
    assert!(err.contains("nobody: not found"), "{err}");
    let (code, _, err) = run(&["letters", "show", "none", "--database-url", &url]);
    assert_eq!(code, 1);
    assert!(err.contains("redrive letters list"), "{err}");
}

#[tokio::test]
async fn a_filter_that_cannot_be_read_is_said_exactly() {
    let (_store, url) = fresh().await;
    let (code, _, err) = run(&["onboardings", "list", "colour:red", "--database-url", &url]);
    assert_eq!(code, 2);
    assert!(err.contains("no field \"colour\""), "{err}");
    let (code, _, err) = run(&["onboardings", "list", "status:open", "--database-url", &url]);
    assert_eq!(code, 2);
    assert!(err.contains("no status \"open\": onboardings are in_progress,"), "{err}");
    assert!(!err.contains("letters"), "{err}");
}

#[tokio::test]
async fn what_comes_from_outside_is_escaped_in_tables() {
    let (store, url) = fresh().await;
    store
        .sql("INSERT INTO onboarding_history (id, tenant_id, repo_url, fingerprint, status, created_at) VALUES
              ('evil' || char(27) || ']0;owned' || char(7), 'acme\u{202e}', 'https://x/y', 'f', 'failed', '2026-11-22 10:00:00')")
        .await;
    let (code, out, err) = run(&["onboardings", "list", "--database-url", &url]);
    assert_eq!(code, 0, "{err}");
    assert!(!out.contains('\u{1b}') && !out.contains('\u{202e}') && !out.contains('\u{7}'), "{out:?}");
    assert!(out.contains("evil"), "{out}");
}

#[tokio::test]
async fn status_without_metrics_is_unknown_and_not_calm() {
    let (_store, url) = fresh().await;
    let (code, out, _) = run(&["status", "--exit-code", "--database-url", &url]);
    assert_eq!(code, 13);
    assert!(out.starts_with("UNKNOWN"), "{out}");
    let (code, _, _) = run(&["status", "--database-url", &url]);
    assert_eq!(code, 0);
}

#[tokio::test]
async fn status_without_metrics_judges_the_workers_last_seconds() {
    let (store, url) = fresh().await;
    let report = CircuitReport {
        operation: "github.create_hook".to_owned(),
        state: CircuitState::Closed,
        failure_rate: Some(0.9),
        opens_at: 0.5,
        slow_rate: None,
        slow_opens_at: None,
        calls: 50,
        probe_in: None,
        budget_left: 0.0,
        first_tries: 40,
        retries: 60,
        in_flight: None,
        denied: BTreeMap::new(),
    };
    let beat = Heartbeat {
        worker: "worker-a".into(),
        running: 1,
        runs: anything().newest(),
        metrics_url: None,
        circuits: vec![report],
    };
    store.time.free();
    store.opened.store.beat(&beat).await.expect("a heartbeat");
    let (code, out, err) = run(&["status", "--exit-code", "--database-url", &url]);
    assert_eq!(code, 11, "{out} {err}");
    let said = "STORM github.create_hook  2.5× load · 60 % of requests are retries · budget 0 · in the workers' last 10 s";
    assert!(out.starts_with(said), "{out}");
}

#[tokio::test]
async fn status_says_what_stands_still_and_why() {
    let (store, url) = fresh().await;
    store.trigger("payments").await;
    let said = "no worker is running: nothing will move until one starts";
    let (code, out, err) = run(&["status", "--database-url", &url]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains(&format!("advice       {said}")), "{out}");
    let (_, out, _) = run(&["status", "--json", "--database-url", &url]);
    let status: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(status["advice"][0]["about"], "no_worker", "{out}");
    assert_eq!(status["advice"][0]["text"], said);
}

#[tokio::test]
async fn a_target_that_does_not_answer_is_a_reason_in_words() {
    let (_store, url) = fresh().await;
    let (code, out, err) = run(&[
        "status",
        "--window",
        "4s",
        "--metrics",
        "dead=http://127.0.0.1:1/metrics",
        "--database-url",
        &url,
    ]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("target dead:"), "{out}");
}

#[test]
fn a_config_file_is_refused_with_the_place_of_its_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("redrive.toml");
    std::fs::write(&path, "database_url = \"sqlite:x.db\"\n[engine]\nlease = \"soon\"\n").unwrap();
    let (code, _, err) = run(&["status", "--config", path.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(err.contains("line 3: \"soon\" is not a duration"), "{err}");
    std::fs::write(&path, "[engine]\nleese = \"30s\"\n").unwrap();
    let (code, _, err) = run(&["status", "--config", path.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(err.contains("leese") && err.contains("line 2"), "{err}");
}

#[test]
fn credentials_in_a_repository_url_are_refused_without_being_repeated() {
    let url = "https://ana:s3cret@github.com/acme/payments";
    let args = ["onboardings", "trigger", "--tenant", "acme", "--repo-url", url];
    let (code, _, err) = run(&[&args[..], &["--database-url", "sqlite::memory:"]].concat());
    assert_eq!(code, 1);
    assert!(err.contains("repoUrl") && !err.contains("s3cret"), "{err}");
}

#[test]
fn a_reader_who_has_read_enough_is_no_failure_and_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("new.db").display());
    for args in [&["migrate"][..], &["onboardings", "list", "--json"]] {
        let mut command = redrive(&[args, &["--database-url", &url]].concat());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let out = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&out.stderr), "", "{args:?}");
        assert_eq!(out.status.code(), Some(0), "{args:?}");
    }
}

#[test]
fn stand_ins_whose_address_is_taken_say_which_and_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _, err) = run(&["demo", "--only", "upstreams", "--listen", &address]);
    assert_eq!(code, 1);
    assert!(err.contains(&address) && err.contains("--listen"), "{err}");
}

#[tokio::test]
async fn rows_that_hold_words_for_numbers_are_listed_all_the_same() {
    let (store, url) = fresh().await;
    store
        .sql(
            "INSERT INTO onboarding_history (id, tenant_id, repo_url, fingerprint, status, attempt, version, workflow_version) \
             VALUES ('odd', 'acme', 'https://github.com/acme/odd', 'f', 'failed', 'x', 'y', 'z'); \
             INSERT INTO idempotency_keys (key, request_hash, status, response_code) VALUES ('odd', 'h', 'COMPLETED', 'abc'); \
             INSERT INTO redrive_replays (id, operator, action_id, created_at, per_second, total, succeeded, failed_again, skipped) \
             VALUES ('odd', 'ana', 'a', '2026-03-01 12:00:00+00', 'banana', 1, -9223372036854775808, 7, 9223372036854775807); \
             INSERT INTO redrive_attempts (onboarding_id, seq, state, attempt, worker, lease_id, started_at, delay_seconds) \
             VALUES ('odd', 1, 'VALIDATING', 1, 'w', 'l', '2026-03-01 12:00:00+00', 'soon')",
        )
        .await;
    for args in [
        &["onboardings", "list"][..],
        &["onboardings", "show", "odd"],
        &["onboardings", "rollback", "odd", "--dry-run"],
        &["keys", "show", "odd"],
        &["replays", "list"],
        &["status"],
    ] {
        let (code, _, err) = run(&[args, &["--database-url", &url]].concat());
        assert_eq!(code, 0, "{args:?}: {err}");
    }
}

#[tokio::test]
async fn a_demo_that_is_stopped_before_its_screen_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let left = || std::fs::read_dir(folder.path()).unwrap().count();
    let mut child = redrive(&["demo"]).env("TMPDIR", folder.path()).spawn().unwrap();
    eventually("it makes its folder", std::time::Duration::from_secs(20), async || {
        (left() > 0).then_some(())
    })
    .await;
    let killed = std::process::Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status();
    assert!(killed.unwrap().success());
    child.wait().unwrap();
    assert_eq!(left(), 0);
}

#[tokio::test]
async fn a_plan_in_words_says_of_every_target_what_becomes_of_it() {
    let (_store, url) = fresh().await;
    let (_, out, _) = run(&[
        "onboardings",
        "trigger",
        "--json",
        "--database-url",
        &url,
        "--tenant",
        "acme",
        "--repo-url",
        "https://github.com/acme/payments",
    ]);
    let id = json(&out)["triggered"]["onboardingId"].as_str().unwrap().to_owned();
    let (code, out, _) = run(&["onboardings", "resume", &id, "nobody", "--dry-run", "--database-url", &url]);
    assert_eq!(code, 1, "nothing would run: {out}");
    assert!(out.contains("2 selected: 0 will run"), "{out}");
    assert!(out.contains(&format!("{id}  ")) && out.contains("already in progress"), "{out}");
    assert!(out.contains("nobody: not found"), "{out}");
}

#[tokio::test]
async fn keys_are_shown_released_and_refused_as_on_the_screen() {
    let (store, url) = fresh().await;
    let hold = |lasts: u64| redrive::engine::key::Hold::new("worker-z", seconds(lasts), seconds(900_000));
    let begin = async |name: &str, hold: &redrive::engine::key::Hold| {
        let key = redrive::engine::key::KeyIntent::new("pay charge", name, "ab".repeat(32)).unwrap();
        store.opened.store.begin(&key, hold).await.unwrap();
        key.key
    };
    store.time.set(redrive::clock::now() - chrono::TimeDelta::hours(2));
    let (live, done) = (begin("live", &hold(90_000)).await, hold(30));
    for name in ["stale", "stale too", "done"] {
        begin(name, &done).await;
    }
    let answer = redrive::engine::key::Answer {
        code: 201,
        headers: vec![("location".to_owned(), "/charges/7".to_owned())],
        body: b"{\"card\":\"4111111111111111\"}".to_vec(),
    };
    let end = redrive::engine::key::KeyEnd::Completed(answer);
    assert!(store.opened.store.end(&"pay charge/done".into(), &done, &end).await.unwrap());
    let keys = |args: &[&str]| run(&[&["keys", "--database-url", &url], args].concat());

    let (code, out, err) = keys(&["list", "status:stuck"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("pay charge/stale too") && !out.contains("pay charge/live"), "{out}");
    let (_, out, _) = keys(&["list", "status:in_flight", "operator:worker-z", "--json"]);
    assert_eq!(json(&out).as_array().map(Vec::len), Some(1), "in flight is not stuck: {out}");
    let (_, out, _) = keys(&["list", "status:completed", "--json"]);
    assert_eq!(json(&out)[0]["life"], "completed");

    let (code, out, _) = keys(&["release", "pay charge/live", "--dry-run", "--json"]);
    assert_eq!(
        (code, json(&out)["lines"][0]["left_out"]["why"].as_str()),
        (1, Some("needs_reason")),
        "{out}"
    );
    let (code, out, _) = keys(&["release", "pay charge/live", "--dry-run", "--reason", "its host burns"]);
    assert_eq!(code, 0);
    assert!(out.contains("release: 1 selected: 1 will run") && out.contains("runs the work again"), "{out}");
    let (code, _, err) = keys(&["release", "pay charge/live", "--yes"]);
    assert_eq!(code, 1);
    assert!(err.contains("give a reason to release it all the same"), "{err}");
    let (code, _, err) =
        keys(&["release", "pay charge/live", "--yes", "--reason", "its host burns", "--read-only"]);
    assert_eq!(code, 1);
    assert!(err.contains("--read-only"), "{err}");
    let (code, out, err) = keys(&["release", "pay charge/live", "--yes", "--reason", "its host burns"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("release: applied to 1 of 1"), "{out}");
    let (_, out, _) = keys(&["show", live.as_str()]);
    assert!(out.contains("free: ") && out.contains("its host burns"), "{out}");
    let (_, out, _) = keys(&["show", "pay charge/done"]);
    assert!(out.contains("code 201, 27 bytes") && out.contains("header     location"), "{out}");
    assert!(!out.contains("4111") && !out.contains("/charges/7"), "a stored response is a payload: {out}");
    let (code, _, err) = keys(&["release", "pay charge/done", "--yes", "--reason", "I want it"]);
    assert_eq!(code, 1);
    assert!(err.contains("not held: completed, its stored response is replayed"), "{err}");

    // A twin's own table is taken back as it is, keys with spaces in them too.
    let (_, table, _) = keys(&["list", "status:stuck"]);
    let mut command = redrive(&["keys", "release", "-", "--yes", "--json", "--database-url", &url]);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), table.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let receipt = json(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(
        (&receipt["kind"], receipt["outcomes"].as_array().map(Vec::len)),
        (&"release".into(), Some(2))
    );
    let (_, out, _) = keys(&["list", "status:freed", "--json"]);
    assert_eq!(json(&out).as_array().map(Vec::len), Some(3), "{out}");
}

#[tokio::test]
async fn a_key_that_reads_like_another_and_its_columns_names_only_itself() {
    let (store, url) = fresh().await;
    store.time.set(redrive::clock::now() - chrono::TimeDelta::hours(2));
    let hold = redrive::engine::key::Hold::new("worker-z", seconds(30), seconds(900_000));
    for name in ["victim", "victim  started", "victim  ", " victim", "KEY  x"] {
        let key = redrive::engine::key::KeyIntent::new("pay", name, "ab".repeat(32)).unwrap();
        store.opened.store.begin(&key, &hold).await.unwrap();
    }
    let release = |lines: &str| {
        let mut command = redrive(&["keys", "release", "-", "--yes", "--json", "--database-url", &url]);
        let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), lines.as_bytes()).unwrap();
        let out = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        let receipt = if out.is_empty() { json("{\"outcomes\": []}") } else { json(&out) };
        let ids = receipt["outcomes"].as_array().unwrap().iter();
        ids.map(|outcome| outcome["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(release("pay/victim  started\n"), ["pay/victim  started"], "a line is a key");
    let (_, table, _) = run(&["keys", "list", "status:stuck", "--database-url", &url]);
    let of = |key: &str| {
        table.lines().filter(|l| l.starts_with("KEY ") || l.contains(key)).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(release(&of("KEY  x")), ["pay/KEY  x"]);
    assert_eq!(release(&of("pay/ victim")), ["pay/ victim"]);
    assert_eq!(release(&of("<U+0020>")), [""; 0], "not the victim");
    let freed = store.column("SELECT key FROM idempotency_keys WHERE phase = 'freed' ORDER BY key").await;
    assert_eq!(freed, ["pay/ victim", "pay/KEY  x", "pay/victim  started"]);
}

fn seconds(seconds: u64) -> std::time::Duration {
    std::time::Duration::from_secs(seconds)
}

#[tokio::test]
async fn faults_are_injected_only_where_the_databases_name_says_that_it_is_for_trying() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("sqlite:{}", folder.path().join("payments.db").display());
    assert_eq!(run(&["migrate", "--database-url", &url]).0, 0);
    let worker =
        |fault: &str| run(&["worker", "--listen", "127.0.0.1:0", "--database-url", &url, "--fault", fault]);
    let (code, _, err) = worker("claim.before=crash");
    assert_eq!(code, 1);
    assert!(err.contains("the database's name has to hold the word test or demo"), "{err}");
    let (code, _, err) = worker("claim.before=explode");
    assert_eq!(code, 2);
    assert!(
        err.contains("no such fault \"explode\": fail, delay:TIME, timeout, repeat, crash, stop or panic"),
        "{err}"
    );
    for (fault, said) in [
        ("FOO.after=crash", "no state \"FOO\": use RECEIVED, VALIDATING,"),
        ("record:FOO.after=crash", "no state \"FOO\": use RECEIVED, VALIDATING,"),
        ("claim.before=delay:-2s", "delay: is followed by \"-2s\", which is no time such as 500ms or 2s"),
    ] {
        let (code, _, err) = worker(fault);
        assert_eq!(code, 2, "{fault}: {err}");
        assert!(err.contains(said), "{fault}: {err}");
    }
    for fault in ["record.after=crash", "ROLLING_BACK.before=stop"] {
        let (code, _, err) = run(&["demo", "--fault", fault]);
        assert_eq!(code, 2, "{err}");
        assert!(err.contains("would take the dashboard with it: give it to a worker of its own"), "{err}");
    }
}

#[test]
fn who_acts_and_why_can_be_read_in_the_audit() {
    let long = "x".repeat(1_001);
    for (args, said) in [
        (&["status", "--operator", ""][..], "not blanks"),
        (&["status", "--operator", " "], "not blanks"),
        (&["status", "--operator", &long], "at most 200 characters"),
        (&["status", "--operator", "a\u{7}b"], "without control characters"),
        (&["worker", "--name", ""], "not blanks"),
        (&["letters", "discard", "x", "--reason", &long], "it has 1001 characters: at most 1,000"),
    ] {
        let (code, _, err) = run(args);
        assert_eq!(code, 2, "{args:?}: {err}");
        assert!(err.contains(said), "{args:?}: {err}");
    }
    let blank = redrive(&["status"]).env("REDRIVE_OPERATOR", " ").output().expect("it runs");
    assert_eq!(blank.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&blank.stderr).contains("not blanks"), "{blank:?}");
}

#[test]
fn what_cannot_be_meant_is_wrong_usage_and_says_what_can() {
    for (args, said) in [
        (&["demo", "--database-url", "sqlite:x.db"][..], "the demo brings a database of its own"),
        (&["--database-url", "sqlite:x.db", "demo"], "the demo brings a database of its own"),
        (&["status", "--context", "staging"], "none was given: name it with --config PATH"),
        (&["status", "--window", "3s"], "3s: at least 4s is expected"),
        (&["status", "--window", "soon"], "\"soon\" is not a duration such as 30s or 1h"),
    ] {
        let (code, _, err) = run(args);
        assert_eq!(code, 2, "{args:?}: {err}");
        assert!(err.contains(said), "{args:?}: {err}");
    }
    let (code, _, err) = run(&["status", "--database-url", "/srv/x.db"]);
    assert_eq!(code, 1);
    assert!(err.contains("for the file, write sqlite:/srv/x.db"), "{err}");
}

#[tokio::test]
async fn a_target_without_a_scheme_is_asked_by_http() {
    let (_store, url) = fresh().await;
    let args = ["status", "--window", "4s", "--metrics", "127.0.0.1:1/metrics", "--database-url", &url];
    let (code, out, err) = run(&args);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("target 127.0.0.1:1:"), "{out}");
}
