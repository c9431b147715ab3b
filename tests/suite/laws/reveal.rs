//! Payloads: by shape in every page, in the clear only with a reason and an audit row; the audit and the receipt never
//! hold them.

use redrive::{
    engine::{
        command::{Command, LeftOut, Receipt, Refusal, Submission},
        reader::{Detail, List, Page, Query},
        reveal::Content,
        store::StoreError,
    },
    store::{OpenOptions, migrate, open},
};
use serde_json::json;

use crate::support::stores::{TestStore, submission, try_sql};

laws!(
    a_reveal_shows_the_payload_and_leaves_an_audit_row_without_it,
    without_a_reason_nothing_is_revealed,
    without_an_audit_nothing_is_revealed,
    the_same_reveal_again_shows_it_again_and_another_under_its_name_does_not,
    what_is_not_there_cannot_be_revealed,
    ten_megabytes_are_told_by_their_size_and_revealed_by_their_beginning,
    bytes_that_are_no_text_are_shown_as_bytes,
);

fn reveal(of: Detail) -> Submission {
    submission(Command::Reveal { of })
}

async fn act(store: &TestStore, submission: &Submission) -> Result<Receipt, Refusal> {
    store.opened.store.act(submission).await
}

/// An onboarding with a secret in its context and in its letter's request, and a key with one in its answer.
async fn secretive(store: &TestStore) -> [Detail; 3] {
    let (id, letter) = store.failed("payments").await;
    store
        .sql(&format!(
            "UPDATE onboarding_state SET context = '{{\"note\":\"hunter2\"}}' WHERE onboarding_id = '{id}'"
        ))
        .await;
    store
        .sql(&format!(
            "UPDATE redrive_dead_letters SET request = '{{\"note\":\"hunter2\"}}' WHERE id = '{letter}'"
        ))
        .await;
    store
        .sql(
            "INSERT INTO idempotency_keys (key, request_hash, status, response_code, response_body, created_at) \
             VALUES ('k', 'h', 'COMPLETED', 201, '{\"note\":\"hunter2\"}', '2026-03-01T10:00:00.000000+00:00')",
        )
        .await;
    [Detail::Onboarding(id), Detail::Letter(letter.into()), Detail::Key("k".into())]
}

async fn page(store: &TestStore, of: &Detail) -> String {
    let query = Query { detail: Some(of.clone()), ..Query::default() };
    let page = store.board(query).await.page.expect("a page");
    assert!(!matches!(page, Page::Missing), "{of:?}");
    serde_json::to_string(&page).expect("it is data")
}

async fn a_reveal_shows_the_payload_and_leaves_an_audit_row_without_it(store: TestStore) {
    for of in secretive(&store).await {
        let shown = page(&store, &of).await;
        assert!(!shown.contains("hunter2") && shown.contains("‹text, 7 characters›"), "{shown}");
        let ask = reveal(of.clone());
        let receipt = act(&store, &ask).await.expect("it is shown");
        let revealed = receipt.revealed.clone().expect("the payload");
        assert!(revealed.content == Content::Json(json!({ "note": "hunter2" })), "{of:?}");
        assert_eq!((receipt.applied(), receipt.kind.as_str()), (1, "reveal"));
        assert!(!format!("{receipt:?}").contains("hunter2"), "it could be logged");
        let kept = store
            .cell(&format!(
                "SELECT kind || ' ' || operator || ' ' || reason || ' ' || CAST(command AS text) || CAST(receipt AS text) \
                 FROM redrive_operator_actions WHERE id = '{}'",
                ask.action
            ))
            .await;
        assert!(kept.starts_with("reveal ana the outage is over "), "{kept}");
        assert!(!kept.contains("hunter2"), "{kept}");
        let after = page(&store, &of).await;
        assert!(after.contains("\"reveal\"") && !after.contains("hunter2"), "the page tells of it: {after}");
    }
}

async fn without_a_reason_nothing_is_revealed(store: TestStore) {
    for of in secretive(&store).await {
        for reason in [None, Some(" \t".to_owned())] {
            let ask = Submission { reason, ..reveal(of.clone()) };
            let Err(Refusal::Nothing(outcomes)) = act(&store, &ask).await else { panic!("it is refused") };
            assert_eq!(outcomes[0].left_out, Some(LeftOut::Unexplained));
        }
    }
    assert_eq!(store.cell("SELECT count(*) FROM redrive_operator_actions WHERE kind = 'reveal'").await, "0");
}

async fn without_an_audit_nothing_is_revealed(store: TestStore) {
    let [of, ..] = secretive(&store).await;
    store.sql("DROP TABLE redrive_operator_action_targets").await;
    assert!(act(&store, &reveal(of)).await.is_err());
}

async fn the_same_reveal_again_shows_it_again_and_another_under_its_name_does_not(store: TestStore) {
    let [onboarding, letter, _] = secretive(&store).await;
    let first = reveal(onboarding);
    act(&store, &first).await.expect("it is shown");
    let again = act(&store, &first).await.expect("a lost reply is asked for again");
    assert!(again.repeated && again.revealed.is_some());
    assert_eq!(store.cell("SELECT count(*) FROM redrive_operator_actions WHERE kind = 'reveal'").await, "1");
    let other = Submission { command: Command::Reveal { of: letter }, ..first };
    let told = act(&store, &other).await.expect("the first receipt");
    assert!(told.repeated && told.revealed.is_none(), "nobody audited that one");
}

