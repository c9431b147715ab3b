//! Terraform Cloud's API (JSON:API documents), as far as an onboarding needs it: the workspace, what it manages and
//! its notification configurations.
//!
//! Knows nothing of entities or states. Never tries again and never logs: what goes wrong is a [`Fault`].

use reqwest::{Method, RequestBuilder, header::CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    call::{self, Call, IDEMPOTENCY_KEY},
    jsonapi::{Many, Node, One},
    made::Made,
};
use crate::{
    config::Upstreams,
    domain::fault::{Fault, FaultClass},
    engine::call::StepCalls,
};

/// JSON:API's media type, which Terraform Cloud insists on for bodies.
const JSON_API: &str = "application/vnd.api+json";

/// Pages of one list looked at before the rest is left out, at 100 a page.
const MAX_PAGES: u32 = 20;

/// What the pipeline reads of a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    /// `ws-…`.
    pub id: String,
    /// Its name within its organization.
    pub name: String,
    /// What its owner says about it.
    pub description: Option<String>,
    /// The organization it belongs to.
    pub organization: Option<String>,
    /// `OWNER/NAME` of the repository it runs, where it runs one.
    pub repository: Option<String>,
    /// The version of Terraform it runs.
    pub terraform_version: Option<String>,
}

/// One resource in a workspace's state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ManagedResource {
    /// `module.vpc.aws_subnet.private`.
    pub address: String,
    /// `aws_subnet`.
    pub kind: String,
    /// `hashicorp/aws`.
    pub provider: Option<String>,
}

/// The notification configuration an onboarding wants. The same name and URL make two the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// `backstage-sync`.
    pub name: String,
    /// Where it calls.
    pub url: String,
}

/// A client for one Terraform Cloud.
#[derive(Clone)]
pub struct Tfc {
    client: reqwest::Client,
    base: String,
    token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct WorkspaceAttributes {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    terraform_version: Option<String>,
    #[serde(default)]
    vcs_repo: Option<VcsRepo>,
}

#[derive(Deserialize)]
struct VcsRepo {
    #[serde(default)]
    identifier: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ResourceAttributes {
    address: String,
    provider_type: String,
    #[serde(default)]
    provider: Option<String>,
}

#[derive(Deserialize)]
struct NotificationAttributes {
    name: String,
    #[serde(default)]
    url: Option<String>,
}

impl Tfc {
    /// A client for the Terraform Cloud in `upstreams`.
    pub fn new(client: reqwest::Client, upstreams: &Upstreams) -> Self {
        Self { client, base: upstreams.tfc_url.clone(), token: upstreams.tfc_token.clone() }
    }

    /// The workspace `id`.
    ///
    /// # Errors
    /// Anything but the workspace; 404 where it does not exist or the token may not see it.
    pub async fn workspace(&self, calls: &StepCalls, id: &str) -> Result<Workspace, Fault> {
        let (call, request) = self.ask("tfc.workspace", Method::GET, &["workspaces", id])?;
        let (document, _): (One<WorkspaceAttributes>, _) = call.json(calls, request).await?;
        Ok(document.data.into())
    }

    /// What the workspace `id` manages, and whether some was left out because it is too much.
    ///
    /// # Errors
    /// Anything but the resources.
    pub async fn resources(
        &self,
        calls: &StepCalls,
        id: &str,
    ) -> Result<(Vec<ManagedResource>, bool), Fault> {
        let (nodes, cut) =
            self.all::<ResourceAttributes>(calls, "tfc.resources", &["workspaces", id, "resources"]).await?;
        let mut resources: Vec<ManagedResource> = nodes.into_iter().map(Into::into).collect();
        resources.sort();
        Ok((resources, cut))
    }

    /// The id of the workspace's notification configuration with the name and URL of `wanted`, if there is one.
    ///
    /// # Errors
    /// Anything but the configurations.
    pub async fn find_notification(
        &self,
        calls: &StepCalls,
        workspace: &str,
        wanted: &Notification,
    ) -> Result<Option<String>, Fault> {
        let path = ["workspaces", workspace, "notification-configurations"];
        let (nodes, _) = self.all::<NotificationAttributes>(calls, "tfc.list_notifications", &path).await?;
        let same = |n: &Node<NotificationAttributes>| {
            n.attributes.name == wanted.name && n.attributes.url.as_deref() == Some(wanted.url.as_str())
        };
        Ok(nodes.into_iter().find(same).map(|node| node.id))
    }

    /// Makes sure that `wanted` exists: the one with the same name and URL, or a new one.
    ///
    /// Sent again after a lost reply it finds what the first call made. `key` goes along as `Idempotency-Key`.
    ///
    /// # Errors
    /// When neither finding nor creating worked.
    pub async fn create_or_get_notification(
        &self,
        calls: &StepCalls,
        workspace: &str,
        wanted: &Notification,
        key: Option<&str>,
    ) -> Result<Made, Fault> {
        match self.find_notification(calls, workspace, wanted).await? {
            Some(id) => Ok(Made::Found(id)),
            None => Ok(Made::Created(self.create_notification(calls, workspace, wanted, key).await?)),
        }
    }

