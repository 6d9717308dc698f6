//! What a model is told before the conversation: the prefix of an epoch.

use std::{fmt::Write as _, fs, path::Path};

use claw_provider::ToolSpec;

use crate::{
    agents::{AgentSpec, BootstrapCaps},
    workspace::{OPTIONAL_FILES, WORKSPACE_FILES},
};

/// The system prompt of a new epoch. Reads the workspace's files; holds no time and no queue, so
/// that the same files give the same bytes.
pub(crate) fn system_prompt(agent: &AgentSpec, tools: &[ToolSpec], thinking: &str) -> String {
    let mut text = String::from("You are a personal assistant running inside Rusty Claw.\n");
    text.push_str("\n## Tools\n");
    if tools.is_empty() {
        text.push_str("You have no tools in this conversation.\n");
    } else {
        text.push_str("Names are case-sensitive; call a tool exactly as it is named.\n");
        for tool in tools {
            let summary =
                tool.description.split(". ").next().unwrap_or_default().trim_end_matches('.');
            writeln!(text, "- {}: {summary}", tool.name).expect("writing to a string never fails");
        }
    }
    write!(
        text,
        "\n## Workspace\nYour working directory is {}. Relative paths begin there, and files outside it are out of reach of your file tools.\n",
        agent.workspace.display()
    )
    .expect("writing to a string never fails");
    text.push_str("\n## Silence\nWhen nothing should be said, answer with exactly NO_REPLY and nothing else.\n");
    text.push_str(
        "\n# Project Context\nThese files of your workspace are part of your instructions.\n",
    );
    text.push_str(&workspace_files(&agent.workspace, agent.caps));
    write!(
        text,
        "\nRuntime: agent={} | os={} ({}) | model={} | thinking={thinking}\n",
        agent.id,
        std::env::consts::OS,
        std::env::consts::ARCH,
        agent.model,
    )
    .expect("writing to a string never fails");
    text
}

/// The files as sections: the five that every workspace has, then those others that are there.
fn workspace_files(folder: &Path, caps: BootstrapCaps) -> String {
    let mut text = String::new();
    let mut left = caps.total_max;
    let always = WORKSPACE_FILES.iter().map(|(name, _)| (*name, true));
    for (name, required) in always.chain(OPTIONAL_FILES.iter().map(|name| (*name, false))) {
        let path = folder.join(name);
        let content = match fs::read(&path) {
            Ok(bytes) => shorten(&String::from_utf8_lossy(&bytes), caps.file_max.min(left), name),
            Err(_) if required => format!("[MISSING] Expected at: {}", path.display()),
            Err(_) => continue,
        };
        left = left.saturating_sub(content.chars().count());
        write!(text, "\n## {}\n{}\n", path.display(), content.trim_end())
            .expect("writing to a string never fails");
    }
    text
}

/// A text within `max` characters: its first 70 % and last 20 %, and a mark that says so.
fn shorten(text: &str, max: usize, name: &str) -> String {
    let count = text.chars().count();
    if count <= max {
        return text.to_owned();
    }
    let head: String = text.chars().take(max * 7 / 10).collect();
    let tail: String = text.chars().skip(count - max * 2 / 10).collect();
    format!(
        "{head}\n[… the middle of {name} is left out here: it has {count} characters, {max} fit; read the file for all of it …]\n{tail}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_keeps_its_head_and_tail() {
        let text: String = ('a'..='z').cycle().take(1_000).collect();
        let short = shorten(&text, 100, "X.md");
        assert!(short.starts_with(&text[..70]) && short.ends_with(&text[980..]), "{short}");
        assert!(short.contains("X.md has") || short.contains("it has 1000 characters"), "{short}");
        assert_eq!(shorten("short", 100, "X.md"), "short");
    }

    #[test]
    fn a_missing_file_is_named_and_the_caps_hold_together() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("AGENTS.md"), "a".repeat(500)).unwrap();
        fs::write(folder.path().join("SOUL.md"), "s".repeat(500)).unwrap();
        let text = workspace_files(folder.path(), BootstrapCaps { file_max: 400, total_max: 600 });
        assert!(text.contains(&format!(
            "[MISSING] Expected at: {}",
            folder.path().join("USER.md").display()
        )));
        assert!(!text.contains("MEMORY.md"));
        let letters = |c| text.chars().filter(|have| *have == c).count();
        assert!(letters('s') < 300 && letters('s') > 20, "{}", letters('s'));
    }
}
