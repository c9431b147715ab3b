//! The whole of it at once, on Postgres: an outage at the stand-ins, two workers, an unprotected caller, a Prometheus
//! server that scrapes them, and two operators who look at the same storm and press the same key at the same moment.

use std::time::Duration;

use serde_json::json;

use crate::{
    support::{
        daemon::Daemon,
        place::{PATIENCE, Place},
        prometheus::Prometheus,
        pty::Terminal,
        stores::TestStore,
        wait::eventually,
    },
    terminal::{LIMIT, confirm, filter, leave, start},
};

/// Everything runs so much faster.
const FACTOR: &str = "0.2";
/// How many onboardings arrive during the outage.
const ARRIVALS: usize = 24;

/// The address of a daemon's `/metrics`, as Prometheus wants it.
fn address(line: &str) -> String {
    let (_, rest) = line.rsplit_once("http://").expect("it says where");
    rest.chars().take_while(|c| !matches!(c, '/' | ' ')).collect()
}

async fn arrive(place: &Place, workers: [&Daemon; 2]) {
    for number in 0..ARRIVALS {
        let request = json!({
            "tenantId": "acme",
            "repoUrl": format!("https://github.com/acme/service-{number}"),
            "workspaceId": format!("ws-{number:08}"),
        });
        let url = format!("{}/onboardings", workers[number % 2].base());
        let answer = place.client.post(url).json(&request).send().await.expect("the worker answers");
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap_or_default());
    }
}

