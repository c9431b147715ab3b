//! What our own processes export, read back by our own reader.

use std::time::Duration;

use redrive::{
    domain::{
        circuit::{CircuitState, Forced},
        letter::{LetterReason, LetterStatus, ReplayOutcome},
        onboarding::Status,
    },
    engine::{
        observer::{AttemptKind, CallAttemptOutcome, CallOutcome, Denial, KeyOutcome, Observer},
        store::Gauges,
    },
    metrics::{
        export::{MAX_KEYS, Metrics},
        exposition::{Exposition, Kind, parse},
    },
};

const HOOK: &str = "github.create_hook";

/// Everything happens once, told as the engine tells it.
fn busy() -> Metrics {
    let metrics = Metrics::new();
    let second = Duration::from_secs(1);
    metrics.call_ended(HOOK, CallOutcome::Failed);
    metrics.attempt_ended(HOOK, AttemptKind::First, CallAttemptOutcome::Timeout, second);
    metrics.attempt_ended(HOOK, AttemptKind::Retry, CallAttemptOutcome::Success, second);
    metrics.retry_denied(HOOK, Denial::Budget);
    metrics.retry_delayed(HOOK, second);
    metrics.budget_remaining(HOOK, 0.25);
    metrics.circuit(HOOK, CircuitState::HalfOpen, None);
    metrics.key_asked("onboard", KeyOutcome::New);
    metrics.key_asked("onboard", KeyOutcome::Replayed);
    metrics.storage_failed("0192aabbccddeeff");
    metrics.letter_written(HOOK, LetterReason::Exhausted);
    metrics.state_ended("CONFIGURING_SYNC", second);
    metrics.lease_lost();
    metrics.late(second);
    metrics.shed();
    metrics.replay_item_ended(ReplayOutcome::Succeeded);
    metrics
        .gauges(&Gauges { onboardings: vec![(Status::Failed, 12)], letters: vec![(LetterStatus::Open, 37)] });
    metrics
}

fn read(metrics: &Metrics) -> Exposition {
    let read = parse(&metrics.encode()).expect("our own export can be read");
    assert_eq!(read.warnings, []);
    read
}

fn value(read: &Exposition, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let fits = |sample: &&redrive::metrics::exposition::Sample| {
        sample.name == name && labels.iter().all(|(label, value)| sample.labels.get(label) == Some(value))
    };
    read.samples.iter().find(fits).map(|sample| sample.value)
}

#[test]
fn every_metric_of_the_table_comes_out_under_its_name_with_its_type_and_labels() {
    let read = read(&busy());
    for (name, kind, labels) in [
        ("redrive_calls_total", Kind::Counter, &["operation", "outcome"][..]),
        ("redrive_attempts_total", Kind::Counter, &["kind", "operation", "outcome"]),
        ("redrive_retries_denied_total", Kind::Counter, &["operation", "reason"]),
        ("redrive_retry_delay_seconds_count", Kind::Histogram, &["operation"]),
        ("redrive_attempt_seconds_count", Kind::Histogram, &["operation"]),
        ("redrive_retry_budget_remaining_ratio", Kind::Gauge, &["operation"]),
        ("redrive_circuit_state", Kind::Gauge, &["circuit", "state"]),
        ("redrive_idempotency_requests_total", Kind::Counter, &["operation", "outcome"]),
        ("idempotency_storage_failure_total", Kind::Counter, &["key"]),
        ("redrive_idempotency_hit_ratio", Kind::Gauge, &["operation"]),
        ("redrive_letters", Kind::Gauge, &["status"]),
        ("redrive_letters_total", Kind::Counter, &["operation", "reason"]),
        ("redrive_onboardings", Kind::Gauge, &["status"]),
        ("redrive_state_seconds_count", Kind::Histogram, &["state"]),
        ("redrive_lease_lost_total", Kind::Counter, &[]),
        ("redrive_work_late_seconds", Kind::Gauge, &[]),
        ("redrive_intake_shed_total", Kind::Counter, &[]),
        ("redrive_replay_items_total", Kind::Counter, &["outcome"]),
    ] {
        let sample = read.samples.iter().find(|sample| sample.name == name);
        let sample = sample.unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(sample.kind, kind, "{name}");
        assert_eq!(sample.labels.iter().map(|(label, _)| label).collect::<Vec<_>>(), labels, "{name}");
    }
}

