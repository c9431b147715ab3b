//! Reading: whatever others wrote, filtered, paged, and never more than one instant.

use std::time::Duration;

use redrive::{
    domain::{fault::Fault, id::WorkerId, key::KeyStatus, onboarding::Status},
    engine::{
        filter::Filter,
        order::Order,
        reader::{Board, Cursor, Detail, List, Page, Query, Rows},
        store::{CircuitReport, Heartbeat},
    },
};

use crate::support::stores::{TestStore, anything, noon, report};

laws!(
    an_empty_database_makes_an_empty_board,
    rows_of_others_show_whatever_they_hold,
    lists_are_paged_newest_first_without_a_gap,
    filters_leave_in_what_they_say,
    a_filter_is_text_and_never_sql,
    groups_and_counts_follow_the_letters,
    circuits_show_the_worst_of_the_living,
    a_key_says_why_it_will_not_be_retried,
    keys_in_trouble_come_first_on_every_page,
    a_bad_item_is_named_while_the_rest_flow,
    every_order_is_sorted_and_paged_without_a_gap,
    ages_and_numbers_are_compared,
    a_missing_page_is_said_to_be_missing,
);

fn onboardings(board: &Board) -> Vec<&str> {
    match &board.rows {
        Rows::Onboardings(rows) => rows.iter().map(|row| row.id.as_str()).collect(),
        other => panic!("onboardings were asked for, not {other:?}"),
    }
}

async fn filtered(store: &TestStore, list: List, filter: &str) -> Board {
    let filter = Filter::parse(filter).expect("a filter");
    store.board(Query { list, filter, ..Query::default() }).await
}

async fn an_empty_database_makes_an_empty_board(store: TestStore) {
    for list in [List::None, List::Onboardings, List::Keys, List::Letters { group: None }, List::Audit] {
        let board = store.board(Query { list, ..Query::default() }).await;
        assert_eq!((board.at, board.matching.0, board.counts.onboardings.0), (noon(), 0, 0));
    }
    let gauges = store.opened.store.gauges().await.expect("gauges");
    assert!(gauges.onboardings.iter().all(|(_, count)| *count == 0));
}

async fn rows_of_others_show_whatever_they_hold(store: TestStore) {
    store
        .sql(
            "INSERT INTO onboarding_history (id, tenant_id, repo_url, workspace_id, fingerprint, status, current_state, entities_created, created_at) \
             VALUES ('a' || chr(27) || '[2J', 'acme', 'r', NULL, 'f1', 'paused_by_cron', 'DREAMING', '{\"not\": \"an array\"}', '2026-02-01 10:00:00+00'); \
             INSERT INTO onboarding_history (id, tenant_id, repo_url, fingerprint, status, failed_at, created_at) \
             VALUES ('b', 'acme', 'r2', 'f2', 'failed', '2026-02-01 11:00:00+00', '2026-02-01 09:00:00+00'); \
             INSERT INTO onboarding_state (onboarding_id, current_state, context, last_checkpoint, updated_at) \
             VALUES ('b', 'REGISTERING', '[1, 2]', '2026-02-01 10:30:00+00', '2026-02-01 10:30:00+00'); \
             INSERT INTO idempotency_keys (key, request_hash, status, created_at) VALUES ('k1', 'h', 'EXPLODED', '2026-02-01 09:00:00+00'); \
             INSERT INTO idempotency_keys (key, request_hash, status, created_at, locked_at, locked_by) \
             VALUES ('k2', 'h', 'STARTED', '2026-02-01 08:00:00+00', '2026-02-01 08:00:00+00', 'cron');"
                .replace("chr(27)", if store.is_sqlite() { "char(27)" } else { "chr(27)" })
                .as_str(),
        )
        .await;
    let board = store.board(Query { list: List::Onboardings, ..Query::default() }).await;
    let Rows::Onboardings(rows) = &board.rows else { panic!("onboardings were asked for") };
    assert_eq!(rows.len(), 2);
    assert_eq!(
        (rows[0].status, rows[0].phase),
        (Status::InProgress, None),
        "a word nobody knows is left alone"
    );
    assert_eq!(rows[0].current_state.as_ref().map(|s| s.as_str()), Some("DREAMING"));
    assert_eq!(
        rows[1].current_state.as_ref().map(|s| s.as_str()),
        Some("REGISTERING"),
        "the state's word wins"
    );
    assert_eq!((board.counts.in_progress.0, board.counts.failed.0), (1, 1));
    assert_eq!(board.counts.keys_stuck.0, 1);
    let keys = store.board(Query { list: List::Keys, ..Query::default() }).await;
    assert!(matches!(&keys.rows, Rows::Keys(rows) if rows.len() == 2 && rows.iter().all(|k| k.stuck)));
    for id in ["a\u{1b}[2J", "b"] {
        assert_eq!(store.page(&id.into()).await.row.id.as_str(), id);
    }
}

