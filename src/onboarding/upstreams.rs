//! The three upstreams together, and what the pipeline's states read from them and make sure of.

use std::time::Duration;

use super::{
    context::{Before, Context},
    derive,
    github::{Contents, Github, Repository},
    hook::Hook,
    made::Made,
    notify::Notify,
    tfc::{Notification, Tfc},
};
use crate::{
    config,
    domain::{fault::Fault, onboarding::Request},
    engine::call::StepCalls,
    http::{self, HttpError},
};

/// The name of the hook's intent and subtask.
pub(super) const HOOK: &str = "hook";

/// The name of the notification's intent and subtask.
pub(super) const NOTIFICATION: &str = "notification";

/// The name of every notification configuration of ours.
const NOTIFICATION_NAME: &str = "backstage-sync";

/// Modules and resources kept of one repository.
const MAX_BLOCKS: usize = 2_000;

/// A client for each upstream, and where they are to call back.
#[derive(Clone)]
pub struct Clients {
    /// GitHub.
    pub github: Github,
    /// Terraform Cloud.
    pub tfc: Tfc,
    /// The notification webhook.
    pub notify: Notify,
    callback_url: String,
    webhook_secret: String,
}

impl Clients {
    /// Clients for the upstreams in `settings`, over one connection pool. No call of theirs takes longer than
    /// `longest_call`, whoever makes it.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(settings: &config::Upstreams, longest_call: Duration) -> Result<Self, HttpError> {
        let client = http::client(longest_call)?;
        Ok(Self {
            github: Github::new(client.clone(), settings),
            tfc: Tfc::new(client.clone(), settings),
            notify: Notify::new(client, settings),
            callback_url: settings.callback_url.clone(),
            webhook_secret: settings.webhook_secret.clone(),
        })
    }

    pub(super) fn callback(&self) -> &str {
        &self.callback_url
    }

    fn wanted_notification(&self) -> Notification {
        Notification { name: NOTIFICATION_NAME.to_owned(), url: self.callback_url.clone() }
    }

    /// The id of our hook on a repository.
    pub(super) async fn find_hook(
        &self,
        calls: &StepCalls,
        owner: &str,
        name: &str,
    ) -> Result<Option<String>, Fault> {
        Ok(self.github.find_hook(calls, owner, name, &self.callback_url).await?.map(|id| id.to_string()))
    }

    /// The id of our notification configuration on a workspace.
    pub(super) async fn find_notification(
        &self,
        calls: &StepCalls,
        workspace: &str,
    ) -> Result<Option<String>, Fault> {
        self.tfc.find_notification(calls, workspace, &self.wanted_notification()).await
    }
}

/// One step's view of the upstreams.
pub(super) struct Reading<'a> {
    pub(super) clients: &'a Clients,
    pub(super) request: &'a Request,
    pub(super) calls: &'a StepCalls,
}

