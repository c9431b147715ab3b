//! GitHub's REST API, as far as an onboarding needs it: the repository, its tree, its files and its webhooks.
//!
//! Knows nothing of entities or states. Never tries again and never logs: what goes wrong is a [`Fault`].

use base64::Engine as _;
use reqwest::{Method, RequestBuilder, Url, header::LINK};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    call::{self, Call, IDEMPOTENCY_KEY},
    made::Made,
};
use crate::{
    config::Upstreams,
    domain::fault::{Fault, FaultClass},
    engine::call::StepCalls,
};

/// The pages of hooks looked at before giving up; 100 hooks a page, and GitHub allows 20 of a kind.
const MAX_PAGES: usize = 50;

/// What the pipeline reads of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// GitHub's number for it.
    pub id: u64,
    /// Without the owner.
    pub name: String,
    /// `OWNER/NAME`, as GitHub writes it today.
    pub full_name: String,
    /// Where people look at it.
    pub html_url: String,
    /// What its owner says about it.
    #[serde(default)]
    pub description: Option<String>,
    /// The branch that is read.
    pub default_branch: String,
    /// No longer worked on.
    #[serde(default)]
    pub archived: bool,
    /// Its topics, which become tags.
    #[serde(default)]
    pub topics: Vec<String>,
    /// The language most of it is written in.
    #[serde(default)]
    pub language: Option<String>,
}

impl Repository {
    /// The owner's login, from `full_name`.
    pub fn owner(&self) -> &str {
        self.full_name.split('/').next().unwrap_or_default()
    }
}

/// A file of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// From the root, without a leading slash.
    pub path: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// The webhook an onboarding wants.
#[derive(Clone, PartialEq, Eq)]
pub struct Hook {
    /// Where it calls; also what makes two hooks the same.
    pub url: String,
    /// What its deliveries are signed with; empty: not at all.
    pub secret: String,
}

/// A client for one GitHub.
#[derive(Clone)]
pub struct Github {
    pub(super) client: reqwest::Client,
    base: String,
    token: String,
}

#[derive(Deserialize)]
struct RawContents {
    #[serde(rename = "type")]
    kind: String,
    sha: String,
    encoding: Option<String>,
    content: Option<String>,
}

#[derive(Deserialize)]
struct RawBlob {
    encoding: String,
    content: String,
}

#[derive(Deserialize)]
struct RawHook {
    id: u64,
    #[serde(default)]
    config: RawHookConfig,
}

#[derive(Default, Deserialize)]
struct RawHookConfig {
    #[serde(default)]
    url: String,
}

impl Github {
    /// A client for the GitHub in `upstreams`.
    pub fn new(client: reqwest::Client, upstreams: &Upstreams) -> Self {
        Self { client, base: upstreams.github_url.clone(), token: upstreams.github_token.clone() }
    }

    /// The repository `owner/name`.
    ///
    /// # Errors
    /// Anything but the repository; 404 where it does not exist or the token may not see it.
    pub async fn repository(&self, calls: &StepCalls, owner: &str, name: &str) -> Result<Repository, Fault> {
        let (call, request) = self.ask("github.repository", Method::GET, &["repos", owner, name])?;
        Ok(call.json(calls, request).await?.0)
    }

    /// The file at `path` on `branch`.
    ///
    /// # Errors
    /// Anything but a file; a folder, a submodule or undecodable content is a permanent fault.
    pub async fn contents(
        &self,
        calls: &StepCalls,
        owner: &str,
        name: &str,
        path: &str,
        branch: &str,
    ) -> Result<Contents, Fault> {
        let mut segments = vec!["repos", owner, name, "contents"];
        segments.extend(path.split('/'));
        let (call, request) = self.ask("github.contents", Method::GET, &segments)?;
        let (raw, _): (RawContents, _) = call.json(calls, request.query(&[("ref", branch)])).await?;
        if raw.kind != "file" {
            return Err(
                call.fault(FaultClass::Permanent, &format!("a {:?} where a file was expected", raw.kind))
            );
        }
        // Above 1 MB the contents come empty with the encoding "none": the blob has them.
        let encoded = match (raw.encoding.as_deref(), raw.content) {
            (Some("base64"), Some(content)) => content,
            _ => {
                let (call, request) = self.ask(
                    "github.contents",
                    Method::GET,
                    &["repos", owner, name, "git", "blobs", &raw.sha],
                )?;
                let (blob, _): (RawBlob, _) = call.json(calls, request).await?;
                match blob.encoding.as_str() {
                    "base64" => blob.content,
                    other => {
                        let what = format!("a blob in the unknown encoding {other:?}");
                        return Err(call.fault(FaultClass::Permanent, &what));
                    }
                }
            }
        };
        let bytes = decode(&encoded).ok_or_else(|| {
            call.fault(FaultClass::Permanent, "content that is not the base64 it claims to be")
        })?;
        Ok(Contents { path: path.to_owned(), bytes })
    }

    /// The id of the hook that calls `url`, if there is one; every page is looked at.
    ///
    /// # Errors
    /// Anything but the hooks.
    pub async fn find_hook(
        &self,
        calls: &StepCalls,
        owner: &str,
        name: &str,
        url: &str,
    ) -> Result<Option<u64>, Fault> {
        let (call, request) = self.ask("github.list_hooks", Method::GET, &["repos", owner, name, "hooks"])?;
        let mut request = request.query(&[("per_page", "100")]);
        for _ in 0..MAX_PAGES {
            let (hooks, headers): (Vec<RawHook>, _) = call.json(calls, request).await?;
            if let Some(hook) = hooks.iter().find(|hook| hook.config.url == url) {
                return Ok(Some(hook.id));
            }
            let Some(next) = headers.get(LINK).and_then(|v| v.to_str().ok()).and_then(next_page) else {
                return Ok(None);
            };
            // The token goes along, so the next page has to be where the first one was.
            let next = self.same_place(next).ok_or_else(|| {
                call.fault(
                    FaultClass::Permanent,
                    "a link to a next page on another host: it was not followed",
                )
            })?;
            request = self.signed(Method::GET, next);
        }
        Err(call.fault(FaultClass::Permanent, "more pages of hooks than a repository can have"))
    }