async fn a_bad_item_is_named_while_the_rest_flow(store: TestStore) {
    let told = async || store.board(Query::default()).await.poison.map(|poison| poison.to_string());
    let bad = store.trigger("bad").await;
    let (store, bad) = (&store, &bad);
    let tried = async |times: u32, phase: &str| {
        let update = "UPDATE onboarding_history SET current_state = 'VALIDATING'";
        store.sql(&format!("{update}, attempt = {times}, phase = '{phase}' WHERE id = '{bad}'")).await;
    };
    tried(3, "waiting").await;
    assert_eq!(told().await, None, "nothing else is done: it may be the world that is bad");
    for n in 0..10 {
        let id = store.trigger(&format!("good-{n}")).await;
        store
            .sql(&format!(
                "UPDATE onboarding_history SET phase = 'completed', status = 'completed' WHERE id = '{id}'"
            ))
            .await;
    }
    let one = "onboarding https://github.com/acme/bad failed 3 times at VALIDATING";
    assert_eq!(told().await, Some(format!("{one} while 10 others completed: a bad item, no storm")));
    tried(1, "waiting").await;
    assert_eq!(told().await, None, "one failure is nothing special");
    tried(3, "failed").await;
    assert_eq!(told().await, None, "nobody tries it any more");
    tried(4, "running").await;
    store.sql(&key_tried("tap", "STARTED", "started", 7)).await;
    assert_eq!(
        told().await,
        Some(format!(
            "key tap failed 6 times at payments.charge, {one} while 10 others completed: bad items, no storm"
        ))
    );
    for n in 0..3 {
        store.sql(&key_tried(&format!("other-{n}"), "FAILED", "freed", 2)).await;
    }
    assert_eq!(told().await, None, "so many are no longer single items");
    store.time.advance(Duration::from_secs(3_601));
    assert_eq!(told().await, None, "nor is an old story news");
}

fn key_tried(key: &str, status: &str, phase: &str, times: u32) -> String {
    format!(
        "INSERT INTO idempotency_keys (key, request_hash, status, phase, operation, created_at, attempts, revision) \
         VALUES ('{key}', 'h', '{status}', '{phase}', 'payments.charge', '2026-03-01 12:00:00+00', {times}, 1)"
    )
}

async fn lists_are_paged_newest_first_without_a_gap(store: TestStore) {
    for n in 0..7 {
        // Pairs share a moment, so that only the id tells them apart.
        if n % 2 == 0 {
            store.time.advance(Duration::from_secs(1));
        }
        store.trigger(&format!("repo-{n}")).await;
    }
    let whole = store.board(Query { list: List::Onboardings, ..Query::default() }).await;
    let whole: Vec<String> = onboardings(&whole).into_iter().map(str::to_owned).collect();
    assert_eq!(whole.len(), 7);
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let query = Query { list: List::Onboardings, limit: 2, after, ..Query::default() };
        let board = store.board(query).await;
        let Rows::Onboardings(rows) = board.rows else { panic!("onboardings were asked for") };
        let Some(last) = rows.last() else { break };
        after = Some(Cursor { created_at: last.created_at, id: last.id.0.clone() });
        paged.extend(rows.into_iter().map(|row| row.id.0));
        assert_eq!(board.matching.0, 7);
    }
    assert_eq!(paged, whole);
}

