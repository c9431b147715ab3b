//! The pipeline as the engine runs it: what each state does, how it is tried, what it may leave behind and how that
//! is undone.
//!
//! Every state computes what it lacks, so that an onboarding others began can be resumed wherever it stands.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{
    context::Context,
    made::Made,
    notify::Announcement,
    upstreams::{Clients, HOOK, NOTIFICATION, Reading},
};
use crate::{
    domain::{
        attempt::CompensationStatus,
        fault::Fault,
        id::{OnboardingId, StateName},
        onboarding::{Request, State, WORKFLOW, WORKFLOW_VERSION, sha256_hex},
    },
    engine::{
        call::StepCalls,
        key::KeyIntent,
        store::{Compensation, Intent, Opening, Settled, StepDone, Write},
        workflow::{OnExhaustion, Step, StepPolicy, Undone, Workflow},
    },
    resilience::backoff::{Backoff, Jitter},
};

/// The intent that stands for everything an onboarding registers.
const ENTITIES: &str = "entities";

/// The subtask of telling somebody.
const ANNOUNCEMENT: &str = "announcement";

/// The nine-state pipeline over the upstreams it was given.
pub struct Pipeline {
    clients: Clients,
    states: Vec<StateName>,
}

impl Pipeline {
    /// A pipeline that talks to the upstreams of `clients`.
    pub fn new(clients: Clients) -> Self {
        Self { clients, states: State::FORWARD.map(State::name).to_vec() }
    }
}

/// Every operation the pipeline calls.
pub const OPERATIONS: [&str; 12] = [
    "github.repository",
    "github.tree",
    "github.contents",
    "github.list_hooks",
    "github.create_hook",
    "github.delete_hook",
    "tfc.workspace",
    "tfc.resources",
    "tfc.list_notifications",
    "tfc.create_notification",
    "tfc.delete_notification",
    "notify.send",
];

/// The table of the states; ROLLING_BACK's row is one compensation's.
pub fn policy(state: State) -> StepPolicy {
    let seconds = Duration::from_secs;
    let (attempts, base, cap, timeout) = match state {
        State::Received => (1, 0, 0, 1),
        State::Validating => (1, 0, 0, 10),
        State::Discovering => (3, 2, 30, 60),
        State::Extracting => (3, 1, 15, 30),
        State::Generating => (3, 1, 10, 20),
        State::Registering => (5, 2, 60, 30),
        State::ConfiguringSync => (3, 2, 30, 30),
        State::Notifying => (2, 1, 5, 10),
        State::RollingBack => (5, 3, 60, 60),
    };
    StepPolicy {
        attempts,
        backoff: Backoff { base: seconds(base), cap: seconds(cap), jitter: Jitter::Full },
        timeout: seconds(timeout),
        on_exhaustion: match state {
            State::Notifying => OnExhaustion::GoOn,
            _ => OnExhaustion::Fail,
        },
    }
}

/// What a key protects, and the request it stands for.
fn key(onboarding: &OnboardingId, operation: &str, request: &Value) -> Option<KeyIntent> {
    let request_hash = sha256_hex(request.to_string().as_bytes());
    // An id of ours always fits; one that others made up may not, and then goes without.
    KeyIntent::new(operation, onboarding.as_str(), request_hash).ok()
}

