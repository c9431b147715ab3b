//! Beginning a row of a workflow of one's own.

use serde::Serialize;

use super::{
    command::{Command, Refusal},
    workflow::Workflow,
};
use crate::domain::{
    id::StateName,
    onboarding::{InvalidRequest, Request, State, WORKFLOW, unfit},
};

impl Command {
    /// Begins `workflow` about `subject` of `tenant`, with `input` as what its first state reads. One row that is live or
    /// completed stands for workflow, tenant and subject: asked again, it is answered as a trigger is, and `input`
    /// does not count.
    ///
    /// # Errors
    /// When `input` cannot be written as JSON.
    pub fn begin(
        workflow: &dyn Workflow,
        tenant: &str,
        subject: &str,
        input: &impl Serialize,
    ) -> Result<Self, Refusal> {
        let wrong = |error: serde_json::Error| invalid("the input", format!("cannot be JSON: {error}"));
        Ok(Self::Begin {
            workflow: workflow.name().to_owned(),
            version: workflow.version(),
            state: workflow.states().first().cloned().unwrap_or_else(|| "".into()),
            request: Request::about(tenant, subject),
            input: serde_json::to_value(input).map_err(wrong)?,
        })
    }
}

fn invalid(part: &'static str, why: String) -> Refusal {
    Refusal::Invalid(InvalidRequest::Begin { part, why })
}

/// Whether a row of `workflow` can begin so.
pub(super) fn check(workflow: &str, state: &StateName, request: &Request) -> Result<(), Refusal> {
    if workflow == WORKFLOW {
        return Err(invalid(
            "its name",
            format!("is {WORKFLOW}, which is begun by a trigger: choose another"),
        ));
    }
    if state.as_str() == State::RollingBack.as_str() {
        return Err(invalid(
            "its first state",
            format!("is {state}, which every workflow has: choose another"),
        ));
    }
    let parts = [
        ("its name", workflow, 200),
        ("its first state", state.as_str(), 200),
        ("the tenant", request.tenant_id.as_str(), 200),
        ("the subject", request.subject(), 400),
    ];
    for (part, text, longest) in parts {
        if let Some(found) = unfit(text, longest) {
            let why = format!(
                "is {found}: give between 1 and {longest} characters, none of them control characters"
            );
            return Err(invalid(part, why));
        }
    }
    Ok(())
}
