//! Which commands OpenClaw's users know that are not here yet.

use std::ffi::OsString;

/// OpenClaw's commands, and the words that others use for them. A phrase of two words stands for
/// that sub-command alone.
const PHRASES: &[&str] = &[
    "acp",
    "agents",
    "approvals",
    "attach",
    "audit",
    "automations",
    "browser",
    "capability",
    "channels",
    "chat",
    "config edit",
    "config patch",
    "configure",
    "connect",
    "cron",
    "daemon",
    "database",
    "devices",
    "directory",
    "dns",
    "docs",
    "exec-approvals",
    "exec-policy",
    "fleet",
    "gateway discover",
    "gateway install",
    "gateway restart",
    "gateway start",
    "gateway uninstall",
    "gateway usage-cost",
    "hooks",
    "infer",
    "logs",
    "mcp",
    "memory",
    "message",
    "migrate",
    "models",
    "node",
    "nodes",
    "onboard",
    "plugins",
    "proxy",
    "qr",
    "reset",
    "resume",
    "sandbox",
    "secrets",
    "security",
    "send",
    "service",
    "sessions archive",
    "sessions cleanup",
    "sessions compact",
    "sessions delete",
    "sessions tail",
    "setup",
    "skills",
    "system",
    "tasks",
    "terminal",
    "transcripts",
    "tui",
    "uninstall",
    "update",
    "webhooks",
    "wizard",
    "worktrees",
];

/// The phrase that `word`, which no command understood, ends in this line of words.
pub(crate) fn find(word: &str, words: &[OsString]) -> Option<&'static str> {
    PHRASES.iter().copied().find(|phrase| match phrase.split_once(' ') {
        Some((command, last)) => last == word && words.iter().any(|typed| typed == command),
        None => *phrase == word && words.iter().skip(1).find(|typed| is_known(typed)).is_none(),
    })
}

/// Whether a word is one of the commands that are here, so that what follows is its own.
fn is_known(word: &OsString) -> bool {
    use clap::CommandFactory;
    let word = word.to_string_lossy();
    crate::args::Args::command().get_subcommands().any(|command| command.get_name() == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, word: &str, expected: Option<&str>) {
        let words: Vec<_> = line.split(' ').map(OsString::from).collect();
        assert_eq!(find(word, &words), expected, "{line}");
    }

    #[test]
    fn a_phrase_is_found_where_it_stands_and_nowhere_else() {
        check("rusty-claw onboard", "onboard", Some("onboard"));
        check("rusty-claw -c f onboard", "onboard", Some("onboard"));
        check("rusty-claw gateway install", "install", Some("gateway install"));
        check("rusty-claw install", "install", None);
        check("rusty-claw gateway skills", "skills", None);
        check("rusty-claw statsu", "statsu", None);
    }
}
