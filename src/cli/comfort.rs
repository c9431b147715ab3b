//! What an operator chose in the config file: `theme`, `mouse`, `[keys]`, `[view.NAME]`. Every mistake names its line.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::config_file::ConfigFile;
use crate::{
    engine::filter::Filter,
    tui::{
        keymap::Keymap,
        model::{Place, told_by_groups},
        preferences::{Preferences, SavedView},
        theme::Palette,
    },
};

/// The keys of one action.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "a key such as \"R\" or a list of keys such as [\"j\", \"Down\"] is expected")]
pub(super) enum FileKeys {
    One(String),
    Several(Vec<String>),
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileView {
    screen: Option<String>,
    filter: String,
    sort: Option<String>,
}

const SCREENS: [(&str, Place); 7] = [
    ("pulse", Place::Pulse),
    ("onboardings", Place::Onboardings),
    ("keys", Place::Keys),
    ("groups", Place::Groups),
    ("letters", Place::Letters),
    ("circuits", Place::Circuits),
    ("audit", Place::Audit),
];

/// All of it, without the contexts.
///
/// # Errors
/// What cannot be meant, with its line.
pub(super) fn preferences(file: &ConfigFile) -> anyhow::Result<Preferences> {
    let changes: Vec<(String, Vec<String>)> = file
        .values
        .keys
        .iter()
        .map(|(action, keys)| match keys {
            FileKeys::One(key) => (action.clone(), vec![key.clone()]),
            FileKeys::Several(keys) => (action.clone(), keys.clone()),
        })
        .collect();
    let keys = Keymap::changed(&changes).map_err(|wrong| {
        file.wrong(&["keys", &wrong.action], &format!("keys.{}: {}", wrong.action, wrong.said))
    })?;
    Ok(Preferences {
        keys,
        views: views(file, &file.values.view)?,
        mouse: file.values.mouse.unwrap_or(true),
        ..Preferences::default()
    })
}

/// The theme the file names.
///
/// # Errors
/// One that does not exist, with its line.
pub(super) fn theme(file: &ConfigFile) -> anyhow::Result<Option<Palette>> {
    let Some(name) = &file.values.theme else { return Ok(None) };
    let known = Palette::CHOICES.map(Palette::name).join(", ");
    let unknown = || file.wrong(&["theme"], &format!("no theme {name:?}: expected one of {known}"));
    Palette::named(name).map(Some).ok_or_else(unknown)
}

fn views(file: &ConfigFile, views: &BTreeMap<String, FileView>) -> anyhow::Result<Vec<SavedView>> {
    let one = |(name, view): (&String, &FileView)| {
        let wrong =
            |key: &str, said: String| file.wrong(&["view", name, key], &format!("view.{name}.{key}: {said}"));
        if name.trim() != name || name.is_empty() || name.chars().any(char::is_control) {
            let said = format!("the view's name {name:?} cannot be typed after :view");
            return Err(file.wrong(&["view", name], &said));
        }
        let screens = SCREENS.map(|(word, _)| word).join(", ");
        let screen = view.screen.as_deref().unwrap_or_default();
        let place = SCREENS.iter().find(|(word, _)| *word == screen).map(|(_, place)| *place);
        let place = place.ok_or_else(|| {
            wrong("screen", format!("{screen:?} is not a screen: expected one of {screens}"))
        })?;
        if !view.filter.is_empty() && matches!(place, Place::Pulse | Place::Circuits) {
            return Err(wrong("filter", format!("{screen} has no rows to filter")));
        }
        let filter = Filter::parse_for(&place.list(), &view.filter);
        let filter = filter.map_err(|why| wrong("filter", why.to_string()))?;
        if place == Place::Groups && !told_by_groups(&filter) {
            let said =
                "groups can be filtered by error, operation and id: screen = \"letters\" knows the rest";
            return Err(wrong("filter", said.to_owned()));
        }
        let order = match view.sort.as_deref() {
            None => None,
            Some(word) => match place.orders().iter().find(|order| order.as_str() == word) {
                Some(order) => Some(*order).filter(|order| place.orders().first() != Some(order)),
                None if place.orders().is_empty() => {
                    return Err(wrong("sort", format!("{screen} cannot be sorted")));
                }
                None => {
                    let known: Vec<&str> = place.orders().iter().map(|order| order.as_str()).collect();
                    let said = format!("no order {word:?}: {screen} come by {}", known.join(", "));
                    return Err(wrong("sort", said));
                }
            },
        };
        Ok(SavedView { name: name.clone(), place, typed: view.filter.trim().to_owned(), filter, order })
    };
    views.iter().map(one).collect()
}