fn operator(name: &str, store: &TestStore, prometheus: &Prometheus) -> Terminal {
    let env = [("REDRIVE_OPERATOR", name), ("REDRIVE_TIME_FACTOR", FACTOR)];
    let terminal = start(&store.url, &["--prometheus", &prometheus.url()], &env);
    terminal.wait_for("● live", LIMIT);
    terminal
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_operators_see_one_storm_replay_one_letter_once_and_clear_the_board() {
    let store = TestStore::postgres().await;
    let outage = ["--scenario", "outage", "--time-factor", "0.6"];
    let place = Place::beside(&store.url, &outage, "'s metrics");
    let workers = ["one", "two"].map(|name| place.worker_with(name, "2s", FACTOR));
    let legacy = address(place.upstreams.lines.last().expect("it said where its metrics are"));
    let [one, two] = workers.each_ref().map(|worker| address(&worker.lines[0]));
    let prometheus = Prometheus::start(&[&legacy, &one, &two]).await;
    let [mut ana, mut ben] = ["ana", "ben"].map(|name| operator(name, &store, &prometheus));

    // The storm, from the server's data alone.
    for operator in [&ana, &ben] {
        operator.wait_until("the storm", PATIENCE, |screen| {
            screen.contains("STORM") && screen.contains("github.create_hook")
        });
    }
    arrive(&place, workers.each_ref()).await;
    ana.wait_until("its cause, told from the workers", PATIENCE, |screen| {
        screen.contains("STORM") && screen.contains(&format!("from redrive/{legacy} "))
    });
    let letter = eventually("a letter", PATIENCE, async || {
        let open = place.twin(&["letters", "list", "status:open"]);
        Some(open.as_array()?.first()?["id"].as_str()?.to_owned())
    })
    .await;

    the_same_letter_is_replayed_once(&store, &letter, &mut ana, &mut ben).await;

    // The outage is over.
    place.trouble(json!({})).await;
    clear(&place, &mut ana).await;
    for operator in [&mut ana, &mut ben] {
        operator.press("4");
        operator.wait_for(" 4 Letters 0 ", LIMIT);
    }
    rows_of_others_are_acted_upon(&store, &place, &mut ben).await;
    leave(ana);
    leave(ben);
}

/// Both have the letter's preview open, and both press `y`.
async fn the_same_letter_is_replayed_once(
    store: &TestStore,
    letter: &str,
    ana: &mut Terminal,
    ben: &mut Terminal,
) {
    for operator in [&mut *ana, &mut *ben] {
        operator.press("4 z");
        filter(operator, &format!("id:{letter}"));
        operator.wait_for("dead letters · 1 ", LIMIT);
        operator.press("R");
        operator.wait_for("y confirms", LIMIT);
    }
    ana.press("y");
    ben.press("y");
    let told =
        |screen: &str| screen.contains("replay of 1 letter begun") || screen.contains("replay refused");
    let screens = [&*ana, &*ben].map(|operator| operator.wait_until("the answer", LIMIT, told));
    let winner = usize::from(!screens[0].contains("replay of 1 letter begun"));
    let (won, lost) = (&screens[winner], &screens[1 - winner]);
    assert!(won.contains("replay of 1 letter begun"), "{won}");
    let who = ["replayed by ana at ", "replayed by ben at "][winner];
    // The sentence may be wrapped.
    let words: String = lost.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
    assert!(words.contains("letter already") && words.contains(who), "{lost}");
    let items =
        store.cell(&format!("SELECT count(*) FROM redrive_replay_items WHERE letter_id = '{letter}'")).await;
    assert_eq!(items, "1");
    let applied = "SELECT operator FROM redrive_operator_actions WHERE kind = 'replay' AND applied > 0";
    assert_eq!(store.column(applied).await, [["ana", "ben"][winner]]);
    for operator in [ana, ben] {
        operator.press("Esc");
        operator.wait_gone("filter id:", LIMIT);
    }
}

/// Replays what is left, until nothing is.
async fn clear(place: &Place, operator: &mut Terminal) {
    for _ in 0..6 {
        operator.press("5");
        operator.wait_until("no circuit is open", PATIENCE, |screen| {
            screen.contains("┌ circuits · ") && !screen.contains("OPEN")
        });
        operator.press("1");
        operator.wait_for("┌ operations by caller", LIMIT);
        if !operator.screen().contains("4 Letters 0 ") {
            confirm(operator, "R");
        }
        let all = async || {
            let done = place.twin(&["onboardings", "list", "status:completed"]).as_array()?.len();
            let open = place.twin(&["letters", "list", "status:open"]).as_array()?.len();
            (done == ARRIVALS && open == 0).then_some(())
        };
        let settled = async {
            let mut again = tokio::time::interval(Duration::from_millis(200));
            while all().await.is_none() {
                again.tick().await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(12), settled).await.is_ok() {
            return;
        }
    }
    panic!("the board is not clear: {}", place.twin(&["onboardings", "list", "!status:completed"]));
}

/// Rows with the listed columns only, as another service or a person at the prompt writes them.
async fn rows_of_others_are_acted_upon(store: &TestStore, place: &Place, operator: &mut Terminal) {
    store
        .sql(
            "INSERT INTO onboarding_history (id, tenant_id, repo_url, fingerprint, status, current_state, created_at) VALUES
             ('theirs-1', 'globex', 'https://github.com/globex/orders', 'f1', 'failed', 'REGISTERING', now()),
             ('theirs-2', 'globex', 'https://github.com/globex/billing', 'f2', 'failed', 'REGISTERING', now());
             INSERT INTO entities (id, kind, metadata, tenant_id) VALUES
             ('e-2', 'Component', '{\"name\": \"billing\"}', 'globex');
             INSERT INTO onboarding_state (onboarding_id, current_state, context, last_checkpoint) VALUES
             ('theirs-2', 'REGISTERING', '{\"entityIds\": [\"e-2\"]}', now())",
        )
        .await;
    operator.press("2");
    for (id, repository, key, told, phase) in [
        ("theirs-1", "globex/orders", "U", "1 onboarding resumed", "completed"),
        ("theirs-2", "globex/billing", "B", "roll-back of theirs-2 begun", "rolled_back"),
    ] {
        filter(operator, &format!("id:{id}"));
        operator.wait_until("the row", LIMIT, |screen| {
            screen.contains(repository) && screen.contains("failed elsewhere")
        });
        operator.press("Enter");
        operator.wait_for(&format!("globex · {repository}"), LIMIT);
        confirm(operator, key);
        operator.wait_for(told, LIMIT);
        place.until(id, phase).await;
        let screen = operator.wait_for(&phase.replace('_', " "), LIMIT);
        // What went back never came to the end.
        assert_eq!(screen.contains("✓ NOTIFYING"), phase == "completed", "{screen}");
        operator.press("Esc");
        operator.wait_for("┌ onboardings · ", LIMIT);
    }
    assert_eq!(store.cell("SELECT count(*) FROM entities WHERE id = 'e-2'").await, "0");
}
