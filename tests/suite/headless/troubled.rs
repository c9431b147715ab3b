//! What the twins say of a database in trouble: one sentence on standard error, and exit code 1. What only reads goes
//! on where reading does.

use crate::support::{
    postgres::database,
    program::run,
    stores::{TestStore, column, try_sql},
};

const READS: [&[&str]; 2] = [&["status"], &["onboardings", "list"]];
const WRITES: &[&str] = &[
    "onboardings",
    "trigger",
    "--tenant",
    "acme",
    "--repo-url",
    "https://github.com/acme/payments",
    "--workspace-id",
    "ws-a1b2c3",
];

fn at(url: &str, command: &[&str]) -> (i32, String, String) {
    run(&[command, &["--database-url", url]].concat())
}

/// Nothing but this sentence.
fn says(url: &str, command: &[&str], sentence: &str) {
    let (code, out, err) = at(url, command);
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (1, "", &*format!("redrive: {sentence}\n")),
        "{command:?}"
    );
}

fn reads(url: &str) {
    for command in READS {
        let (code, _, err) = at(url, command);
        assert_eq!((code, err.as_str()), (0, ""), "{command:?}");
    }
}

#[tokio::test]
async fn a_read_only_file_is_read_and_says_that_it_takes_no_writes() {
    let store = TestStore::sqlite().await;
    let (url, path) = (store.url.clone(), store.url.strip_prefix("sqlite:").expect("a file").to_owned());
    store.sql("PRAGMA wal_checkpoint(TRUNCATE)").await;
    crate::engine::read_only(&path, true);
    reads(&url);
    says(&url, WRITES, "the database is read-only: nothing was changed");
}

#[tokio::test]
async fn a_server_without_room_is_read_and_says_that_it_has_none() {
    let database = database().await;
    let full = "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'could not extend file' \
                USING ERRCODE = '53100'; END $$; CREATE TRIGGER full_disk BEFORE INSERT ON onboarding_history \
                FOR EACH ROW EXECUTE FUNCTION full_disk()";
    try_sql(&database.url, full).await.expect("it is full from now on");
    reads(&database.url);
    let sentence = "the database has no room for the action: the disk is full (could not extend file); nothing was \
                    changed, make room and try again";
    says(&database.url, WRITES, sentence);
    assert_eq!(column(&database.url, "SELECT id FROM onboarding_history").await, [""; 0]);
}

#[tokio::test]
async fn a_server_that_lets_nobody_else_in_is_busy_and_not_away() {
    let database = database().await;
    let role = format!("limited_{}", redrive::clock::new_id().replace('-', ""));
    let create = format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT 0 PASSWORD 'x'");
    try_sql(&database.url, &create).await.expect("a role");
    let (_, place) = database.url.split_once('@').expect("a URL with a user");
    let url = format!("postgres://{role}:x@{place}");
    let told = [READS[0], READS[1], WRITES].map(|command| at(&url, command));
    try_sql(&database.url, &format!("DROP ROLE {role}")).await.expect("the role goes");
    let sentence = format!(
        "redrive: the database was too busy for connecting: too many connections for role \"{role}\"; nothing was \
         changed, try again\n"
    );
    for told in told {
        assert_eq!(told, (1, String::new(), sentence.clone()));
    }
}

#[test]
fn what_is_not_there_is_named_with_what_to_look_at() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("none.db");
    let file = format!(
        "cannot reach the database sqlite none.db: there is no file {}; `redrive migrate` makes one",
        path.display()
    );
    let refused = std::net::TcpStream::connect("127.0.0.1:1").expect_err("nobody listens there");
    let server = format!(
        "cannot reach the database 127.0.0.1:1/x (postgres, ana:***): {refused}; check that it runs and that the URL is right"
    );
    for command in [READS[0], READS[1], WRITES] {
        says(&format!("sqlite:{}", path.display()), command, &file);
        says("postgres://ana:s3cret@127.0.0.1:1/x", command, &server);
    }
}