#[test]
fn no_two_families_share_a_name_and_every_type_line_names_its_samples() {
    let text = busy().encode();
    let mut families: Vec<&str> =
        text.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let all = families.len();
    families.sort_unstable();
    families.dedup();
    assert_eq!(families.len(), all);
    assert!(
        text.contains("# TYPE redrive_letters gauge\n")
            && text.contains("# TYPE redrive_letters_total counter\n")
    );
    assert!(!text.contains("# EOF"), "that mark belongs to the other format");
}

#[test]
fn what_was_counted_is_what_is_read() {
    let read = read(&busy());
    let retry = [("operation", HOOK), ("kind", "retry"), ("outcome", "success")];
    assert_eq!(value(&read, "redrive_attempts_total", &retry), Some(1.0));
    assert_eq!(value(&read, "redrive_retry_budget_remaining_ratio", &[("operation", HOOK)]), Some(0.25));
    assert_eq!(value(&read, "redrive_idempotency_hit_ratio", &[("operation", "onboard")]), Some(0.5));
    assert_eq!(value(&read, "redrive_onboardings", &[("status", "failed")]), Some(12.0));
    assert_eq!(value(&read, "redrive_onboardings", &[("status", "completed")]), Some(0.0));
    assert_eq!(value(&read, "redrive_letters", &[("status", "open")]), Some(37.0));
}

#[test]
fn a_circuit_is_in_exactly_one_state_and_forced_wins() {
    let metrics = busy();
    let state = |metrics: &Metrics| {
        let read = read(metrics);
        let on = read.samples.iter().filter(|s| s.name == "redrive_circuit_state" && s.value > 0.0);
        on.map(|sample| sample.labels.get("state").unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(state(&metrics), ["half_open"]);
    metrics.circuit(HOOK, CircuitState::Closed, Some(Forced::Open));
    assert_eq!(state(&metrics), ["forced_open"]);
    metrics.circuit(HOOK, CircuitState::Closed, None);
    assert_eq!(state(&metrics), ["closed"]);
}

#[test]
fn a_storage_failure_names_the_beginning_of_the_clients_key() {
    let read = read(&busy());
    assert_eq!(value(&read, "idempotency_storage_failure_total", &[("key", "0192aabb")]), Some(1.0));
}

#[test]
fn after_a_hundred_different_keys_the_rest_is_other() {
    let metrics = Metrics::new();
    for n in 0..MAX_KEYS + 50 {
        metrics.storage_failed(&format!("{n:08}-tail"));
    }
    metrics.storage_failed("00000000-tail");
    let read = read(&metrics);
    let keys = read.samples.iter().filter(|s| s.name == "idempotency_storage_failure_total").count();
    assert_eq!(keys, MAX_KEYS + 1);
    assert_eq!(value(&read, "idempotency_storage_failure_total", &[("key", "other")]), Some(50.0));
    assert_eq!(value(&read, "idempotency_storage_failure_total", &[("key", "00000000")]), Some(2.0));
}

#[test]
fn hostile_label_values_survive_the_round_trip() {
    let metrics = Metrics::new();
    let operation = "say \"hi\" \\ {a=\"b\",c}\n# EOF";
    metrics.call_ended(operation, CallOutcome::Success);
    metrics.storage_failed("\"\\\n{},=");
    let read = read(&metrics);
    assert_eq!(value(&read, "redrive_calls_total", &[("operation", operation)]), Some(1.0));
    assert_eq!(value(&read, "idempotency_storage_failure_total", &[("key", "\"\\\n{},=")]), Some(1.0));
}