impl Reading<'_> {
    fn slug(&self) -> Result<(&str, &str), Fault> {
        self.request.repository().map_err(|error| Fault::permanent(error.to_string()))
    }

    /// The repository and the workspace exist, and we may see them.
    pub(super) async fn validate(&self, context: &mut Context) -> Result<(), Fault> {
        self.repository(context).await?;
        if let (Some(id), None) = (&self.request.workspace_id, &context.workspace) {
            context.workspace = Some(self.clients.tfc.workspace(self.calls, id).await?);
        }
        Ok(())
    }

    async fn repository<'c>(&self, context: &'c mut Context) -> Result<&'c Repository, Fault> {
        if context.repository.is_none() {
            let (owner, name) = self.slug()?;
            context.repository = Some(self.clients.github.repository(self.calls, owner, name).await?);
        }
        Ok(context.repository.as_ref().expect("it was put there above"))
    }

    /// What is in them, and what of ours stands there already.
    pub(super) async fn discover(&self, context: &mut Context) -> Result<(), Fault> {
        self.validate(context).await?;
        self.look_before(context).await?;
        if context.selection.is_none() {
            let branch = self.repository(context).await?.default_branch.clone();
            let (owner, name) = self.slug()?;
            let tree = self.clients.github.tree(self.calls, owner, name, &branch).await?;
            context.selection = Some(derive::select(&tree));
        }
        if let (Some(id), None) = (&self.request.workspace_id, &context.managed) {
            let (managed, cut) = self.clients.tfc.resources(self.calls, id).await?;
            if cut {
                let shown = managed.len();
                context.notes.push(format!("resources of the workspace beyond {shown} were left out"));
            }
            context.managed = Some(managed);
        }
        Ok(())
    }

    /// Notes what of ours stands there before our first effect.
    pub(super) async fn look_before(&self, context: &mut Context) -> Result<(), Fault> {
        if context.before.is_none() {
            let (owner, name) = self.slug()?;
            let hook = self.clients.find_hook(self.calls, owner, name).await?;
            let notification = match &self.request.workspace_id {
                Some(id) => self.clients.find_notification(self.calls, id).await?,
                None => None,
            };
            context.before = Some(Before { hook, notification });
        }
        Ok(())
    }

    /// The facts in the few files that matter.
    pub(super) async fn extract(&self, context: &mut Context) -> Result<(), Fault> {
        if context.facts.is_some() {
            return Ok(());
        }
        let remembered = context.selection.is_some();
        self.discover(context).await?;
        let files = match self.fetch(context).await {
            // Chosen by an earlier state, before somebody changed the repository: look again.
            Err(fault) if remembered && fault.http_status == Some(404) => {
                context.selection = None;
                self.discover(context).await?;
                self.fetch(context).await?
            }
            files => files?,
        };
        let (owner, name) = self.slug()?;
        let selection = context.selection.take().unwrap_or_default();
        let slug = format!("{owner}/{name}");
        // Parsing megabytes from outside takes time, and a parser that panics must not take the worker along.
        let parsed = tokio::task::spawn_blocking(move || derive::extract(&slug, &files)).await;
        let mut facts = parsed.map_err(|_| {
            Fault::permanent(format!(
                "the files of {owner}/{name} brought their parser down: report this repository"
            ))
        })??;
        facts.notes.extend(selection.notes);
        if facts.blocks.len() > MAX_BLOCKS {
            facts.notes.push(format!("Terraform blocks beyond {MAX_BLOCKS} were left out"));
            facts.blocks.truncate(MAX_BLOCKS);
        }
        context.facts = Some(facts);
        Ok(())
    }

    async fn fetch(&self, context: &mut Context) -> Result<Vec<Contents>, Fault> {
        let branch = self.repository(context).await?.default_branch.clone();
        let (owner, name) = self.slug()?;
        let paths =
            context.selection.as_ref().map(|selection| selection.paths.as_slice()).unwrap_or_default();
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            files.push(self.clients.github.contents(self.calls, owner, name, path, &branch).await?);
        }
        Ok(files)
    }

    /// The catalog, from everything known.
    pub(super) async fn generate(&self, context: &mut Context) -> Result<(), Fault> {
        if context.catalog.is_some() {
            return Ok(());
        }
        self.extract(context).await?;
        self.repository(context).await?;
        let (facts, managed) =
            (context.facts.take().unwrap_or_default(), context.managed.take().unwrap_or_default());
        let repository = context.repository.as_ref().expect("it was looked up above");
        let catalog = derive::generate(derive::Input {
            tenant: &self.request.tenant_id,
            repository,
            facts: &facts,
            workspace: context.workspace.as_ref(),
            managed: &managed,
        });
        context.notes.extend(catalog.notes.iter().cloned());
        context.catalog = Some(catalog);
        Ok(())
    }

    /// Makes sure of our hook.
    pub(super) async fn hook(&self, key: Option<&str>) -> Result<Made, Fault> {
        let (owner, name) = self.slug()?;
        let hook =
            Hook { url: self.clients.callback_url.clone(), secret: self.clients.webhook_secret.clone() };
        self.clients.github.create_or_get_hook(self.calls, owner, name, &hook, key).await
    }

    /// Makes sure of our notification configuration.
    pub(super) async fn notification(&self, key: Option<&str>) -> Result<Made, Fault> {
        let workspace = self.request.workspace_id.as_deref().unwrap_or_default();
        let wanted = self.clients.wanted_notification();
        self.clients.tfc.create_or_get_notification(self.calls, workspace, &wanted, key).await
    }
}
