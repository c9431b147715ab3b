//! Which keys ask for what: the key table, with what the config file changed. The one source of lookup, hints and help.
//!
//! Knows nothing of files: names come in as words, and what is wrong with them goes out in words.

use super::{
    keys::{Action, Binding, Kind, TABLE, shown},
    msg::Key,
};

/// The keys of every row of the table, as they are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keymap(Vec<Vec<Key>>);

impl Default for Keymap {
    fn default() -> Self {
        Self(TABLE.iter().map(|binding| binding.keys.to_vec()).collect())
    }
}

/// A change that cannot be made, and the action whose line of the config file says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{said}")]
pub struct WrongKey {
    /// As written.
    pub action: String,
    /// Why not, and what would do.
    pub said: String,
}

impl Keymap {
    /// The table under `changes`: the name of an action ([`Binding::name`]) and all its keys.
    ///
    /// # Errors
    /// An action or key that does not exist, a key that two actions would share, a write without Shift.
    pub fn changed(changes: &[(String, Vec<String>)]) -> Result<Self, WrongKey> {
        let mut keymap = Self::default();
        let wrong = |action: &str, said: String| WrongKey { action: action.to_owned(), said };
        for (action, words) in changes {
            let place = TABLE.iter().position(|binding| binding.name() == *action).ok_or_else(|| {
                let known: Vec<String> = TABLE.iter().map(Binding::name).collect();
                wrong(action, format!("{action:?} is not an action: expected one of {}", known.join(", ")))
            })?;
            let mut keys = Vec::new();
            for word in words {
                let key = key(word).ok_or_else(|| wrong(action, unknown(word)))?;
                if matches!(key, Key::Ctrl('c' | 'z')) && !TABLE[place].keys.contains(&key) {
                    let said = format!(
                        "{word} cannot be given to {action}: Ctrl+C always leaves and Ctrl+Z suspends"
                    );
                    return Err(wrong(action, said));
                }
                if TABLE[place].kind == Kind::Writes && !matches!(key, Key::Char('A'..='Z')) {
                    let said =
                        format!("{action} writes, so its key is Shift and a letter (A to Z), not {word}");
                    return Err(wrong(action, said));
                }
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
            keymap.0[place] = keys;
        }
        for (action, _) in changes {
            let Some(place) = TABLE.iter().position(|binding| binding.name() == *action) else { continue };
            for key in &keymap.0[place] {
                let other = (0..TABLE.len()).find(|at| *at != place && keymap.0[*at].contains(key));
                if let Some(other) = other {
                    let (key, other) = (shown(*key), TABLE[other].name());
                    let said = format!(
                        "{key} is the key of both {action} and {other}: give one of them another, or {other} = [] for none"
                    );
                    return Err(wrong(action, said));
                }
            }
        }
        Ok(keymap)
    }

    /// What `key` asks for, wherever it works.
    pub fn binding(&self, key: Key) -> Option<&'static Binding> {
        self.0.iter().position(|keys| keys.contains(&key)).map(|place| &TABLE[place])
    }

    /// The keys of a row of the table.
    pub fn keys(&self, binding: &Binding) -> &[Key] {
        let place = TABLE.iter().position(|row| row.action == binding.action);
        place.map_or(&[], |place| &self.0[place])
    }

    /// The same as people read them: `j`, `Ctrl+D`, `Space`.
    pub fn shown_keys(&self, binding: &Binding) -> String {
        self.keys(binding).iter().map(|key| shown(*key)).collect::<Vec<_>>().join(" ")
    }

    /// The first key of `action` as people read it; `None`: it has none.
    pub fn shown_key(&self, action: Action) -> Option<String> {
        let place = TABLE.iter().position(|binding| binding.action == action)?;
        self.0[place].first().map(|key| shown(*key))
    }

    /// The key that stands now for what `key` is in the table: what is built in speaks of those.
    pub fn instead_of(&self, key: char) -> Option<String> {
        let binding = TABLE.iter().find(|binding| binding.keys.contains(&Key::Char(key)))?;
        self.shown_key(binding.action)
    }
}

/// Keys that are not one character.
const NAMED: [(&str, Key); 16] = [
    ("space", Key::Char(' ')),
    ("enter", Key::Enter),
    ("esc", Key::Esc),
    ("tab", Key::Tab),
    ("shift+tab", Key::BackTab),
    ("up", Key::Up),
    ("down", Key::Down),
    ("left", Key::Left),
    ("right", Key::Right),
    ("pgup", Key::PageUp),
    ("pgdn", Key::PageDown),
    ("home", Key::Home),
    ("end", Key::End),
    ("backspace", Key::Backspace),
    ("delete", Key::Delete),
    ("pageup", Key::PageUp),
];

fn key(word: &str) -> Option<Key> {
    let mut chars = word.chars();
    if let (Some(only), None) = (chars.next(), chars.next()) {
        return match only {
            '↑' => Some(Key::Up),
            '↓' => Some(Key::Down),
            '←' => Some(Key::Left),
            '→' => Some(Key::Right),
            c if c.is_control() => None,
            c => Some(Key::Char(c)),
        };
    }
    let lower = word.to_ascii_lowercase();
    if let Some(letter) = lower.strip_prefix("ctrl+").and_then(|letter| letter.parse::<char>().ok()) {
        return letter.is_ascii_lowercase().then_some(Key::Ctrl(letter));
    }
    NAMED.iter().find(|(name, _)| *name == lower).map(|(_, key)| *key)
}

fn unknown(word: &str) -> String {
    format!(
        "{word:?} is not a key: expected one character such as j or R, Ctrl+ and a letter, Space, Enter, Esc, Tab, Shift+Tab, Up, Down, Left, Right, PgUp, PgDn, Home, End, Backspace or Delete"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_table_can_be_written_as_it_is_shown() {
        for binding in TABLE {
            for bound in binding.keys {
                assert_eq!(key(&shown(*bound)), Some(*bound), "{}", shown(*bound));
            }
        }
    }

    #[test]
    fn every_action_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<String> = TABLE.iter().map(Binding::name).collect();
        assert_eq!(names.len(), TABLE.len());
    }
}
