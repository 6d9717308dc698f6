//! Which settings a client may give a session, and which values they take. Pure.

use claw_agent::ThinkingLevel;
use claw_domain::{ModelRef, Settings};
use serde_json::{Map, Value};

use crate::methods::{Failure, refused};

/// The settings that are kept for later parts as they were set, and their values.
const KEPT: &[(&str, &[&str])] = &[
    ("reasoningLevel", &["on", "off", "stream"]),
    ("responseUsage", &["off", "tokens", "full"]),
    ("elevatedLevel", &["on", "off", "ask", "full"]),
    ("execHost", &["sandbox", "gateway", "node"]),
    ("execSecurity", &["deny", "allowlist", "full"]),
    ("execAsk", &["off", "on-miss", "always"]),
    ("sendPolicy", &["allow", "deny"]),
    ("groupActivation", &["mention", "always"]),
];

const THINKING: &[&str] = &["off", "minimal", "low", "medium", "high", "xhigh"];
const VERBOSE: &[&str] = &["off", "on", "full"];

/// What stands on a session's key that nothing here gives it.
const LINEAGE: &[&str] = &["spawnedBy", "spawnDepth"];

/// Applies a patch, of which `null` clears. `model` finds the model that a name means.
pub(super) fn apply(
    settings: &mut Settings,
    patch: &Map<String, Value>,
    model: impl Fn(&str) -> Option<ModelRef>,
) -> Result<(), Failure> {
    for (key, value) in patch {
        let text = value.as_str().map(str::trim);
        match key.as_str() {
            "label" => settings.label = text.map(Into::into),
            "thinkingLevel" => {
                settings.thinking_level = text.map(thinking_level).transpose()?;
            }
            "verboseLevel" => settings.verbose_level = one_of(key, text, VERBOSE)?,
            "model" => {
                let unknown = |name| refused(format!("model not allowed: {name}"));
                settings.model =
                    text.map(|name| model(name).ok_or_else(|| unknown(name))).transpose()?;
            }
            "execNode" => keep(settings, key, text.map(Into::into)),
            // SEC-20: where a session comes from is not a client's to say.
            key if LINEAGE.contains(&key) => {
                let message = format!("{key} is only supported for subagent:* sessions");
                return Err(refused(message));
            }
            key => {
                if let Some((_, values)) = KEPT.iter().find(|(name, _)| *name == key) {
                    // `on` is the short word for `tokens`.
                    let text = if (key, text) == ("responseUsage", Some("on")) {
                        Some("tokens")
                    } else {
                        text
                    };
                    let value = one_of(key, text, values)?;
                    keep(settings, key, value);
                }
            }
        }
    }
    Ok(())
}

/// A thinking level by its name.
pub(in crate::methods) fn thinking_level(level: &str) -> Result<String, Failure> {
    let level = level.trim().to_lowercase();
    match ThinkingLevel::parse(&level) {
        Some(known) => Ok(known.as_str().to_owned()),
        None => Err(invalid("thinkingLevel", THINKING)),
    }
}

fn one_of(key: &str, text: Option<&str>, values: &[&str]) -> Result<Option<String>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let text = text.to_lowercase();
    if values.contains(&text.as_str()) { Ok(Some(text)) } else { Err(invalid(key, values)) }
}

fn keep(settings: &mut Settings, key: &str, value: Option<String>) {
    match value {
        Some(value) => drop(settings.other.insert(key.to_owned(), value.into())),
        None => drop(settings.other.shift_remove(key)),
    }
}

fn invalid(key: &str, values: &[&str]) -> Failure {
    refused(format!("invalid {key} (use {})", values.join("|")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Applies one patch after another; the settings at the end, or the first refusal.
    fn check(patches: &[Value], expected: Result<Value, &str>) {
        let mut settings = Settings::default();
        let applied = patches.iter().try_for_each(|patch| {
            let model = |name: &str| name.parse().ok().filter(|_| name != "x/unknown");
            apply(&mut settings, patch.as_object().expect("an object"), model)
        });
        let result = applied.map(|()| json!(settings)).map_err(|error| error.message);
        assert_eq!(result, expected.map_err(str::to_owned), "{patches:?}");
    }

    #[test]
    fn values_are_kept_in_their_own_words_and_null_clears() {
        check(
            &[
                json!({"label": " home ", "thinkingLevel": "HIGH", "verboseLevel": "full", "model": "a/b"}),
            ],
            Ok(json!({
                "label": "home", "model": {"provider": "a", "model": "b"},
                "thinkingLevel": "high", "verboseLevel": "full",
            })),
        );
        check(&[json!({"verboseLevel": "on"}), json!({"verboseLevel": null})], Ok(json!({})));
        check(
            &[
                json!({"reasoningLevel": "stream", "responseUsage": "on"}),
                json!({"reasoningLevel": null}),
            ],
            Ok(json!({"other": {"responseUsage": "tokens"}})),
        );
    }

    #[test]
    fn a_wrong_value_is_refused_with_the_right_ones() {
        check(
            &[json!({"thinkingLevel": "deep"})],
            Err("invalid thinkingLevel (use off|minimal|low|medium|high|xhigh)"),
        );
        check(&[json!({"verboseLevel": "loud"})], Err("invalid verboseLevel (use off|on|full)"));
        check(&[json!({"execHost": "moon"})], Err("invalid execHost (use sandbox|gateway|node)"));
        check(&[json!({"model": "x/unknown"})], Err("model not allowed: x/unknown"));
    }

    #[test]
    fn a_client_cannot_say_where_a_session_comes_from() {
        // SEC-20
        for key in LINEAGE {
            let message = format!("{key} is only supported for subagent:* sessions");
            check(&[json!({*key: "agent:main:main"})], Err(&message));
        }
    }
}
