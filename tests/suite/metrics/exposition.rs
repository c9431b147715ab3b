//! Reading expositions: everything `prometheus-parse` gets wrong, case by case, and that nothing is lost unsaid.

use proptest::prelude::*;
use redrive::metrics::{
    exposition::{Exposition, Format, Kind, NotAnExposition, Sample, Warning, parse, parse_as},
    starts::Starts,
};

use super::fixture;

fn one(text: &str) -> Sample {
    let read = parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
    assert_eq!(read.warnings, [], "{text}");
    assert_eq!(read.samples.len(), 1, "{text}");
    read.samples.into_iter().next().expect("one")
}

fn label(text: &str, name: &str) -> String {
    one(text).labels.get(name).unwrap_or_else(|| panic!("{text} lost its label {name}")).to_owned()
}

fn kind_of(read: &Exposition, name: &str) -> Kind {
    read.samples.iter().find(|sample| sample.name == name).unwrap_or_else(|| panic!("no {name}")).kind
}

#[test]
fn empty_braces_are_no_labels() {
    let sample = one("envoy_server_live{} 1");
    assert_eq!((sample.name.as_str(), sample.value), ("envoy_server_live", 1.0));
    assert_eq!(sample.labels.iter().count(), 0);
}

#[test]
fn braces_within_a_label_value_belong_to_it() {
    assert_eq!(label(r#"requests{path="/users/{id}"} 3"#, "path"), "/users/{id}");
}

#[test]
fn a_comma_within_a_label_value_does_not_cut_it() {
    assert_eq!(label(r#"requests{q="a,b",z="c"} 3"#, "q"), "a,b");
}

#[test]
fn an_equals_sign_within_a_label_value_keeps_two_series_apart() {
    let read = parse("requests{q=\"a=1\"} 3\nrequests{q=\"a=2\"} 4").unwrap();
    let values: Vec<_> = read.samples.iter().map(|sample| sample.labels.get("q")).collect();
    assert_eq!(values, [Some("a=1"), Some("a=2")]);
}

#[test]
fn escapes_are_undone() {
    let text = r#"requests{m="say \"hi\", a\\b\nend",z="\q"} 3"#;
    assert_eq!(label(text, "m"), "say \"hi\", a\\b\nend");
    assert_eq!(label(text, "z"), "\\q", "what is no escape is left as it is");
}

#[test]
fn a_colon_belongs_to_a_name() {
    assert_eq!(one("job:requests:rate5m 0.5").name, "job:requests:rate5m");
}

#[test]
fn a_quoted_name_is_a_name() {
    let sample = one(r#"{"http.requests",code="200"} 7"#);
    assert_eq!((sample.name.as_str(), sample.labels.get("code")), ("http.requests", Some("200")));
}

#[test]
fn a_quote_that_never_ends_is_a_warning_with_its_line_and_the_rest_is_kept() {
    let read = parse("a 1\nb{x=\"y} 2\nc 3").unwrap();
    assert_eq!(read.warnings, [Warning { line: 2, reason: "a quote is not closed" }]);
    assert_eq!(read.samples.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["a", "c"]);
}

#[test]
fn every_malformed_line_is_a_warning_with_its_number() {
    let lines = [
        "a 1",
        "b{x=y} 2",
        "c",
        "d one",
        "5xx 1",
        "e{x=\"1\",x=\"2\"} 1",
        "f 1 soon",
        "g 1 2 3",
        "h{a=\"1\"",
        "z 9",
    ];
    let read = parse(&lines.join("\n")).unwrap();
    assert_eq!(read.warnings.iter().map(|w| w.line).collect::<Vec<_>>(), [2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(read.samples.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["a", "z"]);
}

#[test]
fn only_the_first_hundred_warnings_are_kept_but_all_are_counted() {
    let read = parse(&format!("a 1\n{}", "garbage\n".repeat(5_000))).unwrap();
    assert_eq!((read.warnings.len(), read.unreadable), (Exposition::MAX_WARNINGS, 5_000));
}

#[test]
fn an_html_page_is_an_error_that_says_so() {
    for page in ["<!DOCTYPE html><html><body>Sign in</body></html>", "\n  <HTML lang=\"en\">\n<p>up 1"] {
        let fault = parse(page).unwrap_err();
        assert_eq!(fault, NotAnExposition::Html);
        assert!(fault.to_string().contains("login page"), "{fault}");
    }
}

#[test]
fn something_without_a_single_metric_is_an_error_and_nothing_at_all_is_not() {
    let fault = parse("{\"status\": \"ok\"}").unwrap_err();
    assert!(matches!(fault, NotAnExposition::NoMetric { lines: 1, first: 1, .. }), "{fault}");
    assert_eq!(parse("").unwrap(), Exposition::default());
    assert_eq!(parse("# only a comment\n\n").unwrap(), Exposition::default());
}

#[test]
fn numbers_are_read_as_go_writes_them() {
    for (written, read) in [
        ("8312056.2000000001862645149231", 8_312_056.2),
        ("1.4E12", 1.4e12),
        ("+Inf", f64::INFINITY),
        ("-Inf", f64::NEG_INFINITY),
        ("-1", -1.0),
    ] {
        assert_eq!(one(&format!("m {written}")).value, read, "{written}");
    }
    assert!(one("m NaN").value.is_nan());
}

#[test]
fn a_trailing_comma_spaces_and_tabs_do_no_harm() {
    let sample = one("  m { a = \"1\" , b=\"2\", }\t 3 \r");
    assert_eq!((sample.labels.get("a"), sample.labels.get("b"), sample.value), (Some("1"), Some("2"), 3.0));
}

#[test]
fn timestamps_are_milliseconds_and_in_openmetrics_seconds() {
    let millis = |text: &str| one(text).timestamp.map(|at| at.timestamp_millis());
    assert_eq!(millis("m 3 1767225600123"), Some(1_767_225_600_123));
    assert_eq!(millis("m 3 1767225600.5\n# EOF\n"), Some(1_767_225_600_500));
    assert_eq!(millis("m 3 1767225600\n# EOF\n"), Some(1_767_225_600_000));
    assert_eq!(millis("m 3"), None);
}

#[test]
fn an_exemplar_is_left_out() {
    let sample = one("m_total{a=\"#1\"} 3 # {trace_id=\"x\"} 0.5 1767225600.1\n# EOF");
    assert_eq!((sample.labels.get("a"), sample.value, sample.timestamp), (Some("#1"), 3.0, None));
}

#[test]
fn exemplars_of_every_form_are_left_out() {
    for line in [
        "m_total 3 # {} 1",
        "m_total 3 1767225600 # {trace_id=\"a } # {\"} 0.5",
        "m_bucket{le=\"+Inf\"} 3 # {a=\"\\\"#\"} 1 1767225600.1",
    ] {
        assert_eq!(one(&format!("{line}\n# EOF")).value, 3.0, "{line}");
    }
}

#[test]
fn help_is_not_needed_and_type_may_stand_before_it_or_behind_the_samples() {
    for text in [
        "# TYPE m counter\nm 1",
        "# TYPE m counter\n# HELP m It counts.\nm 1",
        "# HELP m It \\\\ counts # TYPE m gauge\n# TYPE m counter\nm 1",
        "m 1\n# TYPE m counter",
        "#\tTYPE\tm\tcounter\nm 1",
    ] {
        assert_eq!(one(text).kind, Kind::Counter, "{text}");
    }
    assert_eq!(one("#TYPE m counter\nm 1").kind, Kind::Untyped, "that is a comment");
}

#[test]
fn a_bar_and_every_other_mark_within_a_label_value_belongs_to_it() {
    assert_eq!(label(r#"m{a="x|y = {z}, # \"q\" 1"} 3"#, "a"), "x|y = {z}, # \"q\" 1");
    assert_eq!(label(r#"m{a="ends with a backslash\\"} 3"#, "a"), "ends with a backslash\\");
}

#[test]
fn quoted_names_may_hold_anything_and_have_types() {
    let text = "# TYPE \"http.requests {é}\" counter\n{\"http.requests {é}\",\"a.b\"=\"c\"} 7";
    let sample = one(text);
    assert_eq!((sample.name.as_str(), sample.kind), ("http.requests {é}", Kind::Counter));
    assert_eq!(sample.labels.get("a.b"), Some("c"));
    assert_eq!(one("{\"m\"} 1").name, "m");
    assert!(parse("ok 1\nm{\"n\"} 1").unwrap().warnings[0].reason.contains("twice"));
}

#[test]
fn a_native_histogram_in_one_line_is_a_warning_and_its_classic_lines_are_read() {
    let text = "# TYPE h histogram\n\
                h {count:12,sum:3.5,schema:3,zero_threshold:1e-128,zero_count:2,positive_spans:[0:2],positive_deltas:[1,2]} 1767225600\n\
                h{a=\"b\"} {count:17,sum:324789.3,bucket:[0.1:8,+Inf:17]} st@1767225500 # {t=\"x\"} 1\n\
                h_bucket{le=\"+Inf\"} 12\nh_count 12\n# EOF\n";
    let read = parse(text).unwrap();
    assert_eq!(read.warnings.iter().map(|w| w.line).collect::<Vec<_>>(), [2, 3]);
    assert!(read.warnings[0].reason.contains("histogram"), "{:?}", read.warnings);
    assert_eq!(read.samples.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["h_bucket", "h_count"]);
}

#[test]
fn a_start_time_behind_the_value_does_no_harm() {
    assert_eq!(one("m_total 3 st@1767225600\n# EOF").timestamp, None);
    let sample = one("m_total 3 1767225601 st@1767225600.5\n# EOF");
    assert_eq!(sample.timestamp.map(|at| at.timestamp()), Some(1_767_225_601));
}

#[test]
fn a_timestamp_that_is_no_time_is_a_warning() {
    let read = parse("a 1\nb 2 1e300\nc 3 NaN\nd 4 -99999999999999999999").unwrap();
    assert_eq!(read.warnings.iter().map(|w| w.line).collect::<Vec<_>>(), [2, 3, 4]);
}

#[test]
fn openmetrics_is_told_by_its_content_type_or_its_end() {
    let openmetrics = Some("application/openmetrics-text; version=1.0.0; charset=utf-8");
    for (content_type, text, format) in [
        (openmetrics, "m 1\n", Format::OpenMetrics),
        (Some("text/plain; version=0.0.4"), "m 1\n# EOF\n", Format::OpenMetrics),
        (Some("text/plain; version=0.0.4"), "m 1\n", Format::Text),
        (None, "m{a=\"# EOF\"} 1 # EOF", Format::Text),
        (None, "", Format::Text),
    ] {
        assert_eq!(Format::of(content_type, text), format, "{content_type:?} {text}");
    }
}

#[test]
fn openmetrics_that_was_cut_off_says_so_and_keeps_the_rest() {
    let read = parse_as(Format::OpenMetrics, "a 1 1767225600\nb_total 2").unwrap();
    assert_eq!(read.samples.len(), 2);
    assert_eq!(read.samples[0].timestamp.map(|at| at.timestamp()), Some(1_767_225_600));
    assert!(read.warnings[0].reason.contains("cut off"), "{:?}", read.warnings);
}

#[test]
fn a_line_of_a_million_labels_is_read_or_refused_at_once() {
    let labels = |same: bool| -> String {
        (0..200_000).map(|n| format!("l{}=\"\",", if same { 0 } else { n })).collect()
    };
    assert_eq!(one(&format!("m{{{}}} 1", labels(false))).labels.iter().count(), 200_000);
    let read = parse(&format!("ok 1\nm{{{}}} 1", labels(true))).unwrap();
    assert_eq!(read.warnings, [Warning { line: 2, reason: "a label is given twice" }]);
}

#[test]
fn created_lines_say_when_counters_began() {
    let read = parse(
        "# TYPE calls counter\ncalls_total{op=\"a\"} 3\ncalls_created{op=\"a\"} 1767225600.25\ncalls_total{op=\"b\"} 4\n\
         # TYPE took histogram\ntook_bucket{op=\"a\",le=\"1\"} 2\ntook_bucket{op=\"a\",le=\"+Inf\"} 3\n\
         took_count{op=\"a\"} 3\ntook_sum{op=\"a\"} 3\ntook_created{op=\"a\"} 1767225601\n\
         # TYPE size summary\nsize{quantile=\"0.5\"} 1\nsize_count 2\nsize_created 1767225602\n# EOF\n",
    )
    .unwrap();
    let starts = Starts::of(&read.samples);
    let told: Vec<_> = read.samples.iter().map(|sample| (sample.name.as_str(), starts.get(sample))).collect();
    let took = Some(1_767_225_601.0);
    assert_eq!(
        told,
        [
            ("calls_total", Some(1_767_225_600.25)),
            ("calls_created", None),
            ("calls_total", None),
            ("took_bucket", took),
            ("took_bucket", took),
            ("took_count", took),
            ("took_sum", took),
            ("took_created", None),
            ("size", Some(1_767_225_602.0)),
            ("size_count", Some(1_767_225_602.0)),
            ("size_created", None),
        ]
    );
}

#[test]
fn a_number_of_things_created_is_no_start_time() {
    let read = parse(
        "# TYPE orders_created counter\norders_created 1767225600\norders_total 3\n\
         # TYPE pods_created gauge\npods_created 12\npods_total 3\n",
    )
    .unwrap();
    let starts = Starts::of(&read.samples);
    assert!(read.samples.iter().all(|sample| starts.get(sample).is_none()));
}

#[test]
fn the_text_formats_start_times_are_gauges_of_their_own() {
    // As Python's client writes them.
    let text = "# TYPE calls_total counter\ncalls_total 3.0\n# TYPE calls_created gauge\ncalls_created 1.7672256e+09\n";
    let read = parse(text).unwrap();
    assert_eq!(Starts::of(&read.samples).get(&read.samples[0]), Some(1_767_225_600.0));
}

#[test]
fn a_counter_is_known_by_its_type_line_even_if_that_lacks_the_total() {
    let read = parse("# TYPE m counter\nm_total 3\nm_created 5\n# EOF").unwrap();
    assert_eq!(kind_of(&read, "m_total"), Kind::Counter);
    assert_eq!(kind_of(&read, "m_created"), Kind::Gauge);
    let linkerd = parse(&fixture("linkerd-proxy.prom")).unwrap();
    assert_eq!(kind_of(&linkerd, "outbound_http_route_retry_requests_total"), Kind::Counter);
}

#[test]
fn a_suffix_alone_makes_no_counter() {
    let asynq = parse(&fixture("asynq.prom")).unwrap();
    assert_eq!(kind_of(&asynq, "asynq_tasks_enqueued_total"), Kind::Gauge);
    assert_eq!(kind_of(&parse("m_total 3").unwrap(), "m_total"), Kind::Untyped);
    assert_eq!(kind_of(&parse("# TYPE m gauge\nm_total 3").unwrap(), "m_total"), Kind::Untyped);
}

#[test]
fn a_counter_needs_no_suffix_and_histograms_and_summaries_type_their_parts() {
    let envoy = parse(&fixture("envoy.t0.prom")).unwrap();
    assert_eq!(kind_of(&envoy, "envoy_cluster_upstream_rq_retry"), Kind::Counter);
    assert_eq!(kind_of(&envoy, "envoy_cluster_upstream_rq_time_bucket"), Kind::Histogram);
    let resilience4j = parse(&fixture("resilience4j.t0.prom")).unwrap();
    assert_eq!(kind_of(&resilience4j, "resilience4j_circuitbreaker_calls_seconds_count"), Kind::Summary);
}

#[test]
fn every_sample_of_every_real_dump_is_read() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/metrics");
    let mut dumps = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "prom") {
            dumps += 1;
            let text = std::fs::read_to_string(&path).unwrap();
            let read = parse(&text).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
            assert_eq!(read.warnings, [], "{}", path.display());
            let written = text.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#')).count();
            assert_eq!(read.samples.len(), written, "{}", path.display());
        }
    }
    assert!(dumps >= 10, "the dumps were found");
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

proptest! {
    #[test]
    fn any_label_value_comes_back_as_it_was(values in prop::collection::vec("(?s).{0,12}|[\"\\\\={},\n#]{0,8}", 1..5)) {
        let labels: Vec<String> =
            values.iter().enumerate().map(|(i, value)| format!("l{i}=\"{}\"", escaped(value))).collect();
        // A line break other than \n is not escaped by the format, and lines end only at \n.
        prop_assume!(!values.iter().any(|value| value.ends_with('\r')));
        let read = parse(&format!("m{{{}}} 4", labels.join(","))).unwrap();
        prop_assert_eq!(&read.warnings, &[]);
        for (i, value) in values.iter().enumerate() {
            prop_assert_eq!(read.samples[0].labels.get(&format!("l{i}")), Some(value.as_str()));
        }
    }

    #[test]
    fn no_text_makes_it_panic_and_no_line_is_lost_unsaid(
        lines in prop::collection::vec("[a-z_:{}\"=,\\\\ 0-9.#+-]{0,40}|.{0,20}", 0..12),
    ) {
        let text = format!("known 1\n{}", lines.join("\n"));
        if let Ok(read) = parse(&text) {
            let said = text.lines().filter(|l| !l.trim().is_empty() && !l.trim().starts_with('#')).count();
            prop_assert_eq!(read.samples.len() + read.unreadable, said);
        }
    }
}
