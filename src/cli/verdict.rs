//! The config file's `[verdict]`: the lines of the rule table. What it does not say stays as it comes.

use serde::Deserialize;

use super::config_file::{ConfigFile, Time};
use crate::metrics::verdict::Rules;

/// See [`Rules`]; times are those of a window at normal speed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileVerdict {
    elevated_ratio: Option<f64>,
    elevated_times: Option<f64>,
    elevated_retries: Option<f64>,
    storm_ratio: Option<f64>,
    storm_times: Option<f64>,
    storm_retries: Option<f64>,
    storm_surely: Option<f64>,
    poor_efficacy: Option<f64>,
    poor_goodput: Option<f64>,
    good_efficacy: Option<f64>,
    highest_baseline: Option<f64>,
    stuck_drift: Option<f64>,
    stuck_fall: Option<f64>,
    confirmations: Option<u32>,
    cooling: Option<u32>,
    window: Option<Time>,
    baseline_over: Option<Time>,
    stuck_after: Option<Time>,
    stale_after: Option<Time>,
}

/// The rules of `file`, at the speed of its engine.
///
/// # Errors
/// A share outside of 0 to 1, or a number or a time out of range, with its line.
pub(super) fn rules(file: &ConfigFile, time_factor: f64) -> anyhow::Result<Rules> {
    let (values, default) = (&file.values.verdict, Rules::default());
    let within = |name: &str, said: Option<f64>, default: f64, most: f64| match said {
        Some(value) if !(0.0..=most).contains(&value) => {
            let said = format!("{name} is {value}: between 0 and {most} is expected");
            Err(file.wrong(&["verdict", name], &said))
        }
        said => Ok(said.unwrap_or(default)),
    };
    let share = |name, said, default| within(name, said, default, 1.0);
    let number = |name, said, default| within(name, said, default, 1_000_000.0);
    let evaluations = |name: &str, said: Option<u32>, default: u32| match said {
        Some(count) if !(1..=100).contains(&count) => {
            let said = format!("{name} is {count}: between 1 and 100 evaluations is expected");
            Err(file.wrong(&["verdict", name], &said))
        }
        said => Ok(said.unwrap_or(default)),
    };
    let time = |name: &str, said: Option<Time>, default| match said {
        Some(Time(time)) if !(5..=86_400).contains(&time.as_secs()) => {
            let said =
                format!("{name} is {}: between 5s and 1day is expected", humantime::format_duration(time));
            Err(file.wrong(&["verdict", name], &said))
        }
        said => Ok(said.map_or(default, |time| time.0)),
    };
    Ok(Rules {
        elevated_ratio: share("elevated_ratio", values.elevated_ratio, default.elevated_ratio)?,
        elevated_times: number("elevated_times", values.elevated_times, default.elevated_times)?,
        elevated_retries: number("elevated_retries", values.elevated_retries, default.elevated_retries)?,
        storm_ratio: share("storm_ratio", values.storm_ratio, default.storm_ratio)?,
        storm_times: number("storm_times", values.storm_times, default.storm_times)?,
        storm_retries: number("storm_retries", values.storm_retries, default.storm_retries)?,
        storm_surely: share("storm_surely", values.storm_surely, default.storm_surely)?,
        poor_efficacy: share("poor_efficacy", values.poor_efficacy, default.poor_efficacy)?,
        poor_goodput: share("poor_goodput", values.poor_goodput, default.poor_goodput)?,
        good_efficacy: share("good_efficacy", values.good_efficacy, default.good_efficacy)?,
        highest_baseline: share("highest_baseline", values.highest_baseline, default.highest_baseline)?,
        stuck_drift: share("stuck_drift", values.stuck_drift, default.stuck_drift)?,
        stuck_fall: share("stuck_fall", values.stuck_fall, default.stuck_fall)?,
        confirmations: evaluations("confirmations", values.confirmations, default.confirmations)?,
        cooling: evaluations("cooling", values.cooling, default.cooling)?,
        window: time("window", values.window, default.window)?,
        baseline_over: time("baseline_over", values.baseline_over, default.baseline_over)?,
        stuck_after: time("stuck_after", values.stuck_after, default.stuck_after)?,
        stale_after: time("stale_after", values.stale_after, default.stale_after)?,
        time_factor,
        ..default
    })
}