    /// Makes sure that `hook` exists: the one that calls the same URL, or a new one.
    ///
    /// Sent again after a lost reply it finds what the first call made. `key` goes along as `Idempotency-Key`.
    ///
    /// # Errors
    /// When neither finding nor creating worked.
    pub async fn create_or_get_hook(
        &self,
        calls: &StepCalls,
        owner: &str,
        name: &str,
        hook: &Hook,
        key: Option<&str>,
    ) -> Result<Made, Fault> {
        if let Some(id) = self.find_hook(calls, owner, name, &hook.url).await? {
            return Ok(Made::Found(id.to_string()));
        }
        match self.create_hook(calls, owner, name, hook, key).await {
            Ok(id) => Ok(Made::Created(id.to_string())),
            // Somebody was faster, or our own earlier call went through after all.
            Err(fault) if fault.http_status == Some(422) && fault.message.contains("already exists") => {
                match self.find_hook(calls, owner, name, &hook.url).await? {
                    Some(id) => Ok(Made::Found(id.to_string())),
                    None => Err(fault),
                }
            }
            Err(fault) => Err(fault),
        }
    }

    /// Creates `hook` without looking whether it exists.
    ///
    /// # Errors
    /// Anything but the new hook; 422 where one with the same URL exists.
    pub async fn create_hook(
        &self,
        calls: &StepCalls,
        owner: &str,
        name: &str,
        hook: &Hook,
        key: Option<&str>,
    ) -> Result<u64, Fault> {
        let (call, request) =
            self.ask("github.create_hook", Method::POST, &["repos", owner, name, "hooks"])?;
        let mut config = json!({ "url": hook.url, "content_type": "json", "insecure_ssl": "0" });
        if !hook.secret.is_empty() {
            config["secret"] = json!(hook.secret);
        }
        let body = json!({ "name": "web", "active": true, "events": ["push"], "config": config });
        let mut request = request.json(&body);
        if let Some(key) = key {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        let (made, _): (RawHook, _) = call.json(calls, request).await?;
        Ok(made.id)
    }

    /// Deletes the hook `id`; one that is gone already is fine.
    ///
    /// # Errors
    /// When it may still be there.
    pub async fn delete_hook(
        &self,
        calls: &StepCalls,
        owner: &str,
        name: &str,
        id: &str,
    ) -> Result<(), Fault> {
        let (call, request) =
            self.ask("github.delete_hook", Method::DELETE, &["repos", owner, name, "hooks", id])?;
        match call.send(calls, request).await {
            Err(fault) if fault.http_status == Some(404) => Ok(()),
            answer => answer,
        }
    }

    /// A request and the words faults use for it.
    pub(super) fn ask(
        &self,
        operation: &'static str,
        method: Method,
        segments: &[&str],
    ) -> Result<(Call, RequestBuilder), Fault> {
        let url = call::url(&self.base, segments, operation)?;
        let what = format!("{method} /{}", segments.join("/"));
        Ok((Call { service: "GitHub", operation, what }, self.signed(method, url)))
    }

    fn signed(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self
            .client
            .request(method, url)
            .header("accept", "application/vnd.github+json")
            .header("x-github-api-version", "2022-11-28");
        match self.token.as_str() {
            "" => request,
            token => request.bearer_auth(token),
        }
    }

    fn same_place(&self, next: &str) -> Option<Url> {
        let (base, next) = (Url::parse(&self.base).ok()?, Url::parse(next).ok()?);
        (base.origin() == next.origin()).then_some(next)
    }
}

/// GitHub breaks base64 into lines.
fn decode(content: &str) -> Option<Vec<u8>> {
    let joined: String = content.split_whitespace().collect();
    base64::engine::general_purpose::STANDARD.decode(joined).ok()
}

/// The URL of `rel="next"` in a `Link` header.
fn next_page(link: &str) -> Option<&str> {
    link.split(',').find_map(|part| {
        let (url, parameters) = part.trim().strip_prefix('<')?.split_once('>')?;
        parameters.split(';').any(|p| p.trim() == "rel=\"next\"").then_some(url)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_among_the_links() {
        let link = "<https://a/x?page=1>; rel=\"prev\", <https://a/x?page=3>; rel=\"next\", <https://a/x?page=9>; rel=\"last\"";
        assert_eq!(next_page(link), Some("https://a/x?page=3"));
        assert_eq!(next_page("<https://a/x?page=1>; rel=\"prev\""), None);
        assert_eq!(next_page("nonsense"), None);
    }

    #[test]
    fn base64_is_decoded_across_its_line_breaks() {
        assert_eq!(decode("aGVs\nbG8=\n").as_deref(), Some(b"hello".as_slice()));
        assert_eq!(decode("%%%"), None);
    }

    #[test]
    fn a_next_page_on_another_host_is_not_followed() {
        let client = crate::http::client(std::time::Duration::from_secs(1)).expect("a client");
        let github = Github::new(client, &Upstreams::default());
        assert!(github.same_place("https://api.github.com/repositories/1/hooks?page=2").is_some());
        assert!(github.same_place("https://evil.example/hooks?page=2").is_none());
        assert!(github.same_place("http://api.github.com/hooks?page=2").is_none());
    }
}
