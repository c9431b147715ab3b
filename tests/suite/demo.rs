//! `redrive demo --headless`: every incident of the table, played fast, is shown as what it is; and the report's form.
//!
//! The runs are in real time on real sockets, so they go one after the other, whatever else is tested meanwhile. Those whose
//! outcome hangs on rates wait for `tests/run --long`: a machine that is busy with other tests plays them too slowly.

use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::support::program::run;

/// One stage for all.
static STAGE: Mutex<()> = Mutex::new(());

/// Plays `scenario`; its exit code and its report.
fn play(scenario: &str, time_factor: &str, seed: &str) -> (i32, Value) {
    let _alone = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let args = ["demo", "--headless", "--json", "--scenario", scenario];
    let (code, out, err) = run(&[&args[..], &["--time-factor", time_factor, "--seed", seed]].concat());
    let report = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}\n{out}\n{err}"));
    (code, report)
}

/// Timers later than this say that the machine is too busy to judge by.
const TOO_LATE: f64 = 25.0;

/// Plays it with a fixed seed, and wants all that was expected of it; once more where the machine was too busy to play
/// it at its time, and only then.
#[track_caller]
fn meets(scenario: &str, time_factor: &str) -> Value {
    let mut plays = 0;
    loop {
        let (code, report) = play(scenario, time_factor, "1");
        let late = report["timers_late_ms"].as_f64().expect("a number");
        plays += 1;
        if late > TOO_LATE && report["met"] != true && plays < 3 {
            continue;
        }
        let unmet: Vec<&Value> = list(&report, "expectations").filter(|one| one["met"] != true).collect();
        let (verdicts, figures) = (&report["verdicts"], &report["figures"]);
        assert!(
            unmet.is_empty(),
            "{scenario}, timers {late} ms late, play {plays}: {unmet:#?}\n{verdicts:#}\n{figures:#}"
        );
        assert_eq!((code, &report["met"]), (0, &Value::Bool(true)), "{scenario}");
        return report;
    }
}

fn list<'v>(report: &'v Value, field: &str) -> impl Iterator<Item = &'v Value> {
    report[field].as_array().unwrap_or_else(|| panic!("{field} is a list: {report:#}")).iter()
}

/// What was measured for one side.
fn figure(report: &Value, what: &str, side: &str) -> f64 {
    let found = list(report, "figures").find(|figure| figure["what"] == what && figure["side"] == side);
    found.and_then(|figure| figure["value"].as_f64()).unwrap_or_else(|| panic!("{what}, {side}: {report:#}"))
}

#[test]
#[ignore = "long: it is a matter of seconds, and wants a machine without other work"]
fn a_bad_release_leaves_a_service_stuck_whose_callers_keep_retrying_and_not_one_with_a_budget() {
    let report = meets("yandex", "0.0045");
    let down = |side| figure(&report, "down for", side);
    assert!(down("unprotected") > 4.0 * down("budget and circuit"), "{:#}", report["figures"]);
}

#[test]
#[ignore = "long: it is a matter of seconds, and wants a machine without other work"]
fn four_taps_and_a_balancer_are_thirty_requests_and_six_times_the_load_at_its_edge() {
    let report = meets("tap-try-again", "0.033");
    let most = |side| figure(&report, "most requests of one person", side);
    assert_eq!((most("both retry"), most("only people retry")), (30.0, 5.0));
}

#[test]
#[ignore = "long: it is a matter of seconds, and wants a machine without other work"]
fn a_heavy_operation_takes_a_uniform_budget_from_the_light_one_and_not_a_weighted_one() {
    meets("heavy-endpoint", "0.115");
}

#[test]
#[ignore = "long: it is a matter of seconds, and wants a machine without other work"]
fn without_jitter_clients_come_back_in_waves_for_ever() {
    meets("no-jitter", "0.16");
}

#[test]
fn a_lost_reply_charges_twice_without_a_key_and_once_with_one() {
    let report = meets("double-charge", "0.12");
    let most = |side| figure(&report, "most charges of one order", side);
    assert!(most("without a key") >= 2.0 && most("with a key") == 1.0, "{:#}", report["figures"]);
}

