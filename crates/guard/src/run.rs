//! Which tools an agent has, and whether a planned call of one is carried out.

use claw_tool::Plan;

/// A named set of tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Its own status and nothing else.
    Minimal,
    /// Files, commands, sessions, memory.
    Coding,
    /// Messages and sessions.
    Messaging,
    /// Everything.
    Full,
}

impl Profile {
    fn tools(self) -> &'static [&'static str] {
        match self {
            Self::Minimal => &["session_status"],
            Self::Coding => {
                &["group:fs", "group:runtime", "group:sessions", "group:memory", "image"]
            }
            Self::Messaging => &[
                "group:messaging",
                "sessions_list",
                "sessions_history",
                "sessions_send",
                "session_status",
            ],
            Self::Full => &["*"],
        }
    }
}

/// What `group:<name>` stands for. `group:openclaw` is every built-in tool.
const GROUPS: &[(&str, &[&str])] = &[
    ("group:runtime", &["exec", "process"]),
    ("group:fs", &["read", "write", "edit", "apply_patch"]),
    (
        "group:sessions",
        &[
            "sessions_list",
            "sessions_history",
            "sessions_send",
            "sessions_spawn",
            "subagents",
            "session_status",
        ],
    ),
    ("group:memory", &["memory_search", "memory_get"]),
    ("group:web", &["web_search", "web_fetch"]),
    ("group:ui", &["browser", "canvas"]),
    ("group:automation", &["cron", "gateway"]),
    ("group:messaging", &["message"]),
    ("group:nodes", &["nodes"]),
    (
        "group:openclaw",
        &[
            "group:runtime",
            "group:fs",
            "group:sessions",
            "group:memory",
            "group:web",
            "group:ui",
            "group:automation",
            "group:messaging",
            "group:nodes",
            "agents_list",
            "tts",
            "image",
        ],
    ),
];

/// One layer of the configuration (the installation's, the agent's): both lists hold tool names,
/// `group:` names and `*` wildcards, compared without case. `bash` is `exec`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToolRules {
    /// What is allowed; `None` is not restricted here, an empty list is nothing.
    pub allow: Option<Vec<String>>,
    /// What is not, whatever else says.
    pub deny: Vec<String>,
}

/// How commands are guarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExecSecurity {
    /// None runs.
    Deny,
    /// Only approved ones run. Until approvals exist that is none, since a guard that was asked
    /// for is not left out in silence.
    Allowlist,
    /// All run.
    #[default]
    Full,
}

/// When a person is asked before a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExecAsk {
    /// Never.
    Off,
    /// When it is on no allowlist; with [`ExecSecurity::Full`] that never happens.
    #[default]
    OnMiss,
    /// Every time. Until approvals exist nobody can be asked, so none runs.
    Always,
}

/// Which tools an agent has. The default has them all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToolPolicy {
    /// The agent's profile, else the installation's; `None` is [`Profile::Full`].
    pub profile: Option<Profile>,
    /// What joins the profile.
    pub also_allow: Vec<String>,
    /// All of these must agree.
    pub layers: Vec<ToolRules>,
    /// How commands are guarded.
    pub exec_security: ExecSecurity,
    /// When a person is asked before a command.
    pub exec_ask: ExecAsk,
}

/// Whether a call is carried out, and the rule that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// Carried out.
    Allow {
        /// Why.
        rule: &'static str,
    },
    /// Not carried out; the model is told.
    Refuse {
        /// Why.
        rule: &'static str,
    },
}

/// Whether exactly this plan of this tool is carried out.
///
/// A file's path is not judged by its text: the file tools resolve it beneath the workspace's open
/// directory, which no text can talk them out of.
pub fn may_run(policy: &ToolPolicy, tool: &str, plan: &Plan) -> Run {
    if let Err(rule) = judge(policy, tool) {
        return Run::Refuse { rule };
    }
    match plan {
        Plan::File(_) => Run::Allow { rule: "tool-policy" },
        Plan::Command(_) => match (policy.exec_security, policy.exec_ask) {
            (ExecSecurity::Deny, _) => Run::Refuse { rule: "exec-deny" },
            (ExecSecurity::Allowlist, _) => Run::Refuse { rule: "exec-allowlist-unavailable" },
            (ExecSecurity::Full, ExecAsk::Always) => Run::Refuse { rule: "exec-ask-unavailable" },
            (ExecSecurity::Full, ExecAsk::Off | ExecAsk::OnMiss) => {
                Run::Allow { rule: "exec-full" }
            }
        },
    }
}

