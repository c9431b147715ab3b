//! GitHub's REST API, as far as an onboarding needs it: the repository and its files. Its tree is in `tree`, its
//! webhooks are in `hook`.
//!
//! Knows nothing of entities or states. Never tries again and never logs: what goes wrong is a [`Fault`].

use base64::Engine as _;
use reqwest::{Method, RequestBuilder, Url};
use serde::{Deserialize, Serialize};

use super::call::{self, Call};
use crate::{
    config::Upstreams,
    domain::fault::{Fault, FaultClass},
    engine::call::StepCalls,
};

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

/// A client for one GitHub.
#[derive(Clone)]
pub struct Github {
    pub(super) client: reqwest::Client,
    pub(super) base: String,
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

    pub(super) fn signed(&self, method: Method, url: Url) -> RequestBuilder {
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
}

/// GitHub breaks base64 into lines.
fn decode(content: &str) -> Option<Vec<u8>> {
    let joined: String = content.split_whitespace().collect();
    base64::engine::general_purpose::STANDARD.decode(joined).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded_across_its_line_breaks() {
        assert_eq!(decode("aGVs\nbG8=\n").as_deref(), Some(b"hello".as_slice()));
        assert_eq!(decode("%%%"), None);
    }
}
