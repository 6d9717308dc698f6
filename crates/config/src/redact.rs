//! A configuration that may be shown: the same tree with its secrets taken out.

use serde_json::Value as Json;

use crate::known;
use crate::path::Path;
use crate::tree::{Node, Value};

/// Stands where a secret was. OpenClaw's own text: its clients send it back for "unchanged".
pub const REDACTED: &str = "__OPENCLAW_REDACTED__";

/// `tree`, which stands at `at` in the configuration, as JSON with [`REDACTED`] in place of each
/// secret. An object or list that is one goes as a whole.
pub fn redact(tree: &Node, at: &Path) -> Json {
    if known::is_secret(at) && tree.value != Value::Null {
        return REDACTED.into();
    }
    match &tree.value {
        Value::Array(items) => {
            items.iter().enumerate().map(|(index, item)| redact(item, &at.index(index))).collect()
        }
        Value::Object(entries) => entries
            .iter()
            .map(|entry| (entry.key.clone(), redact(&entry.node, &at.key(&entry.key))))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        _ => tree.to_json(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_and_nothing_else() {
        let text = "{
            gateway: {port: 1, auth: {mode: 'token', token: 'canary'}},
            models: {providers: {x: {apiKey: 'canary', headers: {Authorization: 'canary'}, baseUrl: 'u'}}},
            channels: {
                telegram: {botToken: 'canary', accounts: {a: {botToken: 'canary'}}, enabled: true},
                matrix: {accessToken: 'canary', deep: [{password: 'canary'}]},
                googlechat: {serviceAccount: {private: 'canary'}},
            },
            env: {A: 'canary', vars: {B: 'canary'}, shellEnv: {enabled: true}},
            hooks: {token: null},
            plugins: {entries: {p: {config: {a: 'canary'}, enabled: true}}},
        }";
        let tree = crate::json5::parse(text, 0).unwrap();
        let shown = redact(&tree, &Path::root());
        assert_eq!(
            shown.to_string().replace(REDACTED, "***"),
            concat!(
                r#"{"gateway":{"port":1,"auth":{"mode":"token","token":"***"}},"#,
                r#""models":{"providers":{"x":{"apiKey":"***","headers":{"Authorization":"***"},"#,
                r#""baseUrl":"u"}}},"#,
                r#""channels":{"telegram":{"botToken":"***","accounts":{"a":{"botToken":"***"}},"#,
                r#""enabled":true},"matrix":{"accessToken":"***","deep":[{"password":"***"}]},"#,
                r#""googlechat":{"serviceAccount":"***"}},"#,
                r#""env":{"A":"***","vars":{"B":"***"},"shellEnv":{"enabled":true}},"#,
                r#""hooks":{"token":null},"#,
                r#""plugins":{"entries":{"p":{"config":"***","enabled":true}}}}"#,
            )
        );
    }

    /// SEC-96
    #[test]
    fn no_secret_of_the_list_is_shown() {
        for (path, _) in known::lines().iter().filter(|(_, flags)| flags.contains("secret")) {
            let concrete = path.replace("[]", "[0]").replace("**", "x").replace('*', "x");
            let path: Path = concrete.parse().unwrap();
            let leaf = Node::string("canary", crate::Origin::default());
            assert_eq!(redact(&leaf, &path), REDACTED, "{path}");
        }
    }
}
