//! Cleaning up: what failed and nobody came back to is rolled back by itself.

use std::time::Duration;

use redrive::{
    domain::onboarding::Phase,
    engine::{reader::Query, store::Direction},
};

use crate::support::stores::TestStore;

laws!(
    what_failed_a_day_ago_is_rolled_back_by_itself_and_not_before,
    of_many_who_ask_one_begins_and_the_audit_says_so_once,
    what_somebody_came_back_to_is_left_alone,
    what_others_began_is_left_alone,
);

const DAY: Duration = Duration::from_secs(24 * 3_600);

async fn clean_up(store: &TestStore) -> u64 {
    store.opened.store.clean_up().await.expect("it cleans up")
}

async fn what_failed_a_day_ago_is_rolled_back_by_itself_and_not_before(store: TestStore) {
    let (id, letter) = store.failed("ledger").await;
    store.time.advance(DAY - Duration::from_secs(1));
    assert_eq!(clean_up(&store).await, 0);
    store.failed("younger").await;
    store.time.advance(Duration::from_secs(1));
    assert_eq!(clean_up(&store).await, 1);
    assert_eq!(store.page(&id).await.row.phase, Some(Phase::RollingBack));
    let sql = format!("SELECT status || ' ' || outcome FROM redrive_dead_letters WHERE id = '{letter}'");
    assert_eq!(store.cell(&sql).await, "closed rolled_back");
    let claimed = store.claim_one().await;
    assert_eq!((claimed.direction, &claimed.lease.onboarding), (Direction::Back, &id));
}

async fn of_many_who_ask_one_begins_and_the_audit_says_so_once(store: TestStore) {
    for n in 0..25 {
        store.failed(&format!("r{n}")).await;
    }
    store.time.advance(DAY);
    let (one, two) = (store.again().await, store.again().await);
    let mut begun = 0;
    for _ in 0..3 {
        let (a, b) = tokio::join!(one.store.clean_up(), two.store.clean_up());
        begun += a.expect("it cleans up") + b.expect("it cleans up");
    }
    assert_eq!(begun, 25);
    let actions = "SELECT operator || ': ' || reason || ', ' || count(*) FROM redrive_operator_actions WHERE kind = 'roll_back' GROUP BY operator, reason";
    assert_eq!(store.column(actions).await, ["redrive: it failed more than 1day ago, 25"]);
    assert_eq!(store.board(Query::default()).await.counts.letters.0, 0);
}

async fn what_somebody_came_back_to_is_left_alone(store: TestStore) {
    let (resumed, _) = store.failed("resumed").await;
    let (undone, _) = store.failed("undone").await;
    store.trigger("running").await;
    store.resume(&resumed, None).await.expect("it resumes");
    store.roll_back(&undone, None).await.expect("it rolls back");
    store.time.advance(2 * DAY);
    let before = store.everything().await;
    assert_eq!(clean_up(&store).await, 0);
    assert_eq!(store.everything().await, before);
}

async fn what_others_began_is_left_alone(store: TestStore) {
    store
        .sql(
            "INSERT INTO onboarding_history (id, tenant_id, repo_url, fingerprint, status, created_at, failed_at) VALUES \
             ('theirs', 'acme', 'https://github.com/acme/x', 'f', 'failed', '2020-01-01 00:00:00+00:00', '2020-01-01 00:00:00+00:00')",
        )
        .await;
    assert_eq!(clean_up(&store).await, 0);
    assert_eq!(store.cell("SELECT status FROM onboarding_history WHERE id = 'theirs'").await, "failed");
}
