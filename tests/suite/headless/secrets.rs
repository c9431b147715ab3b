//! Secrets that others left in error texts, reasons and addresses: no way out of the database lets one through.

use redrive::{
    config,
    domain::{circuit::Forced, id::ReplayId, text::SafeText},
    engine::{
        command::{Command, Pace, Target},
        reader::{Detail, List, Query},
        store::Heartbeat,
    },
};

use crate::{
    http::shed::Intake,
    support::{
        program::run,
        stores::{TestStore, anything, report, request},
    },
};

/// What must not appear, and the texts that hold it.
const SECRETS: [(&str, &str); 10] = [
    ("hunter2-url", "GET https://bob:hunter2-url@api.example/x failed"),
    ("bearer0token0alone", "sent Bearer bearer0token0alone twice"),
    ("eyJhbGciOiJIUzI1NiJ9", "jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTYifQ.c2lnbmF0dXJl"),
    ("4111 1111 1111 1111", "card 4111 1111 1111 1111 was declined"),
    ("carla@mail.example", "mail to carla@mail.example bounced"),
    ("correct-horse", "password=correct-horse was refused"),
    ("AKIAIOSFODNN7EXAMPLE", "aws AKIAIOSFODNN7EXAMPLE expired"),
    ("wJalrXUtnFEMI", "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG"),
    ("ghp_0123456789abcdefABCDEF", "token ghp_0123456789abcdefABCDEF"),
    // A header goes on to the end of its line.
    ("bearer0token1bearer2", "Authorization: Bearer bearer0token1bearer2"),
];

/// Sentences of our own, which stay as they are.
const OURS: &str = "exhausted: 3 of 3 attempts";

fn no_secret(of: &str, text: &str) {
    for (secret, _) in SECRETS {
        assert!(!text.contains(secret), "{of} tells {secret}: {text}");
    }
}