async fn filters_leave_in_what_they_say(store: TestStore) {
    let (failed, _) = store.failed("ledger").await;
    let queued = store.trigger("payments").await;
    for (filter, expected) in [
        ("status:failed", vec![&failed]),
        ("status:QUEUED", vec![&queued]),
        ("!status:failed", vec![&queued]),
        ("status:in_progress repo:pay", vec![&queued]),
        ("error:\"503 FROM\"", vec![&failed]),
        ("!error:503", vec![&queued]),
        ("operation:github.tree", vec![&failed]),
        ("state:received", vec![&queued, &failed]),
        ("state:recei", vec![&queued, &failed]),
        ("state:notifying", vec![]),
        ("status:\"Rolled back\"", vec![]),
        ("tenant:acm", vec![&queued, &failed]),
        ("operator:ana ledger", vec![&failed]),
        ("nothing-like-it", vec![]),
    ] {
        let board = filtered(&store, List::Onboardings, filter).await;
        let expected: Vec<&str> = expected.into_iter().map(|id| id.as_str()).collect();
        assert_eq!(onboardings(&board), expected, "{filter}");
        assert_eq!(board.matching.0, i64::try_from(expected.len()).expect("few"), "{filter}");
    }
    for (list, filter, expected) in [
        (List::Letters { group: None }, "status:open tenant:acme", 1),
        (List::Letters { group: None }, "error:503 !operation:tfc", 1),
        (List::Letters { group: None }, "status:closed", 0),
        (List::Letters { group: Some("no such group".to_owned()) }, "status:open", 0),
        (List::Audit, "operator:ana", 2),
        (List::Audit, "action:replay", 0),
        (List::Audit, queued.as_str(), 1),
        (List::Keys, "status:stuck", 0),
    ] {
        let board = filtered(&store, list.clone(), filter).await;
        assert_eq!(board.matching.0, expected, "{list:?} {filter}");
    }
}

async fn a_filter_is_text_and_never_sql(store: TestStore) {
    store.trigger("a%b_c").await;
    store.trigger("aXbYc").await;
    let board = filtered(&store, List::Onboardings, "repo:a%b_c").await;
    assert_eq!(board.matching.0, 1, "wildcards are letters");
    for hostile in ["'; DROP TABLE redrive_work; --", "\\", "a\0b", "%", "\u{202e}"] {
        for list in [List::Onboardings, List::Keys, List::Letters { group: None }, List::Audit] {
            let filter = Filter::parse(&format!("\"{hostile}\" id:\"{hostile}\"")).expect("a filter");
            store.board(Query { list, filter, ..Query::default() }).await;
        }
    }
    assert_eq!(store.cell("SELECT count(*) FROM redrive_work").await, "2");
}

async fn groups_and_counts_follow_the_letters(store: TestStore) {
    for name in ["one", "two"] {
        store.failed(name).await;
    }
    let id = store.trigger("three").await;
    let claimed = store.claim_one().await;
    store.fail(&claimed, Fault::permanent("422 invalid workspace").of("tfc.workspace")).await;
    let board = store.board(Query::default()).await;
    let groups: Vec<_> = board.letter_groups.iter().map(|g| (g.error.as_str(), g.open, g.new)).collect();
    assert_eq!(groups, [("503 from api.github", 2, true), ("422 invalid workspace", 1, true)]);
    assert_eq!((board.counts.letters.0, board.counts.failed.0), (3, 3));
    store.resume(&id, None).await.expect("it resumes");
    let board = store.board(Query::default()).await;
    assert_eq!(board.letter_groups.len(), 1, "a group without letters is gone");
    assert_eq!(board.counts.letters.0, 2);
    assert_eq!(board.counts.letters_arrived.0, 3, "what came in came in, whatever became of it");
    store.time.advance(Duration::from_secs(16 * 60));
    let counts = store.board(Query::default()).await.counts;
    assert_eq!((counts.letters_arrived.0, counts.letters.0), (0, 2), "of the last 15 minutes");
}

async fn circuits_show_the_worst_of_the_living(store: TestStore) {
    use redrive::domain::circuit::CircuitState::{Closed, Open};
    for (worker, state, rate) in [("a", Closed, 0.1), ("b", Open, 0.7), ("c", Open, 0.6)] {
        let circuits = vec![CircuitReport {
            state,
            failure_rate: Some(rate),
            probe_in: Some(Duration::from_secs(12)),
            ..report("github.create_hook")
        }];
        let beat = Heartbeat {
            worker: worker.into(),
            metrics_url: Some("http://127.0.0.1:1/m".into()),
            running: 1,
            runs: anything().newest(),
            circuits,
        };
        store.opened.store.beat(&beat).await.expect("it beats");
    }
    let board = store.board(Query::default()).await;
    assert_eq!(board.workers.len(), 3);
    let circuit = &board.circuits[0];
    assert_eq!((circuit.state, circuit.instances, circuit.failure_rate), (Open, (2, 3), Some(0.7)));
    assert_eq!(circuit.probe_at, Some(noon() + Duration::from_secs(12)));
    store.opened.store.leave(&WorkerId::from("b")).await.expect("goodbye");
    store.time.advance(Duration::from_secs(60));
    let board = store.board(Query::default()).await;
    assert_eq!((board.workers.len(), board.circuits.len()), (2, 0), "the silent do not count");
    assert!(board.workers.iter().all(|w| !w.alive));
}

