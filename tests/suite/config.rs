//! The config file: policies by operation and state, and what is wrong with a hostile one, each an exact error with its line.

use std::{fs::Permissions, os::unix::fs::PermissionsExt as _};

use crate::support::program::run;

/// Runs a twin under a config file of `text`; answers what went wrong after the file's name.
fn wrong(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("redrive.toml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap();
    let (code, _, err) = run(&["status", "--database-url", "sqlite:/nowhere.db", "--config", path]);
    assert_eq!(code, 1, "{text}: {err}");
    let begin = format!("redrive: the config file {path}, ");
    err.trim().strip_prefix(&begin).unwrap_or_else(|| panic!("{text}: {err}")).to_owned()
}

/// Whether the file is taken: then only the database is missing.
fn taken(text: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("redrive.toml");
    std::fs::write(&path, text).unwrap();
    let (_, _, err) =
        run(&["status", "--database-url", "sqlite:/nowhere.db", "--config", path.to_str().unwrap()]);
    assert!(err.contains("there is no file /nowhere.db"), "{text}: {err}");
}

#[test]
fn everything_a_policy_can_say_is_taken() {
    taken(
        r#"
[roof]
share = 0.1
floor = 10
window = "10s"
kept = 0.5

[operation.default]
timeout = "10s"
concurrency = 32
weight = 1

[operation."github.create_hook"]
timeout = "5s"
weight = 4.5
budget = { share = 0.2, floor = 2.0, window = "10s" }
[operation."github.create_hook".circuit]
window = "30s"
minimum_calls = 10
failure_rate = 0.5
slow = { from = "2s", rate = 0.8 }
open_for = "30s"
open_growth = 2
open_cap = "5m"
probes = 3
trial = "rates"
half_open_for = "1m"

[operation."tfc.workspace"]
budget = { mode = "standard", capacity = 500, retry = 5, after_timeout = 10, success = 1 }
circuit = { window = 20 }

[operation."tfc.resources"]
budget = { mode = "adaptive" }

[state.DISCOVERING]
attempts = 4
base = "1s"
cap = "20s"
jitter = "decorrelated"
timeout = "45s"

[state.EXTRACTING]
jitter = 0.25

[intake]
concurrency = 10
longest_wait = "1m"

[engine]
unpark_per_second = 25
quarantine_after = 3
cleanup_after = "never"
"#,
    );
}

#[test]
fn a_value_that_cannot_be_meant_is_named_with_its_line() {
    let operation = |line: &str| wrong(&format!("[operation.\"github.tree\"]\n{line}\n"));
    for (line, said) in [
        ("timeout = \"0s\"", "timeout is 0s: more than 0 and at most 365 days is expected"),
        (
            "timeout = \"800days\"",
            "timeout is 2years 2months 8days 14h 52m 48s: more than 0 and at most 365 days is expected",
        ),
        ("concurrency = 0", "concurrency is 0: between 1 and 1000000 is expected"),
        ("weight = nan", "weight is NaN: between 0.001 and 1000 is expected"),
        ("weight = -1.0", "weight is -1: between 0.001 and 1000 is expected"),
        ("weight = inf", "weight is inf: between 0.001 and 1000 is expected"),
        ("budget = { share = nan }", "budget.share is NaN: between 0 and 1000000 is expected"),
        ("budget = { floor = -0.5 }", "budget.floor is -0.5: between 0 and 1000000 is expected"),
        (
            "budget = { mode = \"standard\", retry = 900 }",
            "budget.retry is 900: between 1 and 500 is expected",
        ),
        (
            "circuit = { failure_rate = 0.0 }",
            "circuit.failure_rate is 0: more than 0 and at most 1 is expected",
        ),
        (
            "circuit = { failure_rate = 1.5 }",
            "circuit.failure_rate is 1.5: more than 0 and at most 1 is expected",
        ),
        ("circuit = { window = 0 }", "circuit.window is 0: between 1 and 100000 is expected"),
        ("circuit = { probes = 0 }", "circuit.probes is 0: between 1 and 10000 is expected"),
        ("circuit = { open_growth = 0.5 }", "circuit.open_growth is 0.5: between 1 and 100 is expected"),
    ] {
        assert_eq!(operation(line), format!("line 2: operation.github.tree.{said}"));
    }
    assert_eq!(wrong("\n[roof]\n\nkept = 2\n"), "line 4: roof.kept is 2: between 0 and 1 is expected");
    assert_eq!(
        wrong("[state.DISCOVERING]\nattempts = 0\n"),
        "line 2: state.DISCOVERING.attempts is 0: between 1 and 1000 is expected"
    );
    assert_eq!(
        wrong("[engine]\nunpark_per_second = nan"),
        "line 2: unpark_per_second is NaN: between 0.01 and 10,000 is expected"
    );
    assert_eq!(
        wrong("[engine]\nquarantine_after = 0"),
        "line 2: quarantine_after is 0: between 1 and 1,000 replays is expected"
    );
    assert_eq!(
        wrong("[engine]\ncleanup_after = \"800days\""),
        "line 2: cleanup_after is 2years 2months 8days 14h 52m 48s: at most 366days is expected, or never"
    );
    let said = wrong("[engine]\ncleanup_after = \"soon\"");
    assert!(said.contains("\"soon\" is not a duration such as 24h or 0s, nor never"), "{said}");
    assert_eq!(
        wrong("[intake]\nconcurrency = 0"),
        "line 2: intake.concurrency is 0: between 1 and 100,000 is expected"
    );
}

#[test]
fn values_that_contradict_each_other_are_named_together() {
    let operation = |lines: &str| wrong(&format!("[operation.\"github.tree\"]\n{lines}\n"));
    assert_eq!(
        operation("circuit = { window = 5, minimum_calls = 9 }"),
        "line 2: operation.github.tree.circuit.minimum_calls is 9: between 1 and 5 is expected"
    );
    assert_eq!(
        operation("[operation.\"github.tree\".circuit]\nopen_cap = \"1s\""),
        "line 2: operation.github.tree.circuit.open_for is 30s, which is over open_cap (1s): at most that is expected"
    );
    assert_eq!(
        operation("timeout = \"1s\"\ncircuit = { slow = { from = \"2s\", rate = 0.5 } }"),
        "line 3: operation.github.tree.circuit.slow.from is 2s, which is over timeout (1s): at most that is expected"
    );
    assert_eq!(
        operation("budget = { capacity = 10 }"),
        "line 2: operation.github.tree.budget.capacity is said of mode \"ratio\": a budget of mode \"standard\" or \"adaptive\" is expected"
    );
    assert_eq!(
        operation("budget = { mode = \"adaptive\", share = 0.2 }"),
        "line 2: operation.github.tree.budget.share is said of mode \"adaptive\": a budget of mode \"ratio\" is expected"
    );
    assert_eq!(
        wrong("[state.DISCOVERING]\nbase = \"40s\"\n"),
        "line 2: state.DISCOVERING.base is 40s, which is over cap (30s): at most that is expected"
    );
    assert_eq!(
        wrong("[state.VALIDATING]\nattempts = 3\n"),
        "line 1: state.VALIDATING.base is 0s: more than 0 and at most 365 days is expected",
        "one attempt needed no wait, three do"
    );
}

#[test]
fn operations_states_and_keys_that_do_not_exist_are_told_what_does() {
    let said = wrong("[operation.\"githb.tree\"]\ntimeout = \"1s\"\n");
    assert!(
        said.starts_with(
            "line 1: \"githb.tree\" is not an operation: expected default or one of github.repository,"
        ),
        "{said}"
    );
    let said = wrong("\n[operation.github.tree]\ntimeout = \"1s\"\n");
    assert!(said.starts_with("line 2: \"github\" is not an operation"), "{said}");
    assert!(said.ends_with("a name with a dot is quoted: [operation.\"github.repository\"]"), "{said}");
    let said = wrong("[state.DREAMING]\nattempts = 2\n");
    assert!(
        said.starts_with("line 1: \"DREAMING\" is not a state: expected one of RECEIVED, VALIDATING,"),
        "{said}"
    );
    let said = wrong("[operation.default]\nattempts = 3\n");
    assert!(said.starts_with("line 2: unknown field `attempts`, expected one of `timeout`"), "{said}");
    let said = wrong("\n\ncolour = 1\n");
    assert!(said.starts_with("line 3: unknown field `colour`"), "{said}");
}

#[test]
fn a_value_of_the_wrong_kind_is_told_what_is_expected() {
    let operation = |line: &str| wrong(&format!("[operation.default]\n{line}\n"));
    assert_eq!(operation("timeout = \"soon\""), "line 2: \"soon\" is not a duration such as 30s or 1h");
    assert_eq!(operation("timeout = \"-5s\""), "line 2: \"-5s\" is not a duration such as 30s or 1h");
    assert_eq!(operation("timeout = 5"), "line 2: invalid type: integer `5`, expected a string");
    assert_eq!(operation("concurrency = -3"), "line 2: invalid value: integer `-3`, expected u32");
    assert_eq!(
        operation("concurrency = 99999999999"),
        "line 2: invalid value: integer `99999999999`, expected u32"
    );
    assert_eq!(
        operation("circuit = { window = -1 }"),
        "line 2: invalid value: integer `-1`, expected a number of calls such as 20, or a time such as \"30s\""
    );
    assert_eq!(
        wrong("[state.DISCOVERING]\njitter = \"some\"\n"),
        "line 2: invalid value: string \"some\", expected \"none\", \"full\", \"equal\", \"decorrelated\", or a share of the delay such as 0.25"
    );
    assert_eq!(
        wrong("[state.DISCOVERING]\njitter = 1.5\n"),
        "line 2: state.DISCOVERING.jitter is 1.5: between 0 and 1 is expected"
    );
    assert!(wrong("[operation.default\n").starts_with("line 1: "), "not even TOML");
    assert!(wrong("[roof]\nshare = 0.1\nshare = 0.2\n").starts_with("line 3: "), "said twice");
}

#[test]
fn everything_a_verdict_stands_on_can_be_said() {
    taken(
        r#"
[verdict]
elevated_ratio = 0.05
elevated_times = 3
elevated_retries = 5
storm_ratio = 0.3
storm_times = 4.0
storm_retries = 50
storm_surely = 0.2
poor_efficacy = 0.4
poor_goodput = 0.95
good_efficacy = 0.9
highest_baseline = 0.1
stuck_drift = 0.1
stuck_fall = 0.2
confirmations = 3
cooling = 5
window = "2m"
baseline_over = "2h"
stuck_after = "10m"
stale_after = "1m"
"#,
    );
    assert_eq!(
        wrong("\n[verdict]\nstorm_ratio = 1.5\n"),
        "line 3: storm_ratio is 1.5: between 0 and 1 is expected"
    );
    assert_eq!(
        wrong("[verdict]\nwindow = \"1s\"\n"),
        "line 2: window is 1s: between 5s and 1day is expected"
    );
    assert_eq!(
        wrong("[verdict]\ncooling = 0\n"),
        "line 2: cooling is 0: between 1 and 100 evaluations is expected"
    );
}

/// Runs `redrive check` under a config file of `text`, with a variable that holds a secret; answers both outputs.
fn checked(text: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("redrive.toml");
    std::fs::write(&path, text).unwrap();
    // Its owner's alone: nothing is said of its mode.
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let (_, out, err) =
        run(&["check", "--database-url", "sqlite:/nowhere.db", "--config", path.to_str().unwrap()]);
    (out, err.replace(path.to_str().unwrap(), "FILE"))
}

#[test]
fn targets_and_servers_that_cannot_be_meant_are_named_with_their_line() {
    for (text, said) in [
        (
            "[[target]]\nurl = \"http://a:1\"\n[[target]]\nurl = \"http://b:1\"\ntoken_env = \"NO_SUCH_VARIABLE\"\n",
            "line 5: token_env: the environment has no NO_SUCH_VARIABLE: set it, or leave token_env away",
        ),
        ("\n[[target]]\nurl = \"ftp://ana:hunter2@a\"\n", "line 3: a metrics URL begins with ftp: only http"),
        ("[[target]]\nname = \"a\"\n", "line 2: a target needs a url or a file_sd"),
        (
            "[[target]]\nurl = \"http://a\"\nfile_sd = \"t.json\"\n",
            "line 3: a target has a url or a file_sd, not both",
        ),
        (
            "[[target]]\nurl = \"http://a\"\nusername = \"u\"\n",
            "line 3: username needs password_env beside it",
        ),
        (
            "[[target]]\nurl = \"http://a\"\npassword_env = \"PATH\"\n",
            "line 3: password_env needs username beside it",
        ),
        (
            "[[target]]\nurl = \"http://a\"\ntoken_env = \"PATH\"\nusername = \"u\"\n",
            "line 3: token_env and username are two ways",
        ),
        ("[[target]]\nurl = \"http://a\"\nca_file = \"none.pem\"\n", "line 3: cannot read the CA file"),
        ("[[target]]\nurl = \"http://a\"\ntoken = \"x\"\n", "line 3: unknown field `token`"),
        ("[prometheus]\ntenant = \"a\"\n", "line 1: a Prometheus server needs a url"),
        (
            "[prometheus]\nurl = \"http://a\"\ntoken_env = \"NO_SUCH_VARIABLE\"\n",
            "line 3: token_env: the environment has no",
        ),
        ("prometheus = 3\n", "line 1: invalid type: integer `3`, expected a server's URL"),
        ("metrics = [\"nowhere\"]\n", "line 1: a metrics URL cannot be read"),
    ] {
        let (_, err) = checked(text);
        assert!(err.starts_with(&format!("redrive: the config file FILE, {said}")), "{text}: {err}");
        assert!(!err.contains("hunter2"), "{err}");
    }
}

#[test]
fn targets_of_every_kind_are_looked_at_and_paths_begin_where_the_file_is() {
    let text = "file_sd = [\"none.json\"]\nmetrics = [\"a=http://127.0.0.1:1/m\"]\n\
                prometheus = \"http://127.0.0.1:1/prom\"\n\
                [[target]]\nname = \"b\"\nurl = \"http://127.0.0.1:1\"\ntoken_env = \"PATH\"\n\
                [[target]]\nurl = \"dns+http://127.0.0.1:1\"\nusername = \"u\"\npassword_env = \"PATH\"\n";
    let (out, err) = checked(text);
    assert_eq!(err, "");
    for line in [
        "target a (http://127.0.0.1:1/m)",
        "target b (http://127.0.0.1:1/metrics)",
        "target 127.0.0.1:1 (http://127.0.0.1:1/metrics)",
        "target prometheus 127.0.0.1:1 (http://127.0.0.1:1/prom)",
        "target none.json (/",
    ] {
        assert!(out.contains(line), "{line}: {out}");
    }
    assert!(!out.contains("/bin"), "no secret is shown: {out}");
}

#[test]
fn a_theme_views_keys_contexts_and_the_mouse_can_be_said() {
    taken(
        r#"
theme = "colour-blind"
mouse = false
production = true

[keys]
down = ["e", "Down"]
freeze = "Ctrl+F"
replay = "Z"
group = []

[view.held]
screen = "onboardings"
filter = "status:parked age:>1h"
sort = "oldest"
[view."by error"]
screen = "groups"
filter = "error:503"
sort = "newest"

[context.live]
database_url = "sqlite:live.db"
production = true
"#,
    );
}

#[test]
fn a_key_that_cannot_be_bound_is_named_with_its_line_and_what_would_do() {
    let keys = |line: &str| wrong(&format!("[keys]\n{line}\n"));
    let said = keys("replya = \"R\"");
    assert!(
        said.starts_with("line 2: keys.replya: \"replya\" is not an action: expected one of down, up,"),
        "{said}"
    );
    let said = keys("replay = \"Hyper+R\"");
    assert!(
        said.starts_with("line 2: keys.replay: \"Hyper+R\" is not a key: expected one character such as j"),
        "{said}"
    );
    assert_eq!(
        keys("mark = \"m\"\nfreeze = \"m\""),
        "line 3: keys.freeze: m is the key of both freeze and mark: give one of them another, or mark = [] for none"
    );
    assert_eq!(
        keys("freeze = \"t\""),
        "line 2: keys.freeze: t is the key of both freeze and theme: give one of them another, or theme = [] for none"
    );
    assert_eq!(
        keys("replay = \"r\""),
        "line 2: keys.replay: replay writes, so its key is Shift and a letter (A to Z), not r"
    );
    assert_eq!(
        keys("freeze = \"Ctrl+C\""),
        "line 2: keys.freeze: Ctrl+C cannot be given to freeze: Ctrl+C always leaves and Ctrl+Z suspends"
    );
    let said = keys("freeze = 5");
    assert!(said.contains("line 2: a key such as \"R\" or a list of keys"), "{said}");
}

#[test]
fn a_view_or_theme_that_cannot_be_meant_is_named_with_its_line() {
    let view = |lines: &str| wrong(&format!("[view.held]\n{lines}\n"));
    assert_eq!(
        view("screen = \"onbordings\""),
        "line 2: view.held.screen: \"onbordings\" is not a screen: expected one of pulse, onboardings, keys, groups, letters, circuits, audit"
    );
    let said = view("filter = \"x\"");
    assert!(said.starts_with("line 1: view.held.screen: \"\" is not a screen"), "{said}");
    let said = view("screen = \"keys\"\nfilter = \"status:stuck error:503\"");
    assert!(said.starts_with("line 3: view.held.filter: word 2, error:503: keys have no error"), "{said}");
    assert_eq!(
        view("screen = \"letters\"\nsort = \"lock-age\""),
        "line 3: view.held.sort: no order \"lock-age\": letters come by newest, oldest, replays, tenant, state"
    );
    assert_eq!(
        view("screen = \"pulse\"\nsort = \"newest\""),
        "line 3: view.held.sort: pulse cannot be sorted"
    );
    let said = view("screen = \"groups\"\nfilter = \"tenant:acme\"");
    assert!(said.starts_with("line 3: view.held.filter: groups can be filtered by error"), "{said}");
    assert_eq!(
        wrong("\ntheme = \"pink\"\n"),
        "line 2: no theme \"pink\": expected one of dark, light, high-contrast, colour-blind"
    );
}

#[tokio::test]
async fn a_production_context_is_acted_in_only_with_a_reason() {
    let store = crate::support::stores::TestStore::sqlite().await;
    let (onboarding, _) = store.failed("payments").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("redrive.toml");
    let text = format!("[context.live]\nproduction = true\ndatabase_url = \"{}\"\n", store.url);
    std::fs::write(&path, text).unwrap();
    let place = ["--config", path.to_str().unwrap(), "--context", "live"];
    let resume = ["onboardings", "resume", onboarding.as_str(), "--yes"];
    let (code, _, err) = run(&[&place[..], &resume].concat());
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("marked production: say why with --reason"), "{err}");
    let (code, _, err) = run(&[&place[..], &resume, &["--reason", "the outage is over"]].concat());
    assert_eq!(code, 0, "{err}");
}

#[tokio::test]
async fn a_list_comes_in_the_order_asked_for() {
    let store = crate::support::stores::TestStore::sqlite().await;
    for name in ["first", "second"] {
        store.trigger(name).await;
        store.time.advance(std::time::Duration::from_secs(1));
    }
    let listed = |order: &[&str]| {
        let (code, out, err) = run(&[&["onboardings", "list", "--database-url", &store.url], order].concat());
        assert_eq!(code, 0, "{err}");
        (out.find("first").unwrap(), out.find("second").unwrap())
    };
    let ((a, b), (c, d)) = (listed(&[]), listed(&["--sort", "oldest"]));
    assert!(a > b && c < d);
    let (code, _, err) = run(&["keys", "list", "--database-url", &store.url, "--sort", "tenant"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("no order \"tenant\": this list comes by trouble, lock-age, newest"), "{err}");
}
