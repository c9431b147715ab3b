//! Grouping again: letters whose fingerprint an older rule made come into the groups of today's, page by page.

use redrive::{
    domain::fault::Fault,
    engine::{
        command::{Command, Pace, Target},
        reader::Query,
        store::StepOutcome,
    },
};

use crate::support::stores::{TestStore, done};

laws!(
    letters_of_an_older_rule_are_grouped_again_page_by_page,
    of_many_who_ask_each_letter_is_grouped_again_once,
    what_is_replayed_meanwhile_is_not_lost,
    letters_of_todays_rule_are_left_alone,
);

const LETTERS: usize = 450;

/// As an older rule left them: every letter of a group of its own; of three kinds, every fifth one set aside.
async fn older(store: &TestStore) {
    let columns = "id, onboarding_id, tenant_id, repo_url, state, operation, error, error_class, error_fingerprint, \
        fingerprint_version, reason, status, request, history, created_at";
    let time = match store.is_sqlite() {
        true => "'2026-03-01T10:00:00.000000+00:00'",
        false => "timestamptz '2026-03-01 10:00:00+00'",
    };
    store
        .sql(&format!(
            "INSERT INTO redrive_dead_letters ({columns}) WITH RECURSIVE rows (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM rows \
             WHERE n < {LETTERS}) SELECT 'l' || n, 'o' || n, 'acme', 'r', 'RECEIVED', 'shop.order', \
             'status 50' || (n % 3) || ' after ' || (400 + n) || ' ms', 'transient', 'old' || n, n % 2, 'exhausted', \
             CASE WHEN n % 5 = 0 THEN 'discarded' ELSE 'open' END, '{{}}', '[]', {time} FROM rows; \
             INSERT INTO redrive_letter_groups (error_fingerprint, error, operation, open, total, first_seen, last_seen) \
             SELECT error_fingerprint, error, operation, CASE WHEN status = 'open' THEN 1 ELSE 0 END, 1, created_at, created_at \
             FROM redrive_dead_letters"
        ))
        .await;
}

/// What the groups say is what counting their letters says.
async fn counters_are_right(store: &TestStore) {
    let row = |open: &str, replaying: &str, total: &str| {
        format!("g.error_fingerprint || ' ' || {open} || ' ' || {replaying} || ' ' || {total}")
    };
    let count = |of: &str| {
        format!(
            "(SELECT count(*) FROM redrive_dead_letters l WHERE l.error_fingerprint = g.error_fingerprint {of})"
        )
    };
    let counted = row(&count("AND l.status = 'open'"), &count("AND l.status = 'replaying'"), &count(""));
    let of = |row: String| format!("SELECT {row} FROM redrive_letter_groups g ORDER BY 1");
    assert_eq!(
        store.column(&of(row("g.open", "g.replaying", "g.total"))).await,
        store.column(&of(counted)).await
    );
}

async fn regroup(store: &TestStore) -> u64 {
    store.opened.store.regroup().await.expect("it groups again")
}

const LEFT: &str = "SELECT count(*) FROM redrive_dead_letters WHERE fingerprint_version < 2";

async fn letters_of_an_older_rule_are_grouped_again_page_by_page(store: TestStore) {
    older(&store).await;
    assert_eq!(store.board(Query::default()).await.counts.letter_groups.0, 360);
    assert_eq!(regroup(&store).await, 200);
    assert_eq!(store.cell(LEFT).await, "250");
    counters_are_right(&store).await;
    // Another process goes on where the first one was interrupted.
    let other = store.again().await;
    assert_eq!(other.store.regroup().await, Ok(200));
    counters_are_right(&store).await;
    assert_eq!((regroup(&store).await, regroup(&store).await), (50, 0));
    counters_are_right(&store).await;
    let board = store.board(Query::default()).await;
    let groups: Vec<_> = board.letter_groups.iter().map(|group| (group.open, group.new)).collect();
    assert_eq!(groups, [(120, false); 3], "one for each status, and none that was there long ago is new");
    assert_eq!(board.counts.letter_groups.0, 3);
    assert_eq!(
        store.cell("SELECT count(*) FROM redrive_letter_groups").await,
        "3",
        "groups without letters go"
    );
    let fault = Fault::transient("status 501 after 3 s").of("shop.order");
    let of_today = format!(
        "SELECT total FROM redrive_letter_groups WHERE error_fingerprint = '{}'",
        fault.fingerprint()
    );
    assert_eq!(store.cell(&of_today).await, "150");
}

async fn of_many_who_ask_each_letter_is_grouped_again_once(store: TestStore) {
    older(&store).await;
    let (one, two) = (store.again().await, store.again().await);
    let mut grouped = 0;
    while store.cell(LEFT).await != "0" {
        let (a, b) = tokio::join!(one.store.regroup(), two.store.regroup());
        grouped += a.expect("it groups again") + b.expect("it groups again");
    }
    assert_eq!(grouped, LETTERS as u64);
    counters_are_right(&store).await;
}

async fn what_is_replayed_meanwhile_is_not_lost(store: TestStore) {
    older(&store).await;
    let (_, letter) = store.failed("ledger").await;
    let back = format!(
        "UPDATE redrive_dead_letters SET fingerprint_version = 1, error_fingerprint = 'before' WHERE id = '{letter}'; \
         UPDATE redrive_letter_groups SET error_fingerprint = 'before' WHERE error LIKE '503 from%'"
    );
    store.sql(&back).await;
    let letters = vec![Target { id: letter.as_str().into(), seen: None }];
    let replay = Command::Replay { letters, pace: Pace { per_second: 5.0, refail_limit: 0.2 } };
    assert_eq!(store.submit(replay).await.expect("it replays").applied(), 1);
    assert_eq!(store.opened.store.pace_replays().await, Ok(1));
    while regroup(&store).await > 0 {
        counters_are_right(&store).await;
    }
    let status = format!(
        "SELECT status || ' ' || fingerprint_version FROM redrive_dead_letters WHERE id = '{letter}'"
    );
    assert_eq!(store.cell(&status).await, "replaying 2");
    let claimed = store.claim_one().await;
    store.record(&claimed, StepOutcome::Completed { done: done() }).await.expect("it completes");
    assert_eq!(store.cell(&status).await, "closed 2");
    // Nobody decided anything about the others: an operator who saw one before may act on it.
    let letters = vec![Target { id: "l1".into(), seen: Some(0) }];
    assert_eq!(store.submit(Command::Discard { letters }).await.expect("it discards").applied(), 1);
    counters_are_right(&store).await;
}

async fn letters_of_todays_rule_are_left_alone(store: TestStore) {
    store.failed("ledger").await;
    let before = store.everything().await;
    assert_eq!(regroup(&store).await, 0);
    assert_eq!(store.everything().await, before);
}
