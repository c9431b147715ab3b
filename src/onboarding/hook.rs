//! GitHub's webhooks: find, create or get, delete.

use reqwest::{Method, Url, header::LINK};
use serde::Deserialize;
use serde_json::json;

use super::{call::IDEMPOTENCY_KEY, github::Github, made::Made};
use crate::{
    domain::fault::{Fault, FaultClass},
    engine::call::StepCalls,
};

/// The pages of hooks looked at before giving up; 100 hooks a page, and GitHub allows 20 of a kind.
const MAX_PAGES: usize = 50;

/// The webhook an onboarding wants.
#[derive(Clone, PartialEq, Eq)]
pub struct Hook {
    /// Where it calls; also what makes two hooks the same.
    pub url: String,
    /// What its deliveries are signed with; empty: not at all.
    pub secret: String,
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

    fn same_place(&self, next: &str) -> Option<Url> {
        let (base, next) = (Url::parse(&self.base).ok()?, Url::parse(next).ok()?);
        (base.origin() == next.origin()).then_some(next)
    }
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
    use crate::config::Upstreams;

    #[test]
    fn the_next_page_is_found_among_the_links() {
        let link = "<https://a/x?page=1>; rel=\"prev\", <https://a/x?page=3>; rel=\"next\", <https://a/x?page=9>; rel=\"last\"";
        assert_eq!(next_page(link), Some("https://a/x?page=3"));
        assert_eq!(next_page("<https://a/x?page=1>; rel=\"prev\""), None);
        assert_eq!(next_page("nonsense"), None);
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