#[async_trait]
impl Workflow for Pipeline {
    fn name(&self) -> &'static str {
        WORKFLOW
    }

    fn version(&self) -> i32 {
        WORKFLOW_VERSION
    }

    fn states(&self) -> &[StateName] {
        &self.states
    }

    fn policy(&self, state: &StateName) -> StepPolicy {
        policy(state.as_str().parse().unwrap_or(State::Validating))
    }

    fn undo_policy(&self) -> StepPolicy {
        policy(State::RollingBack)
    }

    fn opening(
        &self,
        onboarding: &OnboardingId,
        request: &Request,
        state: &StateName,
        context: &Value,
    ) -> Opening {
        let Ok(state) = state.as_str().parse::<State>() else { return Opening::default() };
        match state {
            State::Registering => {
                let intents = vec![Intent::new("catalog.unregister", ENTITIES, json!({}))];
                Opening { intents, ..Opening::default() }
            }
            State::ConfiguringSync => {
                let before = Context::read(context).before.unwrap_or_default();
                let mut opening = Opening::default();
                if let Some(workspace) = &request.workspace_id {
                    let args = json!({
                        "workspace": workspace, "url": self.clients.callback(), "before": before.notification,
                    });
                    opening.keys.extend(key(onboarding, "tfc.create_notification", &args));
                    let resource = format!("{workspace} {}", self.clients.callback());
                    let intent = Intent::new("tfc.delete_notification", NOTIFICATION, args);
                    opening.intents.push(intent.on(resource));
                }
                if let Ok((owner, name)) = request.repository() {
                    let args = json!({
                        "owner": owner, "name": name, "url": self.clients.callback(), "before": before.hook,
                    });
                    opening.keys.extend(key(onboarding, "github.create_hook", &args));
                    let resource = format!("{owner}/{name} {}", self.clients.callback()).to_lowercase();
                    let intent = Intent::new("github.delete_hook", HOOK, args);
                    opening.intents.push(intent.on(resource));
                }
                opening
            }
            State::Notifying => {
                let args = json!({ "onboarding": onboarding, "request": request });
                Opening {
                    intents: Vec::new(),
                    keys: key(onboarding, "notify.send", &args).into_iter().collect(),
                }
            }
            _ => Opening::default(),
        }
    }

    async fn run(&self, step: Step<'_>) -> Result<StepDone, Fault> {
        step.request.validate().map_err(|error| Fault::permanent(error.to_string()))?;
        let state: State =
            step.state.as_str().parse().map_err(|_| {
                Fault::permanent(format!("the onboarding pipeline has no state {}", step.state))
            })?;
        let mut context = Context::read(step.context);
        let reading = Reading { clients: &self.clients, request: step.request, calls: step.calls };
        let mut done = StepDone::default();
        match state {
            State::Received | State::RollingBack => {}
            State::Validating => reading.validate(&mut context).await?,
            State::Discovering => reading.discover(&mut context).await?,
            State::Extracting => reading.extract(&mut context).await?,
            State::Generating => reading.generate(&mut context).await?,
            State::Registering => self.register(&reading, &mut context, &mut done).await?,
            State::ConfiguringSync => self.configure_sync(&step, &reading, &context, &mut done).await?,
            State::Notifying => self.announce(&step, &context, &mut done).await?,
        }
        done.context = context.written(step.context);
        Ok(done)
    }

    async fn undo(
        &self,
        _onboarding: &OnboardingId,
        _request: &Request,
        compensation: &Compensation,
        calls: &StepCalls,
    ) -> Result<Undone, Fault> {
        let args = &compensation.args;
        let text = |name: &str| args.get(name).and_then(Value::as_str);
        let was_there = |id: &str| text("before") == Some(id);
        match compensation.operation.as_str() {
            "catalog.unregister" => Ok(Undone::Undone(vec![Write::Unregister])),
            "tfc.delete_notification" => {
                let workspace = text("workspace").unwrap_or_default();
                let id = match text("id") {
                    Some(id) => Some(id.to_owned()),
                    // The effect was announced, its outcome never learnt: look. What stood before is not ours.
                    None => {
                        self.clients.find_notification(calls, workspace).await?.filter(|id| !was_there(id))
                    }
                };
                let Some(id) = id else { return Ok(Undone::NothingToUndo) };
                self.clients.tfc.delete_notification(calls, &id).await?;
                Ok(Undone::Undone(Vec::new()))
            }
            "github.delete_hook" => {
                let (owner, name) = (text("owner").unwrap_or_default(), text("name").unwrap_or_default());
                let id = match text("id") {
                    Some(id) => Some(id.to_owned()),
                    None => self.clients.find_hook(calls, owner, name).await?.filter(|id| !was_there(id)),
                };
                let Some(id) = id else { return Ok(Undone::NothingToUndo) };
                self.clients.github.delete_hook(calls, owner, name, &id).await?;
                Ok(Undone::Undone(Vec::new()))
            }
            other => Err(Fault::permanent(format!("this version does not know how to undo {other}"))),
        }
    }

    fn unrecorded_undo(&self, state: &StateName, entities: &[String]) -> Vec<Write> {
        // From REGISTERING on entities may stand; a state we do not know says nothing, so the noted ones decide.
        let may_stand = match state.as_str().parse::<State>() {
            Ok(state) => state >= State::Registering,
            Err(_) => !entities.is_empty(),
        };
        if may_stand { vec![Write::Unregister] } else { Vec::new() }
    }
}