#[test]
fn a_response_that_could_not_be_stored_is_made_anew_and_never_replayed_broken() {
    let report = meets("storage-failure", "0.25");
    assert_eq!(figure(&report, "keys marked FAILED_STORAGE", ""), 3.0);
}

#[test]
fn a_key_that_a_dead_process_held_is_taken_over_or_released_with_a_reason() {
    meets("stuck-lock", "0.15");
}

#[test]
fn an_item_that_always_fails_becomes_one_letter_and_the_rest_flow() {
    meets("poison", "0.12");
}

#[test]
#[ignore = "long: it is a matter of seconds, and wants a machine without other work"]
fn an_outage_is_a_storm_of_legacy_crm_and_all_it_left_is_resumed_or_replayed() {
    meets("outage", "0.1");
}

#[test]
fn when_nothing_goes_wrong_nothing_is_said() {
    meets("calm", "0.08");
}

#[test]
fn a_report_tells_what_happened_when_and_what_was_said_of_it() {
    let (code, report) = play("stuck-lock", "0.1", "18446744073709551615");
    assert_eq!(code, i32::from(report["met"] != true));
    assert_eq!((&report["scenario"], &report["time_factor"]), (&"stuck-lock".into(), &0.1.into()));
    assert_eq!(report["seed"], u64::MAX);
    assert!(report["real_seconds"].as_f64().is_some_and(|seconds| seconds > 1.0), "{report:#}");
    assert!(report["timers_late_ms"].is_number(), "{report:#}");
    assert!(report["says"].is_string() && report["tamed_by"].is_string(), "{report:#}");
    let mut before = 0.0;
    for phase in list(&report, "phases") {
        assert!(phase["phase"].is_string(), "{phase}");
        assert_eq!(phase["from"].as_f64(), Some(before), "phases follow each other");
        before = phase["until"].as_f64().unwrap();
    }
    for said in list(&report, "verdicts") {
        assert!(said["at"].is_number() && said["verdict"].is_string(), "{said}");
        assert!(said["sentence"].is_string() && said["callers"].is_array(), "{said}");
        for word in ["operation", "root"] {
            assert!(said[word].is_string() || said[word].is_null(), "{said}");
        }
    }
    for turn in list(&report, "operations") {
        assert!(turn["at"].is_number() && turn["operation"].is_string() && turn["verdict"].is_string());
    }
    for figure in list(&report, "figures") {
        assert!(figure["what"].is_string() && figure["side"].is_string(), "{figure}");
        assert!(figure["value"].is_number() && figure["unit"].is_string(), "{figure}");
    }
    for expectation in list(&report, "expectations") {
        assert!(expectation["says"].is_string() && expectation["found"].is_string(), "{expectation}");
        assert!(expectation["met"].is_boolean(), "{expectation}");
    }
}

#[test]
fn a_scenario_that_is_not_known_is_answered_with_those_that_are() {
    let (code, out, err) = run(&["demo", "--scenario", "google\u{1b}[31m"]);
    assert_eq!((code, out.as_str()), (2, ""));
    let all = "outage, yandex, tap-try-again, heavy-endpoint, no-jitter, double-charge, storage-failure, stuck-lock, poison, calm";
    assert!(err.contains("is not a scenario: expected one of") && err.contains(all), "{err}");
    assert!(!err.contains('\u{1b}'), "{err:?}");
}

#[test]
fn help_says_what_each_scenario_is_about() {
    let (code, out, _) = run(&["demo", "--help"]);
    assert_eq!(code, 0);
    for (scenario, about) in [("yandex", "rolled back after 10 min"), ("poison", "One item always fails")] {
        let line = out.lines().find(|line| line.trim_start().starts_with(scenario));
        assert!(line.is_some_and(|line| line.contains(about)), "{scenario}: {out}");
    }
}

#[test]
fn what_cannot_be_meant_together_is_wrong_usage() {
    for args in [
        &["demo", "--json"][..],
        &["demo", "--headless", "--interval", "2s"],
        &["demo", "--headless", "--time-factor", "0"],
        &["demo", "--scenario", "yandex", "--only", "upstreams", "--listen", "127.0.0.1:0"],
    ] {
        let (code, out, err) = run(args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
    }
}
