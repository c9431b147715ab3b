//! The verbs as Lua, which Redis runs as one. Knows neither the network nor the engine's types.

use redis::{Cmd, Script, cmd};

/// What `$file` is made of: the clock, what it shares with others, itself.
macro_rules! text {
    ($($file:literal),+) => {
        concat!(include_str!("clock.lua"), $("\n", include_str!($file)),+)
    };
}

/// A verb's text and its name at the server, which is the text's SHA-1.
pub(super) struct Verb {
    text: &'static str,
    sha: String,
}

impl Verb {
    fn of(text: &'static str) -> Self {
        Self { text, sha: Script::new(text).get_hash().to_owned() }
    }

    /// Runs it by name, on one key: in a cluster that names the server.
    pub(super) fn by_name(&self, key: &str, args: &[Vec<u8>]) -> Cmd {
        Self::run("EVALSHA", &self.sha, key, args)
    }

    /// Runs it by its text, which the server then knows by name.
    pub(super) fn by_text(&self, key: &str, args: &[Vec<u8>]) -> Cmd {
        Self::run("EVAL", self.text, key, args)
    }

    fn run(how: &str, what: &str, key: &str, args: &[Vec<u8>]) -> Cmd {
        let mut run = cmd(how);
        run.arg(what).arg(1).arg(key).arg(args);
        run
    }
}

/// Every verb.
pub(super) struct Verbs {
    pub(super) begin: Verb,
    pub(super) keep: Verb,
    pub(super) end: Verb,
    pub(super) lock: Verb,
    pub(super) unlock: Verb,
}

impl Verbs {
    pub(super) fn new() -> Self {
        Self {
            begin: Verb::of(text!("key.lua", "begin.lua")),
            keep: Verb::of(text!("key.lua", "keep.lua")),
            end: Verb::of(text!("key.lua", "end.lua")),
            lock: Verb::of(text!("lock.lua")),
            unlock: Verb::of(text!("unlock.lua")),
        }
    }
}