/// Whether the model is told of this tool.
pub fn offered(policy: &ToolPolicy, tool: &str) -> bool {
    judge(policy, tool).is_ok()
}

fn judge(policy: &ToolPolicy, tool: &str) -> Result<(), &'static str> {
    let tool = canonical(tool);
    if policy.layers.iter().any(|layer| names(&layer.deny, &tool)) {
        return Err("tool-denied");
    }
    let profile = policy.profile.unwrap_or(Profile::Full);
    if !names(profile.tools(), &tool) && !names(&policy.also_allow, &tool) {
        return Err("tool-profile");
    }
    let allows = |layer: &ToolRules| layer.allow.as_ref().is_none_or(|allow| names(allow, &tool));
    if policy.layers.iter().all(allows) { Ok(()) } else { Err("tool-not-allowed") }
}

/// Whether any entry of the list stands for this tool.
fn names<Entry: AsRef<str>>(list: &[Entry], tool: &str) -> bool {
    list.iter().any(|entry| {
        let entry = canonical(entry.as_ref());
        let group = GROUPS.iter().find(|(name, _)| *name == entry);
        group.map_or_else(
            || matches(entry.as_bytes(), tool.as_bytes()),
            |(_, tools)| names(tools, tool),
        )
    })
}

fn canonical(name: &str) -> String {
    let name = name.trim().to_ascii_lowercase();
    if name == "bash" { "exec".to_owned() } else { name }
}