/// A store with everything that can be listed, and in each text of it every secret.
async fn planted() -> (TestStore, String, String, ReplayId) {
    let store = TestStore::sqlite().await;
    store.failed("first").await;
    let (onboarding, letter) = store.failed("second").await;
    let letters = vec![Target { id: letter.as_str().into(), seen: None }];
    let replay = store.submit(Command::Replay { letters, pace: Pace::default() }).await.expect("it replays");
    let replay = replay.replay.expect("a replay");
    let beat = Heartbeat {
        worker: "one".into(),
        running: 1,
        runs: anything().newest(),
        metrics_url: None,
        circuits: vec![report("github.tree")],
    };
    store.time.free();
    store.opened.store.beat(&beat).await.expect("a heartbeat");
    let operation = || Target { id: "github.tree".into(), seen: None };
    store
        .submit(Command::Force { circuit: operation(), to: Some(Forced::Open), seconds: None })
        .await
        .expect("it is forced");
    store.submit(Command::Pause { operation: operation(), seconds: None }).await.expect("it is paused");
    store.trigger("third").await;
    let all: Vec<&str> = SECRETS.iter().map(|(_, text)| *text).collect();
    let all = all.join("; ");
    let history = serde_json::json!([{
        "seq": 1, "state": "DISCOVERING", "attempt": 1, "worker": "w", "started_at": "2026-03-01T12:00:00Z",
        "ended_at": null, "outcome": null, "operation": null, "class": null, "error": all, "reason": all,
        "delay_seconds": null,
    }]);
    store
        .sql(&format!(
            "UPDATE onboarding_history SET error = '{all}'; \
             UPDATE redrive_attempts SET error = '{all}', reason = '{all}'; \
             UPDATE redrive_dead_letters SET error = '{all}', history = '{history}'; \
             UPDATE redrive_letter_groups SET error = '{all}'; \
             UPDATE redrive_replays SET stopped_at = created_at, ended_at = created_at, stopped_why = '{all}'; \
             UPDATE redrive_replay_items SET reason = '{all}'; \
             UPDATE redrive_operator_actions SET reason = '{all}', how = '{all}'; \
             UPDATE redrive_workers SET metrics_url = 'http://bob:hunter2-url@h/?token=correct-horse'; \
             INSERT INTO redrive_compensations (onboarding_id, seq, state, operation, name, args, status, error, created_at) \
             SELECT '{onboarding}', 9, 'REGISTERING', 'github.delete_hook', 'hook', '{{\"x\":\"{all}\"}}', 'failed', '{all}', created_at \
             FROM redrive_replays; \
             INSERT INTO idempotency_keys (key, request_hash, status, created_at, response_code, response_body, onboarding_id) \
             SELECT 'pay/k', 'x', 'FAILED', created_at, 422, '{{\"detail\":\"{all}\"}}', '{onboarding}' FROM redrive_replays"
        ))
        .await;
    (store, onboarding.as_str().to_owned(), letter, replay)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_command_no_answer_and_no_picture_tells_a_secret_that_stands_in_the_database() {
    let (store, onboarding, letter, replay) = planted().await;
    for command in [
        &["status"][..],
        &["onboardings", "list"],
        &["onboardings", "show", &onboarding],
        &["letters", "list"],
        &["letters", "show", &letter],
        &["replays", "list"],
        &["replays", "show", replay.as_str()],
        &["keys", "list"],
        &["keys", "show", "pay/k"],
        &["circuits", "list"],
        &["circuits", "show", "github.tree"],
        &["audit", "list"],
        &["check"],
    ] {
        for json in [&[][..], &["--json"]] {
            let (code, out, err) = run(&[command, json, &["--database-url", &store.url]].concat());
            assert_eq!(code, 0, "{command:?}: {err}");
            assert!(!out.is_empty());
            no_secret(&format!("{command:?} {json:?}"), &(out + &err));
        }
    }
    let lists = [List::None, List::Onboardings, List::Keys, List::Letters { group: None }, List::Audit];
    let pages = [
        None,
        Some(Detail::Onboarding(onboarding.as_str().into())),
        Some(Detail::Letter(letter.as_str().into())),
        Some(Detail::Key("pay/k".into())),
    ];
    for list in lists {
        for detail in &pages {
            let board =
                store.board(Query { list: list.clone(), detail: detail.clone(), ..Query::default() }).await;
            let picture = serde_json::to_string(&board).unwrap();
            assert!(picture.contains("‹secret›"), "the secrets were there");
            no_secret(&format!("{list:?} {detail:?}"), &picture);
        }
    }
    let opened = store.opened.clone();
    let intake = Intake::over(store, opened, config::Intake::default(), None).await;
    for path in [&format!("/onboardings/{onboarding}"), "/metrics", "/readyz"] {
        let answer = intake.get(path).await;
        no_secret(path, answer.text());
    }
    assert!(intake.get(&format!("/onboardings/{onboarding}")).await.text().contains("‹secret›"));
}

#[tokio::test]
async fn what_redrive_says_itself_and_the_names_of_people_stay_as_they_are() {
    let store = TestStore::sqlite().await;
    let (_, letter) = store.failed("payments").await;
    store.sql("UPDATE redrive_operator_actions SET operator = 'ana@mail.example'").await;
    let query =
        Query { list: List::Audit, detail: Some(Detail::Letter(letter.as_str().into())), ..Query::default() };
    let board = serde_json::to_value(store.board(query).await).unwrap().to_string();
    for said in [
        OURS,
        "503 from api.github",
        &SafeText::new(&request("payments").repo_url).to_string(),
        "ana@mail.example",
    ] {
        assert!(board.contains(said), "{said}: {board}");
    }
}

#[test]
fn the_log_file_is_told_of_a_readable_secret_and_not_the_secret() {
    let folder = tempfile::tempdir().unwrap();
    let (log, config) = (folder.path().join("redrive.log"), folder.path().join("redrive.toml"));
    std::fs::write(&config, "database_url = \"postgres://ana:hunter2-url@127.0.0.1:1/x\"\n").unwrap();
    let (log, config) = (log.to_str().unwrap(), config.to_str().unwrap());
    run(&["status", "--log", log, "--config", config]);
    let logged = std::fs::read_to_string(log).unwrap();
    assert!(logged.contains("chmod 600"), "{logged}");
    no_secret("the log", &logged);
}