impl Pipeline {
    async fn register(
        &self,
        reading: &Reading<'_>,
        context: &mut Context,
        done: &mut StepDone,
    ) -> Result<(), Fault> {
        reading.generate(context).await?;
        let catalog = context.catalog.take().unwrap_or_default();
        done.subtasks = catalog.entities.iter().map(|e| format!("entity:{}:{}", e.kind, e.name())).collect();
        context.registered = Some(catalog.entities.iter().map(|e| e.reference().to_string()).collect());
        done.settled.push(Settled {
            name: ENTITIES.to_owned(),
            args: json!({ "entities": context.registered }),
            status: CompensationStatus::Recorded,
        });
        done.writes =
            vec![Write::Register { entities: catalog.entities, relationships: catalog.relationships }];
        Ok(())
    }

    async fn configure_sync(
        &self,
        step: &Step<'_>,
        reading: &Reading<'_>,
        context: &Context,
        done: &mut StepDone,
    ) -> Result<(), Fault> {
        // What stood there when DISCOVERING looked is not ours to undo. Where it did not look, somebody else's program
        // began this onboarding, and what it made is undone with it.
        let before = context.before.clone().unwrap_or_default();
        let opening = self.opening(step.onboarding, step.request, step.state, step.context);
        for intent in opening.intents {
            let operation = match intent.name.as_str() {
                NOTIFICATION => "tfc.create_notification",
                _ => "github.create_hook",
            };
            let key = opening.keys.iter().find(|key| key.operation == operation);
            let client_key = key.map(|key| key.client_key.as_str());
            let (made, was) = match intent.name.as_str() {
                NOTIFICATION => (reading.notification(client_key).await?, &before.notification),
                _ => (reading.hook(client_key).await?, &before.hook),
            };
            let ours = was.as_deref() != Some(made.id());
            let mut args = intent.args;
            args["id"] = json!(made.id());
            args["before"] = json!(was);
            let status = match ours {
                true => CompensationStatus::Recorded,
                false => CompensationStatus::NothingToUndo,
            };
            let code = if matches!(made, Made::Created(_)) { 201 } else { 200 };
            done.responses.extend(key.map(|key| (key.key.clone(), code, json!({ "id": made.id() }))));
            done.subtasks.push(intent.name.clone());
            done.settled.push(Settled { name: intent.name, args, status });
        }
        Ok(())
    }

    async fn announce(&self, step: &Step<'_>, context: &Context, done: &mut StepDone) -> Result<(), Fault> {
        if step.done.iter().any(|subtask| subtask == ANNOUNCEMENT) {
            return Ok(());
        }
        let announcement = Announcement {
            onboarding_id: step.onboarding.0.clone(),
            tenant_id: step.request.tenant_id.clone(),
            repo_url: step.request.repo_url.clone(),
            workspace_id: step.request.workspace_id.clone(),
            status: "completed".to_owned(),
            entities: context.registered.clone().unwrap_or_default(),
        };
        self.clients.notify.send(step.calls, &announcement, step.onboarding.as_str()).await?;
        let opening = self.opening(step.onboarding, step.request, step.state, step.context);
        done.responses
            .extend(opening.keys.into_iter().map(|key| (key.key, 200, json!({ "announced": true }))));
        done.subtasks.push(ANNOUNCEMENT.to_owned());
        Ok(())
    }
}
