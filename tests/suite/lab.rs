//! `redrive lab` as a user meets it; what comes out of the incidents is tested next to them.

use crate::support::program::run;

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    for format in [&[][..], &["--json"]] {
        let lab = |seed| run(&[&["lab", "outage", "--seed", seed], format].concat());
        let (code, first, err) = lab("7");
        assert_eq!(code, 0, "{err}");
        assert_eq!(first, lab("7").1);
        assert_ne!(first, lab("8").1);
    }
}

#[test]
fn policies_stand_side_by_side_in_the_order_they_were_named() {
    let (code, out, err) = run(&["lab", "tap-try-again", "--policy", "person", "--policy", "both", "--json"]);
    assert_eq!(code, 0, "{err}");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["scenario"], &report["seed"]), (&"tap-try-again".into(), &1.into()));
    let of = |field: &str| {
        report["policies"].as_array().unwrap().iter().map(|p| p[field].clone()).collect::<Vec<_>>()
    };
    assert_eq!(of("policy"), ["person", "both"]);
    assert_eq!(of("most_for_one_call"), [5, 30]);
    let (_, out, _) = run(&["lab", "tap-try-again", "--policy", "person", "--policy", "both"]);
    let rows: Vec<&str> = out.lines().skip_while(|line| !line.starts_with("POLICY")).take(3).collect();
    assert!(rows[0].contains("AMPLIFICATION") && rows[0].contains("RECOVERED"), "{out}");
    assert!(rows[1].starts_with("person") && rows[2].starts_with("both"), "{out}");
}

#[test]
fn the_list_names_every_scenario_with_its_policies() {
    let (code, out, _) = run(&["lab", "--list"]);
    assert_eq!(code, 0);
    for (scenario, policy) in [
        ("no-jitter", "decorrelated"),
        ("yandex", "budget+circuit"),
        ("tap-try-again", "balancer"),
        ("heavy-endpoint", "weighted"),
        ("outage", "legacy"),
    ] {
        let line = out.lines().find(|line| line.starts_with(scenario)).unwrap_or_else(|| panic!("{out}"));
        assert!(line.contains(policy), "{line}");
    }
}

#[test]
fn names_that_are_not_known_are_answered_with_those_that_are() {
    let (code, out, err) = run(&["lab", "google"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("\"google\" is not a lab scenario") && err.contains("no-jitter, yandex"), "{err}");
    let (code, out, err) = run(&["lab", "yandex", "--policy", "budget", "--policy", "hope\u{1b}[31m"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("is not a policy of the lab scenario yandex: expected one of unprotected"), "{err}");
    assert!(!err.contains('\u{1b}'), "{err:?}");
    let (code, _, err) = run(&["lab"]);
    assert_eq!(code, 2);
    assert!(err.contains("SCENARIO") && err.contains("--list"), "{err}");
}

#[test]
fn a_seed_is_any_whole_number_of_64_bits_and_nothing_else() {
    let tap = |seed: &str| run(&["lab", "tap-try-again", "--policy", "person", &format!("--seed={seed}")]);
    for seed in ["0", "18446744073709551615"] {
        assert_eq!(tap(seed).0, 0, "{seed}");
    }
    for seed in ["-1", "18446744073709551616", "NaN", "1e3", "", "\u{202e}1"] {
        let (code, _, err) = tap(seed);
        assert_eq!(code, 2, "{seed:?}");
        assert!(err.contains("--seed"), "{err}");
    }
}