/// Whether the whole of `text` fits `pattern`, in which `*` is any run of characters.
///
/// Goes back to the last `*` only, so the time is at most the product of the lengths.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            (p, t) = (p + 1, t + 1);
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            (p, t) = (at + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::PathBuf, time::Duration};

    use claw_tool::{CommandPlan, FileAction, FilePlan};
    use proptest::prelude::*;

    use super::*;

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    fn layer(allow: Option<&[&str]>, deny: &[&str]) -> ToolRules {
        ToolRules { allow: allow.map(strings), deny: strings(deny) }
    }

    #[track_caller]
    fn check(policy: &ToolPolicy, tools: &[&str], expected: &[&str]) {
        let has: Vec<&str> = tools.iter().copied().filter(|tool| offered(policy, tool)).collect();
        assert_eq!(has, expected);
    }

    const TOOLS: &[&str] =
        &["read", "write", "edit", "exec", "cron", "message", "sessions_list", "session_status"];

    #[test]
    fn each_profile_has_its_tools() {
        let with = |profile| ToolPolicy { profile, ..ToolPolicy::default() };
        check(&with(None), TOOLS, TOOLS);
        check(&with(Some(Profile::Full)), TOOLS, TOOLS);
        check(&with(Some(Profile::Minimal)), TOOLS, &["session_status"]);
        check(
            &with(Some(Profile::Messaging)),
            TOOLS,
            &["message", "sessions_list", "session_status"],
        );
        check(
            &with(Some(Profile::Coding)),
            TOOLS,
            &["read", "write", "edit", "exec", "sessions_list", "session_status"],
        );
    }

    #[test]
    fn what_also_is_allowed_joins_the_profile_and_no_more() {
        let policy = ToolPolicy {
            profile: Some(Profile::Minimal),
            also_allow: strings(&["GROUP:FS"]),
            layers: vec![layer(None, &["write"])],
            ..ToolPolicy::default()
        };
        check(&policy, TOOLS, &["read", "edit", "session_status"]);
    }

    #[test]
    fn deny_wins_in_whatever_layer() {
        let layers = vec![layer(Some(&["*"]), &[]), layer(None, &["group:openclaw"])];
        check(&ToolPolicy { layers, ..ToolPolicy::default() }, TOOLS, &[]);
    }

    #[test]
    fn all_layers_must_allow() {
        let layers =
            vec![layer(Some(&["read", "exec"]), &[]), layer(Some(&["Read", "sess*"]), &[])];
        check(&ToolPolicy { layers, ..ToolPolicy::default() }, TOOLS, &["read"]);
    }

    #[test]
    fn bash_is_another_word_for_exec() {
        let layers = vec![layer(Some(&["bash"]), &[])];
        check(
            &ToolPolicy { layers, ..ToolPolicy::default() },
            &["exec", "Bash", "read"],
            &["exec", "Bash"],
        );
    }

    #[test]
    fn wildcards_match_whole_names() {
        for (pattern, tool, expected) in [
            ("*", "read", true),
            ("session*", "sessions_list", true),
            ("*_list", "sessions_list", true),
            ("s*s*t", "session_list", true),
            ("read*", "read", true),
            ("*a*b", "aab", true),
            ("rea", "read", false),
            ("*x", "exec", false),
            ("", "read", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), tool.as_bytes()),
                expected,
                "{pattern} on {tool}"
            );
        }
    }

    fn command() -> Plan {
        Plan::Command(CommandPlan {
            argv: strings(&["true"]),
            directory: PathBuf::from("."),
            environment: BTreeMap::new(),
            timeout: Duration::from_secs(1),
        })
    }

    #[test]
    fn a_command_is_judged_as_a_command_whatever_tool_planned_it() {
        // SEC-44
        let refuse = |exec_security, exec_ask, rule| {
            let policy = ToolPolicy { exec_security, exec_ask, ..ToolPolicy::default() };
            for tool in ["exec", "read"] {
                assert_eq!(may_run(&policy, tool, &command()), Run::Refuse { rule });
            }
        };
        refuse(ExecSecurity::Deny, ExecAsk::Off, "exec-deny");
        refuse(ExecSecurity::Allowlist, ExecAsk::OnMiss, "exec-allowlist-unavailable");
        refuse(ExecSecurity::Full, ExecAsk::Always, "exec-ask-unavailable");
        assert_eq!(
            may_run(&ToolPolicy::default(), "exec", &command()),
            Run::Allow { rule: "exec-full" }
        );
    }

    #[test]
    fn a_tool_that_is_not_offered_does_not_run_either() {
        // SEC-18
        let file = Plan::File(FilePlan {
            path: PathBuf::from("a"),
            action: FileAction::Read { offset: 1, limit: 1 },
        });
        let policy = ToolPolicy { profile: Some(Profile::Messaging), ..ToolPolicy::default() };
        assert_eq!(may_run(&policy, "read", &file), Run::Refuse { rule: "tool-profile" });
        assert_eq!(
            may_run(&ToolPolicy::default(), "read", &file),
            Run::Allow { rule: "tool-policy" }
        );
    }

    proptest! {
        /// SEC-16: an empty list of allowed tools is none, whatever else is allowed.
        #[test]
        fn an_empty_allow_list_is_no_tool(tool in "[a-z_*]{0,12}", also in "[a-z*]{0,4}", first in any::<bool>()) {
            let mut layers = vec![layer(Some(&[]), &[]), layer(Some(&["*"]), &[])];
            if first {
                layers.reverse();
            }
            let policy = ToolPolicy { also_allow: vec![also], layers, ..ToolPolicy::default() };
            prop_assert!(!offered(&policy, &tool));
            let ran = matches!(may_run(&policy, &tool, &command()), Run::Allow { .. });
            prop_assert!(!ran);
        }

        /// SEC-37: a pattern made from a name by putting `*` for a part of it matches that name.
        #[test]
        fn a_star_stands_for_any_part(head in "[a-z]{0,5}", middle in "[a-z*]{0,5}", tail in "[a-z]{0,5}") {
            let (pattern, text) = (format!("{head}*{tail}"), format!("{head}{middle}{tail}"));
            prop_assert!(matches(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
