//! Which definition runs a claimed row: the version it was claimed for, else none, and then in words. Which that is stands
//! in `Runs`.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;

use crate::{
    domain::{
        fault::Fault,
        id::{OnboardingId, StateName},
        onboarding::Request,
    },
    engine::{
        call::StepCalls,
        runs::Runs,
        store::{Claimed, Compensation, StepDone},
        workflow::{Step, StepPolicy, Undone, Workflow},
    },
    resilience::backoff::{Backoff, Jitter},
};

/// Long enough for another worker to take it, or for one that can run it to be deployed.
const SLOWLY: Duration = Duration::from_secs(60);

/// The definitions of one worker, by name and version, and what the store is told of them.
pub(super) struct Definitions {
    all: HashMap<&'static str, BTreeMap<i32, Arc<dyn Workflow>>>,
    runs: Runs,
}

impl Definitions {
    pub(super) fn new(workflows: Vec<Arc<dyn Workflow>>) -> Self {
        let mut all: HashMap<_, BTreeMap<_, _>> = HashMap::new();
        let mut runs = Runs::default();
        for workflow in workflows {
            runs = runs.and(workflow.name(), workflow.version(), workflow.states());
            all.entry(workflow.name()).or_default().insert(workflow.version(), workflow);
        }
        Self { all, runs }
    }

    /// What this worker claims.
    pub(super) fn runs(&self) -> &Runs {
        &self.runs
    }

    /// What runs `work`. A state that none of them has was written by others.
    pub(super) fn of(&self, work: &Claimed) -> Arc<dyn Workflow> {
        let (name, version) = (work.workflow.as_str(), work.workflow_version);
        let version = self.runs.version_for(name, version, work.direction, &work.state);
        let versions = self.all.get(name);
        match version.and_then(|version| versions?.get(&version)) {
            Some(found) => Arc::clone(found),
            None => Arc::new(Missing::of(work, versions)),
        }
    }
}

/// Stands where a definition should: every attempt fails and says so, few and slow, and the last one in a letter.
struct Missing {
    states: [StateName; 1],
    why: String,
}

impl Missing {
    fn of(work: &Claimed, versions: Option<&BTreeMap<i32, Arc<dyn Workflow>>>) -> Self {
        let (name, version, state) = (&work.workflow, work.workflow_version, &work.state);
        let has = match versions {
            None => "no workflow of that name".to_owned(),
            Some(all) => {
                let all: Vec<String> = all.keys().map(i32::to_string).collect();
                format!("only its version {}", all.join(", "))
            }
        };
        let why = format!(
            "cannot run the workflow {name} version {version} at {state}: this worker has {has}; \
             deploy workers that have it, then replay the letter"
        );
        Self { states: [state.clone()], why }
    }

    fn fault(&self) -> Fault {
        Fault::transient(self.why.clone())
    }
}

#[async_trait]
impl Workflow for Missing {
    fn name(&self) -> &'static str {
        "missing"
    }

    fn version(&self) -> i32 {
        0
    }

    fn states(&self) -> &[StateName] {
        &self.states
    }

    fn policy(&self, _: &StateName) -> StepPolicy {
        let backoff = Backoff { base: SLOWLY, cap: SLOWLY, jitter: Jitter::Equal };
        StepPolicy { backoff, ..StepPolicy::default() }
    }

    fn undo_policy(&self) -> StepPolicy {
        self.policy(&self.states[0])
    }

    async fn run(&self, _: Step<'_>) -> Result<StepDone, Fault> {
        Err(self.fault())
    }

    async fn undo(
        &self,
        _: &OnboardingId,
        _: &Request,
        _: &Compensation,
        _: &StepCalls,
    ) -> Result<Undone, Fault> {
        Err(self.fault())
    }
}
