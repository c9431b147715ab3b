//! What a worker can run: the workflows it was given, by name and version. A worker claims nothing else, and tells it with
//! every sign of life. Pure; knows no definition, only what each says of itself.

use std::collections::{BTreeMap, HashMap};

use super::store::Direction;
use crate::domain::id::StateName;

/// The newest version of each workflow that a worker has, by name.
pub type Newest = BTreeMap<String, i32>;

/// The definitions of one worker: by name and version the states that each has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runs(HashMap<String, BTreeMap<i32, Vec<StateName>>>);

impl Runs {
    /// One more version of `workflow`, which has `states`.
    #[must_use]
    pub fn and(mut self, workflow: &str, version: i32, states: &[StateName]) -> Self {
        self.0.entry(workflow.to_owned()).or_default().insert(version, states.to_vec());
        self
    }

    /// The newest version of each workflow: a row of it, or of an older one, may be claimed.
    pub fn newest(&self) -> Newest {
        let newest = |versions: &BTreeMap<i32, _>| versions.last_key_value().map(|(version, _)| *version);
        self.0.iter().filter_map(|(name, versions)| Some((name.clone(), newest(versions)?))).collect()
    }

    /// The version that runs a row of `version` at `state`: its own, else the nearest newer one that has the state. Back
    /// goes any of them. `None`: a state that none of them has.
    pub fn version_for(
        &self,
        workflow: &str,
        version: i32,
        direction: Direction,
        state: &StateName,
    ) -> Option<i32> {
        let fits = |states: &[StateName]| direction == Direction::Back || states.contains(state);
        let mut newer = self.0.get(workflow)?.range(version..);
        newer.find(|(_, states)| fits(states)).map(|(version, _)| *version)
    }
}

/// Whether a worker that has `newest` may claim a row of `version`.
pub fn may_run(newest: &Newest, workflow: &str, version: i64) -> bool {
    newest.get(workflow).is_some_and(|has| i64::from(*has) >= version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs() -> Runs {
        let states = |names: &[&str]| names.iter().copied().map(StateName::from).collect::<Vec<_>>();
        Runs::default()
            .and("order", 1, &states(&["CHARGE", "SHIP"]))
            .and("order", 3, &states(&["CHARGE", "PACK"]))
            .and("refund", 2, &states(&["PAY"]))
    }

    #[test]
    fn the_newest_version_of_each_is_told() {
        assert_eq!(runs().newest(), Newest::from([("order".to_owned(), 3), ("refund".to_owned(), 2)]));
    }

    #[test]
    fn its_own_version_runs_a_row_or_the_nearest_newer_one_that_has_its_state() {
        let version = |workflow, version, direction, state: &str| {
            runs().version_for(workflow, version, direction, &state.into())
        };
        use Direction::{Back, Forward};
        assert_eq!(version("order", 1, Forward, "SHIP"), Some(1));
        assert_eq!(version("order", 1, Forward, "PACK"), Some(3), "only a newer one has it");
        assert_eq!(version("order", 2, Forward, "CHARGE"), Some(3));
        assert_eq!(version("order", 3, Forward, "SHIP"), None);
        assert_eq!(version("order", 3, Back, "SHIP"), Some(3), "whatever was recorded can be undone");
        assert_eq!(version("order", 4, Forward, "CHARGE"), None, "an older one runs no newer row");
        assert_eq!(version("letter", 1, Back, "SEND"), None);
    }

    #[test]
    fn a_row_newer_than_the_newest_or_of_an_unknown_name_may_not_be_claimed() {
        let newest = runs().newest();
        let may = [("order", 3), ("order", 4), ("letter", 1)]
            .map(|(name, version)| may_run(&newest, name, version));
        assert_eq!(may, [true, false, false]);
    }
}