async fn a_key_says_why_it_will_not_be_retried(store: TestStore) {
    store
        .sql(
            "INSERT INTO idempotency_keys (key, request_hash, status, created_at, locked_at, locked_by) \
             VALUES ('held', 'h', 'STARTED', '2026-03-01 10:00:00+00', '2026-03-01 10:00:00+00', 'legacy-crm'); \
             INSERT INTO idempotency_keys (key, request_hash, status, response_code, response_body, created_at) \
             VALUES ('done', 'h', 'COMPLETED', 201, '{\"id\": 7}', '2026-03-01 10:00:00+00');",
        )
        .await;
    let why = async |key: &str| match store
        .board(Query { detail: Some(Detail::Key(key.into())), ..Query::default() })
        .await
        .page
    {
        Some(Page::Key(page)) => (page.why.to_string(), page.response.map(|r| r.to_string())),
        other => panic!("{key} has a page, not {other:?}"),
    };
    let (held, _) = why("held").await;
    assert!(held.contains("legacy-crm holds it without a lease since 2 h ago"), "{held}");
    let (done, response) = why("done").await;
    assert!(done.contains("the stored response 201 is replayed"), "{done}");
    assert_eq!(response.as_deref(), Some("{\"id\":7}"));
}

async fn keys_in_trouble_come_first_on_every_page(store: TestStore) {
    for (key, status, hour) in [
        ("a", "STARTED", 1),
        ("b", "COMPLETED", 5),
        ("c", "STARTED", 2),
        ("d", "COMPLETED", 3),
        ("e", "FAILED", 4),
    ] {
        store
            .sql(&format!(
                "INSERT INTO idempotency_keys (key, request_hash, status, created_at) \
                 VALUES ('{key}', 'h', '{status}', '2026-03-01 0{hour}:00:00+00')"
            ))
            .await;
    }
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let query = Query { list: List::Keys, limit: 2, after, ..Query::default() };
        let Rows::Keys(rows) = store.board(query).await.rows else { panic!("keys were asked for") };
        let Some(last) = rows.last() else { break };
        after = Some(Cursor { created_at: last.created_at, id: last.key.0.clone() });
        paged.extend(rows.into_iter().map(|row| row.key.0));
    }
    assert_eq!(paged, ["c", "a", "b", "e", "d"]);
}

async fn a_missing_page_is_said_to_be_missing(store: TestStore) {
    for detail in [Detail::Onboarding("x".into()), Detail::Key("x".into()), Detail::Letter("x\0".into())] {
        let board = store.board(Query { detail: Some(detail), ..Query::default() }).await;
        assert_eq!(board.page, Some(Page::Missing));
    }
}

fn ids(rows: &Rows) -> Vec<(String, chrono::DateTime<chrono::Utc>)> {
    match rows {
        Rows::None => Vec::new(),
        Rows::Onboardings(rows) => rows.iter().map(|r| (r.id.0.clone(), r.created_at)).collect(),
        Rows::Keys(rows) => rows.iter().map(|r| (r.key.0.clone(), r.created_at)).collect(),
        Rows::Letters(rows) => rows.iter().map(|r| (r.id.0.clone(), r.created_at)).collect(),
        Rows::Audit(rows) => rows.iter().map(|r| (r.id.0.clone(), r.at)).collect(),
    }
}

/// Rows with equal and different tenants, states, attempts, locks and moments.
async fn mixed(store: &TestStore) {
    for name in ["a", "b"] {
        store.failed(name).await;
        store.time.advance(Duration::from_secs(7));
    }
    for n in 0..7 {
        let (tenant, hour, attempts, state) = (n % 3, n / 2, n % 4, ["RECEIVED", "NOTIFYING"][n % 2]);
        store
            .sql(&format!(
                "INSERT INTO onboarding_history (id, tenant_id, repo_url, fingerprint, status, current_state, attempt, created_at, failed_at) \
                 VALUES ('o{n}', 't{tenant}', 'r{n}', 'f{n}', 'failed', '{state}', {attempts}, '2026-02-01 1{hour}:00:00+00', '2026-02-0{day} 10:00:00+00'); \
                 INSERT INTO idempotency_keys (key, request_hash, status, created_at, locked_at, attempts, conflicts) \
                 VALUES ('k{n}', 'h', '{status}', '2026-02-01 1{hour}:00:00+00', '2026-02-0{day} 11:00:00+00', {attempts}, {tenant})",
                day = 9 - n,
                status = ["STARTED", "COMPLETED", "STARTED", "FAILED"][n % 4],
            ))
            .await;
    }
}