async fn what_is_not_there_cannot_be_revealed(store: TestStore) {
    for of in [Detail::Onboarding("x".into()), Detail::Letter("x".into()), Detail::Key("x".into())] {
        let Err(Refusal::Nothing(outcomes)) = act(&store, &reveal(of)).await else { panic!("no such row") };
        assert_eq!(outcomes[0].left_out, Some(LeftOut::NotFound));
    }
    store
        .sql(
            "INSERT INTO idempotency_keys (key, request_hash, status, created_at) \
             VALUES ('k', 'h', 'STARTED', '2026-03-01T10:00:00.000000+00:00')",
        )
        .await;
    let Err(Refusal::Nothing(outcomes)) = act(&store, &reveal(Detail::Key("k".into()))).await else {
        panic!("nothing is stored")
    };
    assert_eq!(outcomes[0].left_out, Some(LeftOut::NoPayload));
}

async fn ten_megabytes_are_told_by_their_size_and_revealed_by_their_beginning(store: TestStore) {
    let [onboarding, _, key] = secretive(&store).await;
    let (body, bytes) = match store.is_sqlite() {
        true => ("replace(hex(zeroblob(5242880)), '0', 'x')", 10_485_760),
        false => ("repeat('x', 10485760)", 10_485_760),
    };
    let json = if store.is_sqlite() { body.to_owned() } else { format!("to_jsonb({body})") };
    store.sql(&format!("UPDATE idempotency_keys SET response_body = {json} WHERE key = 'k'")).await;
    let context = format!("'{{\"note\":\"' || {body} || '\"}}'");
    store.sql(&format!("UPDATE onboarding_state SET context = {context}")).await;
    for of in [onboarding, key] {
        let shown = page(&store, &of).await;
        assert!(shown.contains(" bytes, too large to show by shape›"), "{}", &shown[..200]);
        assert!(shown.len() < 20_000, "the picture stays small: {}", shown.len());
        let revealed = act(&store, &reveal(of)).await.expect("it is shown").revealed.expect("its beginning");
        assert!(matches!(&revealed.content, Content::Text(text) if text.len() == 4_096));
        assert!(revealed.bytes >= bytes && revealed.is_cut(), "{revealed:?}");
    }
}

async fn bytes_that_are_no_text_are_shown_as_bytes(store: TestStore) {
    secretive(&store).await;
    let bytes = if store.is_sqlite() { "X'89504eff00'" } else { "'\\x89504eff00'::bytea" };
    store
        .sql(&format!(
            "UPDATE idempotency_keys SET response_raw = {bytes}, revision = revision + 1 WHERE key = 'k'"
        ))
        .await;
    let key = Detail::Key("k".into());
    assert!(page(&store, &key).await.contains("‹no text, 5 bytes›"));
    let revealed = act(&store, &reveal(key)).await.expect("it is shown").revealed.expect("bytes");
    assert!(revealed.content == Content::Bytes(vec![0x89, 0x50, 0x4e, 0xff, 0]));
    assert!(revealed.lines()[0].starts_with("00000000  89 50 4e ff 00 "), "{:?}", revealed.lines());
}

#[tokio::test]
async fn who_only_looks_sees_every_page_and_reveals_nothing() {
    let server = crate::support::postgres::Server::own();
    let create = "CREATE ROLE redrive_viewer; CREATE ROLE vera LOGIN PASSWORD 'x' IN ROLE redrive_viewer";
    try_sql(server.url(), create).await.expect("the roles");
    migrate(server.url()).await.expect("it migrates");
    let store = TestStore::postgres_at(server.url()).await;
    let payloads = secretive(&store).await;
    let (scheme, rest) = server.url().split_once("://").expect("a URL");
    let place = rest.split_once('@').map_or(rest, |(_, place)| place);
    let viewer = open(&format!("{scheme}://vera:x@{place}"), OpenOptions::default()).await.expect("it opens");
    for list in [List::Onboardings, List::Keys, List::Letters { group: None }, List::Audit] {
        let query = Query { list, ..Query::default() };
        viewer.reader.read(&query).await.unwrap_or_else(|error| panic!("{:?}: {error}", query.list));
    }
    for of in payloads {
        let query = Query { detail: Some(of.clone()), ..Query::default() };
        let page = viewer.reader.read(&query).await.expect("a page without its payload").page;
        let page = serde_json::to_string(&page).expect("data");
        assert!(page.contains("‹not readable for this role›") && !page.contains("hunter2"), "{page}");
        let refused = viewer.store.act(&reveal(of)).await.expect_err("it has no right to");
        assert!(matches!(refused, Refusal::Store(StoreError::Denied { .. })), "{refused}");
        assert!(refused.to_string().contains("permission denied"), "{refused}");
    }
}
