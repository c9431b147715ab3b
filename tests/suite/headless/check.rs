//! `redrive check`: what is wrong with a database and with targets, in words.

use axum::{Router, response::Html, routing::get};

use super::{fresh, json};
use crate::{
    metrics::Server,
    support::{program::run, stores::TestStore},
};

const WORKER: &str = "redrive_attempts_total{operation=\"a\",kind=\"first\",outcome=\"success\"} 3\n";
const STRANGER: &str = "shop_tries_total{call=\"pay\",n=\"1\"} 5\nbroken{\n";

/// `found what says` of each finding, blanks squeezed.
fn findings(out: &str) -> Vec<String> {
    out.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_its_schema_and_its_rights_are_looked_at() {
    let (_store, url) = fresh().await;
    let (code, out, err) = run(&["check", "--database-url", &url]);
    assert_eq!(code, 0, "{err}");
    let found = findings(&out);
    assert!(found[0].starts_with("ok database SQLite 3."), "{out}");
    assert!(
        found[1].starts_with("ok schema migration ") && found[1].ends_with("which this program expects"),
        "{out}"
    );
    assert_eq!(found[2], "ok rights it may be read and acted upon");
    assert!(found[3].starts_with("warning workers none is running"), "{out}");
    assert!(found[4].starts_with("warning metrics none is named"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_only_look_is_told_so_before_it_tries_on_postgres() {
    let store = TestStore::postgres().await;
    let role = format!("looks_{}", std::process::id());
    let database = store.url.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
    store.sql(&format!("CREATE ROLE {role} LOGIN; GRANT CONNECT ON DATABASE {database} TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")).await;
    let url = store.url.replacen("redrive@", &format!("{role}@"), 1);
    let (code, out, err) = run(&["check", "--database-url", &url]);
    store.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    assert_eq!(code, 0, "{out} {err}");
    let found = findings(&out);
    assert!(found[0].starts_with("ok database PostgreSQL "), "{out}");
    assert_eq!(
        found[2],
        format!("warning rights read-only: the role {role} may only look: grant it redrive_operator to act")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reached_or_is_not_migrated_is_wrong_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.db");
    std::fs::write(&path, b"").unwrap();
    for (url, says) in [
        ("postgres://ana:s3cret@127.0.0.1:1/x", "cannot reach"),
        (&format!("sqlite:{}", path.display()), "redrive migrate"),
    ] {
        let (code, out, _) = run(&["check", "--database-url", url]);
        assert_eq!(code, 1);
        assert!(findings(&out)[0].starts_with("WRONG database") && out.contains(says), "{out}");
        assert!(!out.contains("s3cret"), "{out}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_target_is_asked_and_what_reads_it_is_named() {
    let (_store, url) = fresh().await;
    let routes = Router::new()
        .route("/ours", get(async || WORKER))
        .route("/strange", get(async || STRANGER))
        .route("/login", get(async || Html("<html>Sign in</html>")));
    let server = Server::start(routes).await;
    let target = |name: &str| format!("{name}={}", server.url(&format!("/{name}")));
    let (ours, strange, login) = (target("ours"), target("strange"), target("login"));
    let asked = [
        "check",
        "--json",
        "--metrics",
        &ours,
        "--metrics",
        &strange,
        "--metrics",
        &login,
        "--database-url",
        &url,
    ];
    let (code, out, err) = run(&asked);
    assert_eq!(code, 1, "one is wrong: {err}");
    let found = json(&out);
    let of = |name: &str| {
        let all = found.as_array().unwrap();
        let one = all.iter().find(|f| f["what"].as_str().unwrap().starts_with(&format!("target {name} ")));
        let one = one.unwrap_or_else(|| panic!("{name} in {out}"));
        (one["found"].as_str().unwrap().to_owned(), one["says"].as_str().unwrap().to_owned())
    };
    assert_eq!(of("ours").0, "ok");
    assert!(of("ours").1.starts_with("read by redrive, 1 samples in "), "{out}");
    assert_eq!(of("strange").0, "warning");
    assert!(
        of("strange").1.starts_with("no preset knows its metrics: describe them in a [[preset]]"),
        "{out}"
    );
    assert!(of("strange").1.contains("1 lines could not be read, the first is line 2"), "{out}");
    assert_eq!(of("login").0, "wrong");
    assert!(of("login").1.contains("an HTML page instead of metrics"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preset_of_the_config_file_reads_what_no_other_does() {
    let (_store, url) = fresh().await;
    let server = Server::start(Router::new().route("/metrics", get(async || STRANGER))).await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("redrive.toml");
    let text = "[[preset]]\nname = \"shop\"\nmark = \"shop_tries_total\"\noperation = \"{call}\"\n\
                [[preset.counter]]\nmetric = \"shop_tries_total\"\nrole = \"first\"\nwhen = { n = \"1\" }\n";
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    let metrics = server.url("/metrics");
    let (_, out, _) = run(&["check", "--config", config, "--metrics", &metrics, "--database-url", &url]);
    assert!(out.contains("read by shop, 1 samples"), "{out}");
    std::fs::write(config, text.replace("role = \"first\"", "role = \"tries\"")).unwrap();
    let (code, _, err) = run(&["check", "--config", config, "--database-url", &url]);
    assert_eq!(code, 1);
    assert!(err.contains("line 7: \"tries\" is not a role: expected one of first, retries,"), "{err}");
}