async fn every_order_is_sorted_and_paged_without_a_gap(store: TestStore) {
    mixed(&store).await;
    for list in [List::Onboardings, List::Keys, List::Letters { group: None }, List::Audit] {
        for order in list.orders() {
            let query = Query { list: list.clone(), order: Some(*order), ..Query::default() };
            let whole = ids(&store.board(query.clone()).await.rows);
            assert!(!whole.is_empty(), "{list:?} by {order}");
            let (mut paged, mut after) = (Vec::new(), None);
            loop {
                let rows = ids(&store.board(Query { limit: 2, after, ..query.clone() }).await.rows);
                let Some((id, created_at)) = rows.last().cloned() else { break };
                after = Some(Cursor { created_at, id });
                paged.extend(rows);
                assert!(paged.len() <= whole.len(), "{list:?} by {order}: {paged:?}");
            }
            assert_eq!(paged, whole, "{list:?} by {order}");
        }
    }
    let onboardings = |order| {
        let query = Query { list: List::Onboardings, order: Some(order), ..Query::default() };
        let board = store.board(query);
        async {
            match board.await.rows {
                Rows::Onboardings(rows) => rows,
                other => panic!("onboardings were asked for, not {other:?}"),
            }
        }
    };
    assert!(onboardings(Order::Oldest).await.is_sorted_by_key(|row| row.created_at));
    assert!(onboardings(Order::Updated).await.is_sorted_by(|a, b| a.updated_at >= b.updated_at));
    assert!(onboardings(Order::Tenant).await.is_sorted_by_key(|row| row.tenant_id.as_str().to_owned()));
    assert!(onboardings(Order::Attempts).await.is_sorted_by(|a, b| a.attempt >= b.attempt));
    assert!(onboardings(Order::State).await.is_sorted_by_key(|row| row.current_state.clone().map(|s| s.0)));
    let query = Query { list: List::Keys, order: Some(Order::LockAge), ..Query::default() };
    let Rows::Keys(keys) = store.board(query).await.rows else { panic!("keys were asked for") };
    let held: Vec<_> = keys.iter().take_while(|key| key.status == KeyStatus::Started).collect();
    assert!(held.len() >= 4 && held.is_sorted_by_key(|key| key.locked_at), "{held:?}");
    assert!(keys.iter().skip(held.len()).all(|key| key.status != KeyStatus::Started));
    // An order of another list is not an error: the list comes as it usually does.
    let query = Query { list: List::Audit, order: Some(Order::Conflicts), ..Query::default() };
    assert!(!ids(&store.board(query).await.rows).is_empty());
}

async fn ages_and_numbers_are_compared(store: TestStore) {
    mixed(&store).await;
    let count = async |list: List, filter: &str| ids(&filtered(&store, list, filter).await.rows).len();
    let onboardings = List::Onboardings;
    assert_eq!(count(onboardings.clone(), "age:>1day").await, 7);
    assert_eq!(count(onboardings.clone(), "!age:>1day").await, 2);
    assert_eq!(
        count(onboardings.clone(), "age:<=10s").await,
        1,
        "the second is seven seconds old, the first more"
    );
    assert_eq!(count(onboardings.clone(), "age:>1day attempts:>2").await, 1);
    assert_eq!(count(onboardings, "age:>1day attempts:0").await, 2);
    let keys = count(List::Keys, "conflicts:>=1 attempts:<2").await;
    assert_eq!(keys, 3, "k1, k4 and k5");
    let letters = List::Letters { group: None };
    assert_eq!(count(letters.clone(), "replays:=0 age:<1h").await, 2);
    assert_eq!(count(letters, "replays:>0").await, 0);
    assert_eq!(count(List::Audit, "age:>1h").await, 0);
    assert_eq!(count(List::Audit, "attempts:0").await, 0, "what has none matches none");
}
