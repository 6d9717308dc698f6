//! What `${VAR}` in a string stands for.

use crate::error::Problem;
use crate::path::Path;
use crate::tree::{Node, Origin, Value};

/// The variables that `env.vars.NAME` and `env.NAME` give, in the file's order.
pub(crate) type Variables = Vec<(String, String)>;

/// Why a string could not be completed; the caller knows the file.
pub(crate) type Failure = (Path, Origin, String);

/// Replaces `${VAR}` in every string of `tree`, from `env` first and the file's own `env` second.
///
/// # Errors
/// Every variable that is missing or empty.
pub(crate) fn substitute(
    tree: &mut Node,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Variables, Vec<Failure>> {
    let given = |name: &str| env(name).filter(|value| !value.is_empty());
    let mut failures = Vec::new();
    // The file's own variables may refer to the environment, not to one another.
    let own = Path::root().key("env");
    if let Some(section) = tree.get_mut(&own) {
        replace(section, &own, &given, &mut failures);
    }
    let variables = own_variables(tree);
    let lookup = |name: &str| {
        let own = || variables.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone());
        given(name).or_else(own).filter(|value| !value.is_empty())
    };
    if let Value::Object(entries) = &mut tree.value {
        for entry in entries.iter_mut().filter(|entry| entry.key != "env") {
            replace(&mut entry.node, &Path::root().key(&entry.key), &lookup, &mut failures);
        }
    }
    if failures.is_empty() { Ok(variables) } else { Err(failures) }
}

fn own_variables(tree: &Node) -> Variables {
    let Some(env) = tree.entry("env") else { return Variables::new() };
    let vars = env.node.entry("vars").map_or(&[][..], |vars| vars.node.entries());
    let strings = |entry: &crate::tree::Entry| {
        entry.node.as_str().map(|value| (entry.key.clone(), value.to_owned()))
    };
    vars.iter().chain(env.node.entries()).filter_map(strings).collect()
}

fn replace(
    node: &mut Node,
    path: &Path,
    lookup: &dyn Fn(&str) -> Option<String>,
    failures: &mut Vec<Failure>,
) {
    match &mut node.value {
        Value::String(text) => match expand(text, lookup) {
            Ok(expanded) => *text = expanded,
            Err(name) => {
                let message = format!("the variable `{name}` is not set, or empty");
                failures.push((path.clone(), node.origin, message));
            }
        },
        Value::Array(items) => {
            for (at, item) in items.iter_mut().enumerate() {
                replace(item, &path.index(at), lookup, failures);
            }
        }
        Value::Object(entries) => {
            for entry in entries {
                replace(&mut entry.node, &path.key(&entry.key), lookup, failures);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Completes one string: `${NAME}` becomes the variable's value. Only names of `[A-Z_][A-Z0-9_]*`
/// count; `$${NAME}` stands for the text `${NAME}`.
///
/// # Errors
/// The name of the first variable that has no value.
pub fn expand(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some((name, after)) = rest.strip_prefix('$').and_then(reference) {
            expanded.push_str(&lookup(name).ok_or(name)?);
            rest = after;
        } else if let Some((_, after)) = rest.strip_prefix("$$").and_then(reference) {
            expanded.push_str(&rest[1..rest.len() - after.len()]);
            rest = after;
        } else {
            expanded.push('$');
            rest = &rest[1..];
        }
    }
    Ok(expanded + rest)
}

/// Splits `{NAME}…` into the name and what follows.
fn reference(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.strip_prefix('{')?.split_once('}')?;
    let starts = name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_');
    let part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    (starts && name.chars().all(part)).then_some((name, after))
}

/// Puts a failure into words for people.
pub(crate) fn problem((path, at, message): Failure, files: &[std::path::PathBuf]) -> Problem {
    Problem {
        file: files[at.file].clone(),
        line: at.line,
        column: at.column,
        path: path.to_string(),
        message,
        hint: Some("set it in the environment or under `env.vars`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn substituted(text: &str) -> Result<serde_json::Value, Vec<String>> {
        let env = |name: &str| match name {
            "HOST" => Some("example".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let mut tree = crate::json5::parse(text, 0).unwrap();
        match substitute(&mut tree, &env) {
            Ok(_) => Ok(tree.to_json()),
            Err(failures) => Err(failures
                .into_iter()
                .map(|failure| problem(failure, &["f".into()]).to_string())
                .collect()),
        }
    }

    #[test]
    fn variables_are_replaced_and_escapes_are_not() {
        let check = |text: &str, expected: &str| {
            let tree = substituted(&format!("{{v: '{text}'}}"));
            assert_eq!(tree, Ok(json!({"v": expected})), "{text}");
        };
        check("https://${HOST}/v1?${HOST}", "https://example/v1?example");
        check("$${HOST}", "${HOST}");
        check("$$${HOST}", "$${HOST}");
        check("${host} $HOST ${} ${1A} $ ${HOST", "${host} $HOST ${} ${1A} $ ${HOST");
        check("é${HOST}é", "éexampleé");
    }

    #[test]
    fn the_files_own_variables_serve_where_the_environment_has_none() {
        let text = "{env: {vars: {HOST: 'own', KEY: 'k-${HOST}'}, EMPTY: 'full'},
            a: '${HOST}', b: '${KEY}', c: '${EMPTY}'}";
        let tree = substituted(text).unwrap();
        assert_eq!([&tree["a"], &tree["b"], &tree["c"]], ["example", "k-example", "full"]);
    }

    #[test]
    fn every_missing_or_empty_variable_is_named_with_its_place() {
        let hint = "(set it in the environment or under `env.vars`)";
        assert_eq!(
            substituted("{a: ['${NONE}'],\n b: {'c.d': '${EMPTY}'}}").unwrap_err(),
            [
                format!("f:1:6: a[0]: the variable `NONE` is not set, or empty {hint}"),
                format!("f:2:13: b[\"c.d\"]: the variable `EMPTY` is not set, or empty {hint}"),
            ]
        );
    }
}
