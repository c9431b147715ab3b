//! Load and goodput over time as two lines of text, in ASCII: they are pasted into tickets.

use super::record::{Outcome, Report};

/// From nothing to the most.
const RAMP: &[u8] = b" .:-=+*#";
/// A chart is at most so many characters wide.
const WIDTH: usize = 72;

/// The charts of `report`, a load and a goodput line for each policy; loads share one scale, so that they compare.
pub fn chart(report: &Report) -> String {
    let buckets = report.policies.iter().map(|policy| policy.load.len()).max().unwrap_or(0);
    let per_column = buckets.div_ceil(WIDTH).max(1);
    let loads: Vec<Vec<f64>> = report.policies.iter().map(|policy| load(policy, per_column)).collect();
    let most = loads.iter().flatten().copied().fold(0.0, f64::max);
    let names = report.policies.iter().map(|policy| policy.policy.len()).max().unwrap_or(0);
    let column = report.bucket_seconds * per_column as f64;
    let mut text = format!("each column is {column} s; load up to {:.0} requests a second", most / column);
    for (policy, load) in report.policies.iter().zip(&loads) {
        let line = |values: &mut dyn Iterator<Item = Option<f64>>| values.map(shade).collect::<String>();
        let load = line(&mut load.iter().map(|load| Some(load / most.max(1.0))));
        let goodput = line(&mut goodput(policy, per_column).into_iter());
        let name = policy.policy;
        text.push_str(&format!("\n{name:names$}  load    |{load}|\n{:names$}  goodput |{goodput}|", ""));
    }
    text
}

fn load(policy: &Outcome, per_column: usize) -> Vec<f64> {
    policy.load.chunks(per_column).map(|chunk| chunk.iter().sum::<u64>() as f64).collect()
}

fn goodput(policy: &Outcome, per_column: usize) -> Vec<Option<f64>> {
    let mean = |chunk: &[Option<f64>]| {
        let known: Vec<f64> = chunk.iter().copied().flatten().collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    };
    policy.goodput_over_time.chunks(per_column).map(mean).collect()
}

/// The least that is not nothing has a mark of its own, and so has only the most.
fn shade(share: Option<f64>) -> char {
    let top = RAMP.len() - 1;
    let step = share.map_or(0, |share| (share * top as f64).floor().clamp(0.0, top as f64) as usize);
    let step = if share.is_some_and(|share| share > 0.0) { step.max(1) } else { step };
    char::from(RAMP[step])
}

#[cfg(test)]
mod tests {
    use super::shade;

    #[test]
    fn nothing_is_blank_and_only_everything_is_full() {
        let shades: String =
            [None, Some(0.0), Some(0.001), Some(0.5), Some(0.99), Some(1.0)].map(shade).iter().collect();
        assert_eq!(shades, "  .-*#");
    }
}