    /// Creates `wanted` without looking whether it exists: Terraform Cloud allows any number of the same.
    ///
    /// # Errors
    /// Anything but the new configuration.
    pub async fn create_notification(
        &self,
        calls: &StepCalls,
        workspace: &str,
        wanted: &Notification,
        key: Option<&str>,
    ) -> Result<String, Fault> {
        let path = ["workspaces", workspace, "notification-configurations"];
        let (call, request) = self.ask("tfc.create_notification", Method::POST, &path)?;
        let attributes = json!({
            "name": wanted.name, "url": wanted.url, "destination-type": "generic",
            "triggers": ["run:completed"], "enabled": true,
        });
        let body = json!({ "data": { "type": "notification-configurations", "attributes": attributes } });
        let mut request = request.header(CONTENT_TYPE, JSON_API).body(body.to_string());
        if let Some(key) = key {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        let (made, _): (One<NotificationAttributes>, _) = call.json(calls, request).await?;
        Ok(made.data.id)
    }

    /// Deletes the notification configuration `id`; one that is gone already is fine.
    ///
    /// # Errors
    /// When it may still be there.
    pub async fn delete_notification(&self, calls: &StepCalls, id: &str) -> Result<(), Fault> {
        let (call, request) =
            self.ask("tfc.delete_notification", Method::DELETE, &["notification-configurations", id])?;
        match call.send(calls, request).await {
            Err(fault) if fault.http_status == Some(404) => Ok(()),
            answer => answer,
        }
    }

    /// Every page of a list, and whether pages were left out.
    async fn all<A: serde::de::DeserializeOwned>(
        &self,
        calls: &StepCalls,
        operation: &'static str,
        path: &[&str],
    ) -> Result<(Vec<Node<A>>, bool), Fault> {
        let mut nodes = Vec::new();
        let mut page = 1;
        for _ in 0..MAX_PAGES {
            let (call, request) = self.ask(operation, Method::GET, path)?;
            let number = page.to_string();
            let request = request.query(&[("page[number]", number.as_str()), ("page[size]", "100")]);
            let (document, _): (Many<A>, _) = call.json(calls, request).await?;
            let next = document.next_page();
            nodes.extend(document.data);
            match next {
                None => return Ok((nodes, false)),
                Some(next) if next > page => page = next,
                Some(_) => {
                    return Err(
                        call.fault(FaultClass::Permanent, "a next page that does not come after this one")
                    );
                }
            }
        }
        Ok((nodes, true))
    }

    fn ask(
        &self,
        operation: &'static str,
        method: Method,
        segments: &[&str],
    ) -> Result<(Call, RequestBuilder), Fault> {
        let path: Vec<&str> = ["api", "v2"].iter().chain(segments).copied().collect();
        let url = call::url(&self.base, &path, operation)?;
        let what = format!("{method} /{}", path.join("/"));
        let request = self.client.request(method, url).header("accept", JSON_API);
        let request = match self.token.as_str() {
            "" => request,
            token => request.bearer_auth(token),
        };
        Ok((Call { service: "Terraform Cloud", operation, what }, request))
    }
}

impl From<Node<WorkspaceAttributes>> for Workspace {
    fn from(node: Node<WorkspaceAttributes>) -> Self {
        let organization = node.related("organization");
        Self {
            id: node.id,
            name: node.attributes.name,
            description: node.attributes.description.filter(|d| !d.is_empty()),
            organization,
            repository: node.attributes.vcs_repo.and_then(|vcs| vcs.identifier),
            terraform_version: node.attributes.terraform_version,
        }
    }
}

impl From<Node<ResourceAttributes>> for ManagedResource {
    fn from(node: Node<ResourceAttributes>) -> Self {
        let ResourceAttributes { address, provider_type, provider } = node.attributes;
        Self { address, kind: provider_type, provider }
    }
}

impl Workspace {
    /// A workspace from the JSON:API document Terraform Cloud answers.
    ///
    /// # Errors
    /// When it has another shape.
    pub fn from_document(json: &str) -> Result<Self, serde_json::Error> {
        Ok(serde_json::from_str::<One<WorkspaceAttributes>>(json)?.data.into())
    }
}

impl ManagedResource {
    /// The resources on one page of the list Terraform Cloud answers.
    ///
    /// # Errors
    /// When it has another shape.
    pub fn from_document(json: &str) -> Result<Vec<Self>, serde_json::Error> {
        let page: Many<ResourceAttributes> = serde_json::from_str(json)?;
        Ok(page.data.into_iter().map(Into::into).collect())
    }
}
