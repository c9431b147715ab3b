//! Which metrics are looked at, from flags and the config file: `metrics`, `file_sd`, `[[target]]`, `prometheus`.
//!
//! Secrets are named there, never written: `token_env` and `password_env` are variables of the environment.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{
    config_file::{ConfigFile, Place},
    settings::variable,
};
use crate::metrics::{
    admission::{Admission, Credentials},
    discovery::Origin,
};

/// How one is let in.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileTarget {
    name: Option<String>,
    url: Option<String>,
    file_sd: Option<PathBuf>,
    token_env: Option<String>,
    username: Option<String>,
    password_env: Option<String>,
    ca_file: Option<PathBuf>,
}

/// A Prometheus server: its URL, or a table.
#[derive(Debug, Clone, Default)]
pub(super) struct FileServer(Server);

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Server {
    url: Option<String>,
    tenant: Option<String>,
    token_env: Option<String>,
    username: Option<String>,
    password_env: Option<String>,
    ca_file: Option<PathBuf>,
}

impl<'de> Deserialize<'de> for FileServer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = FileServer;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a server's URL such as \"http://host:9090\", or a table with url")
            }
            fn visit_str<E>(self, url: &str) -> Result<FileServer, E> {
                Ok(FileServer(Server { url: Some(url.to_owned()), ..Server::default() }))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FileServer, A::Error> {
                Server::deserialize(MapAccessDeserializer::new(map)).map(FileServer)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// Where in the file something stands: what to name when it is wrong.
struct At<'a> {
    file: &'a ConfigFile,
    keys: Vec<String>,
}

impl At<'_> {
    fn wrong(&self, key: &str, said: &str) -> String {
        let keys: Vec<&str> = self.keys.iter().map(String::as_str).chain([key]).collect();
        self.file.wrong(&keys, said).to_string()
    }

    /// What the variable that `key` names holds.
    fn secret(&self, key: &str, name: &str) -> Result<String, String> {
        variable(name).ok_or_else(|| {
            self.wrong(key, &format!("{key}: the environment has no {name}: set it, or leave {key} away"))
        })
    }

    /// A path as the file means it: from where the file is.
    fn path(&self, path: &Path) -> PathBuf {
        self.file.folder().join(path)
    }
}

/// The names of the variables that let one in.
struct Secrets<'a> {
    token_env: Option<&'a String>,
    username: Option<&'a String>,
    password_env: Option<&'a String>,
    ca_file: Option<&'a PathBuf>,
}

impl Secrets<'_> {
    fn admission(&self, at: &At<'_>) -> Result<Admission, String> {
        let mut admission = Admission::default();
        if let Some(path) = self.ca_file {
            admission =
                admission.trusting(&at.path(path)).map_err(|e| at.wrong("ca_file", &e.to_string()))?;
        }
        let (key, credentials) = match (self.token_env, self.username, self.password_env) {
            (None, None, None) => return Ok(admission),
            (Some(name), None, None) => {
                ("token_env", Credentials::Bearer(at.secret("token_env", name)?.trim().to_owned()))
            }
            (None, Some(username), Some(name)) => {
                let password = at.secret("password_env", name)?;
                ("username", Credentials::Basic { username: username.clone(), password })
            }
            (Some(_), ..) => {
                let said = "token_env and username are two ways to be let in: give one of them";
                return Err(at.wrong("token_env", said));
            }
            (None, Some(_), None) => {
                return Err(at.wrong("username", "username needs password_env beside it"));
            }
            (None, None, Some(_)) => {
                return Err(at.wrong("password_env", "password_env needs username beside it"));
            }
        };
        admission.with(credentials).map_err(|error| at.wrong(key, &format!("{key}: {error}")))
    }
}

/// Every origin of targets: those of the flags instead of those of the file.
pub(super) fn origins(
    flags: &[String],
    place: &Place,
    at: (&ConfigFile, &[&str]),
) -> Result<Vec<Origin>, String> {
    if !flags.is_empty() {
        return flags.iter().map(|text| Origin::parse(text).map_err(|error| error.to_string())).collect();
    }
    let (file, prefix) = at;
    let keys = |more: &[&str]| prefix.iter().chain(more).map(ToString::to_string).collect();
    let mut all = Vec::new();
    for text in &place.metrics {
        let at = At { file, keys: keys(&[]) };
        all.push(Origin::parse(text).map_err(|error| at.wrong("metrics", &error.to_string()))?);
    }
    let at = At { file, keys: keys(&[]) };
    all.extend(place.file_sd.iter().map(|path| Origin::File(at.path(path), Admission::default())));
    for (number, target) in place.target.iter().enumerate() {
        let at = At { file, keys: keys(&["target", &number.to_string()]) };
        all.push(target.origin(&at)?);
    }
    Ok(all)
}

impl FileTarget {
    fn origin(&self, at: &At<'_>) -> Result<Origin, String> {
        let secrets = Secrets {
            token_env: self.token_env.as_ref(),
            username: self.username.as_ref(),
            password_env: self.password_env.as_ref(),
            ca_file: self.ca_file.as_ref(),
        };
        let admission = secrets.admission(at)?;
        match (&self.url, &self.file_sd, &self.name) {
            (Some(_), Some(_), _) => Err(at.wrong("file_sd", "a target has a url or a file_sd, not both")),
            (None, None, _) => Err(at.wrong("", "a target needs a url or a file_sd")),
            (None, Some(_), Some(_)) => {
                Err(at.wrong("name", "the targets of a file_sd are named by their labels"))
            }
            (None, Some(path), None) => Ok(Origin::File(at.path(path), admission)),
            (Some(url), None, name) => {
                let text = name.as_ref().map_or_else(|| url.clone(), |name| format!("{name}={url}"));
                if name.as_ref().is_some_and(|name| name.contains([':', '/', '?', '='])) {
                    return Err(at.wrong("name", "a target's name has none of : / ? ="));
                }
                Ok(Origin::parse(&text).map_err(|error| at.wrong("url", &error.to_string()))?.with(admission))
            }
        }
    }
}

/// The Prometheus server: the flag's, which nobody but the file's own is let in to, or the file's.
pub(super) fn server(
    flag: Option<&String>,
    place: &Place,
    at: (&ConfigFile, &[&str]),
) -> Result<Option<(String, Admission)>, String> {
    let Some(FileServer(server)) = place.prometheus.as_ref().filter(|_| flag.is_none()) else {
        return Ok(flag.map(|url| (url.clone(), Admission::default())));
    };
    let (file, prefix) = at;
    let at = At { file, keys: prefix.iter().chain(&["prometheus"]).map(ToString::to_string).collect() };
    let Some(url) = &server.url else { return Err(at.wrong("", "a Prometheus server needs a url")) };
    let secrets = Secrets {
        token_env: server.token_env.as_ref(),
        username: server.username.as_ref(),
        password_env: server.password_env.as_ref(),
        ca_file: server.ca_file.as_ref(),
    };
    let mut admission = secrets.admission(&at)?;
    if let Some(tenant) = &server.tenant {
        admission =
            admission.tenant(tenant).map_err(|error| at.wrong("tenant", &format!("tenant: {error}")))?;
    }
    Ok(Some((url.clone(), admission)))
}
