//! Where OpenClaw keeps its sessions, and what may be part of such a path.

use std::path::{Path, PathBuf};

/// The list of an agent's sessions: their keys, each with its record.
pub(crate) const LIST: &str = "sessions.json";

/// The ending of a transcript's file.
pub(crate) const ENDING: &str = ".jsonl";

/// Longest name of a file. OpenClaw's own limit for a session's id is 128. Unit: bytes.
const NAME_MAX: usize = 200;

/// Longest id of an agent. Unit: bytes.
const AGENT_MAX: usize = 64;

pub(crate) fn agents_folder(state: &Path) -> PathBuf {
    state.join("agents")
}

/// The folder of an agent's sessions.
pub(crate) fn sessions_folder(state: &Path, agent: &str) -> PathBuf {
    agents_folder(state).join(agent).join("sessions")
}

/// Whether an agent's id may name a folder.
pub(crate) fn is_agent_name(name: &str) -> bool {
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    !name.is_empty() && name.len() <= AGENT_MAX && name.bytes().all(fits)
}

/// Whether a name may name a transcript: letters, digits and `._%-`, beginning with a letter or a
/// digit, so that it stays in its folder and is no hidden file.
pub(crate) fn is_file_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._%-".contains(&byte);
    name.len() <= NAME_MAX
        && name.ends_with(ENDING)
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && name.bytes().all(fits)
}

/// The name of a transcript: the file that its record names, of which only the last part is
/// believed, else the one of its id.
pub(crate) fn file_name(session: &str, named: Option<&str>) -> Option<String> {
    let last = |path: &str| path.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
    let named = named.map(|path| last(path.trim())).filter(|name| is_file_name(name));
    named.or_else(|| Some(format!("{session}{ENDING}")).filter(|name| is_file_name(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_its_folder() {
        // SEC-56
        for name in
            ["../x.jsonl", "a/b.jsonl", ".x.jsonl", "x.json", ".jsonl", "a\\b.jsonl", "a\n.jsonl"]
        {
            assert!(!is_file_name(name), "{name}");
        }
        for name in ["", "..", "a/b", "A", "a b", &"a".repeat(65)] {
            assert!(!is_agent_name(name), "{name}");
        }
        assert_eq!(file_name("../../x", Some("/etc/passwd")), None);
    }

    #[test]
    fn a_record_may_name_a_file_elsewhere_but_it_is_looked_for_here() {
        let topic = "/home/u/.openclaw/agents/main/sessions/a-topic-5.jsonl";
        assert_eq!(file_name("a", Some(topic)).as_deref(), Some("a-topic-5.jsonl"));
        assert_eq!(file_name("a", Some("/etc/passwd")).as_deref(), Some("a.jsonl"));
        assert_eq!(file_name("a", None).as_deref(), Some("a.jsonl"));
    }
}
