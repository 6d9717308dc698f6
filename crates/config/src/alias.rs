//! How other words for a key become OpenClaw's.

mod table;

use std::net::IpAddr;
use std::path::PathBuf;

use crate::error::Problem;
use crate::path::{Path, Segment};
use crate::pattern::{Piece, pieces};
use crate::tree::{Entry, Node, Origin, Value};

use table::MODEL_PROVIDERS;
pub use table::{ALIASES, Alias, Rule};

/// Renames everything in `tree` that [`ALIASES`] names. Origins stay, so that a later problem is
/// shown where the person wrote it.
///
/// # Errors
/// A key that is given in two words, or an alias that lacks what it refers to.
pub(crate) fn rename(tree: &mut Node, files: &[PathBuf]) -> Result<(), Vec<Problem>> {
    let mut problems = Vec::new();
    for alias in ALIASES {
        for (path, met) in find(tree, &pieces(alias.from)) {
            if let Err((at, message)) = apply(alias, tree, &path, &met, files) {
                let problem = Problem::file(&files[at.file], message);
                let path = path.to_string();
                problems.push(Problem { line: at.line, column: at.column, path, ..problem });
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// `path` in OpenClaw's words, where it is an alias that needs nothing else of the file.
pub fn canonical(path: &Path) -> Path {
    let mut path = path.clone();
    for alias in ALIASES.iter().filter(|alias| !alias.to.contains('{') && alias.from != alias.to) {
        let pieces = pieces(alias.from);
        let Some((head, tail)) = path.segments().split_at_checked(pieces.len()) else { continue };
        let met: Vec<_> =
            pieces.iter().zip(head).map(|(piece, segment)| met(piece, segment)).collect();
        if met.iter().any(Option::is_none) || matches!(alias.rule, Rule::Used { .. }) {
            continue;
        }
        let met: Vec<_> = met.into_iter().flatten().flatten().collect();
        let to = target(alias.to, &met, &|part| Ok(part.to_owned())).expect("nothing to fill in");
        path = tail.iter().fold(to, |path, segment| path.with(segment.clone()));
    }
    path
}

/// What a placeholder met, if it is one; `None` where the two do not fit.
fn met(piece: &Piece, segment: &Segment) -> Option<Option<Segment>> {
    match (piece, segment) {
        (Piece::Key(name), Segment::Key(key)) => (name == key).then_some(None),
        (Piece::AnyKey, Segment::Key(_)) | (Piece::AnyItem, Segment::Index(_)) => {
            Some(Some(segment.clone()))
        }
        _ => None,
    }
}

type Failure = (Origin, String);

fn apply(
    alias: &Alias,
    tree: &mut Node,
    from: &Path,
    met: &[Segment],
    files: &[PathBuf],
) -> Result<(), Failure> {
    let node = tree.get(from).expect("found a moment ago").clone();
    let origin = node.origin;
    let fill = |template: &str| fill(template, tree).map_err(|message| (origin, message));
    let to = target(alias.to, met, &fill)?;
    let text = match alias.rule {
        Rule::Text(template) => Some(fill(template)?),
        Rule::Used { with }
            if tree.get(&with.parse().expect("the table holds paths")).is_none() =>
        {
            return Err((origin, "says nothing alone; name the model too".to_owned()));
        }
        _ => None,
    };
    let key_origin = key_origin(tree, from);
    let mut stays = false;
    for (to, node) in alias.rule.value(&to, node, text) {
        if to == *from {
            *tree.get_mut(from).expect("found a moment ago") = node;
            stays = true;
            continue;
        }
        let entry = Entry { key: String::new(), key_origin, node };
        insert(tree, &Path::root(), to.segments(), entry).map_err(|conflict| {
            let Conflict { path, there, here } = conflict;
            let place = format!("{}:{}:{}", files[there.file].display(), there.line, there.column);
            (here, format!("is another word for `{path}`, which stands at {place} too"))
        })?;
    }
    if !stays {
        remove(tree, from);
    }
    Ok(())
}

/// Where the key of the entry at `path` stands.
fn key_origin(tree: &Node, path: &Path) -> Origin {
    let (last, above) = path.segments().split_last().expect("an alias is no empty path");
    let holder = tree.get(&Path::from(above.to_vec()));
    match (holder, last) {
        (Some(holder), Segment::Key(key)) => holder.entry(key).map(|entry| entry.key_origin),
        _ => None,
    }
    .expect("an alias is a key of an object")
}

impl Rule {
    /// What stands where after the rule.
    fn value(&self, to: &Path, node: Node, text: Option<String>) -> Vec<(Path, Node)> {
        let origin = node.origin;
        let renamed = match (self, node.as_str()) {
            (Self::Used { .. }, _) => return Vec::new(),
            (Self::Emptied, _) => return vec![(to.clone(), Node::object(origin))],
            (Self::Bind, Some(host)) => match bind_word(host) {
                Some("custom") => {
                    let host = Node::string(host, origin);
                    let beside = Path::root().key("gateway").key("customBindHost");
                    return vec![(to.clone(), Node::string("custom", origin)), (beside, host)];
                }
                word => word.map(str::to_owned),
            },
            (Self::Words(words), Some(given)) => {
                words.iter().find(|(word, _)| *word == given).map(|(_, ours)| (*ours).to_owned())
            }
            (Self::Model, Some(model)) => provider_of(model).map(|p| format!("{p}/{model}")),
            _ => text,
        };
        let node = renamed.map_or(node, |text| Node::string(text, origin));
        vec![(to.clone(), node)]
    }
}

/// OpenClaw's word for a gateway that listens at `host`, if that is an address.
fn bind_word(host: &str) -> Option<&'static str> {
    if host == "localhost" {
        return Some("loopback");
    }
    let address: IpAddr = host.trim_matches(['[', ']']).parse().ok()?;
    Some(match address {
        _ if address.is_unspecified() => "lan",
        _ if address.is_loopback() => "loopback",
        _ => "custom",
    })
}

fn provider_of(model: &str) -> Option<&'static str> {
    let known = MODEL_PROVIDERS.iter().find(|(start, _)| model.starts_with(start));
    known.filter(|_| !model.contains('/')).map(|(_, provider)| *provider)
}

/// The places in `tree` that `pieces` mean, each with what the placeholders met.
fn find(tree: &Node, pieces: &[Piece]) -> Vec<(Path, Vec<Segment>)> {
    let mut found = vec![(Path::root(), Vec::new())];
    for piece in pieces {
        let mut deeper = Vec::new();
        for (path, met) in found {
            let node = tree.get(&path).expect("found a step before");
            for segment in below(node, piece) {
                let mut met = met.clone();
                if !matches!(piece, Piece::Key(_)) {
                    met.push(segment.clone());
                }
                deeper.push((path.with(segment), met));
            }
        }
        found = deeper;
    }
    found
}

fn below(node: &Node, piece: &Piece) -> Vec<Segment> {
    match (piece, &node.value) {
        (Piece::Key(key), Value::Object(_)) if node.entry(key).is_some() => {
            vec![Segment::Key(key.clone())]
        }
        (Piece::AnyKey, Value::Object(entries)) => {
            entries.iter().map(|entry| Segment::Key(entry.key.clone())).collect()
        }
        (Piece::AnyItem, Value::Array(items)) => (0..items.len()).map(Segment::Index).collect(),
        _ => Vec::new(),
    }
}

/// Writes out the placeholders of an alias's `to`.
fn target(
    template: &str,
    met: &[Segment],
    fill: &dyn Fn(&str) -> Result<String, Failure>,
) -> Result<Path, Failure> {
    let mut met = met.iter().cloned();
    let mut segments = Vec::new();
    // A dot inside braces belongs to the braces' own path.
    let mut depth = 0;
    let parts = template.split(|c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == '.' && depth == 0
    });
    for part in parts {
        match part {
            "*" => segments.extend(met.next()),
            part => {
                segments.push(Segment::Key(fill(part.trim_end_matches("[]"))?));
                if part.ends_with("[]") {
                    segments.extend(met.next());
                }
            }
        }
    }
    Ok(Path::from(segments))
}

/// Puts the text at each `{path}` of `template` in its place.
fn fill(template: &str, tree: &Node) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, (name, after))) =
        rest.split_once('{').and_then(|(before, inner)| Some((before, inner.split_once('}')?)))
    {
        let path = name.parse().expect("the table holds paths");
        let text = tree.get(&path).and_then(Node::as_str).filter(|text| !text.is_empty());
        let text = text.ok_or_else(|| format!("needs `{name}` beside it"))?;
        filled.extend([before, text]);
        rest = after;
    }
    Ok(filled + rest)
}

/// Takes the entry at `path` out, and objects that this leaves empty.
fn remove(tree: &mut Node, path: &Path) {
    fn step(node: &mut Node, segments: &[Segment]) {
        match (&mut node.value, segments) {
            (Value::Object(entries), [Segment::Key(key), rest @ ..]) => {
                entries.retain_mut(|entry| {
                    if entry.key != *key {
                        return true;
                    }
                    step(&mut entry.node, rest);
                    !rest.is_empty() && entry.node.value != Value::Object(Vec::new())
                });
            }
            (Value::Array(items), [Segment::Index(index), rest @ ..]) => {
                items.get_mut(*index).into_iter().for_each(|item| step(item, rest));
            }
            _ => {}
        }
    }
    step(tree, path.segments());
}

/// Two values for one key.
struct Conflict {
    path: Path,
    there: Origin,
    here: Origin,
}

/// Puts `entry` at `segments` below `node`, which stands at `at`; makes what is missing on the way,
/// and merges objects.
fn insert(node: &mut Node, at: &Path, segments: &[Segment], entry: Entry) -> Result<(), Conflict> {
    let Some((first, rest)) = segments.split_first() else { return merge(node, at, entry.node) };
    let conflict = Conflict { path: at.clone(), there: node.origin, here: entry.node.origin };
    let at = at.with(first.clone());
    match (&mut node.value, first) {
        (Value::Object(entries), Segment::Key(key)) => {
            if let Some(found) = entries.iter_mut().find(|entry| entry.key == *key) {
                return insert(&mut found.node, &at, rest, entry);
            }
            let mut new = Entry { key: key.clone(), ..entry.clone() };
            if !rest.is_empty() {
                new.node = Node::object(new.node.origin);
                insert(&mut new.node, &at, rest, entry)?;
            }
            entries.push(new);
            Ok(())
        }
        (Value::Array(items), Segment::Index(index)) => match items.get_mut(*index) {
            Some(item) => insert(item, &at, rest, entry),
            None => Err(conflict),
        },
        _ => Err(conflict),
    }
}

fn merge(there: &mut Node, at: &Path, new: Node) -> Result<(), Conflict> {
    match new.value {
        Value::Object(entries) if matches!(there.value, Value::Object(_)) => {
            entries.into_iter().try_for_each(|entry| {
                let key = [Segment::Key(entry.key.clone())];
                insert(there, at, &key, entry)
            })
        }
        _ => Err(Conflict { path: at.clone(), there: there.origin, here: new.origin }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(text: &str) -> Result<serde_json::Value, Vec<String>> {
        let mut tree = crate::json5::parse(text, 0).unwrap();
        match rename(&mut tree, &["f".into()]) {
            Ok(()) => Ok(tree.to_json()),
            Err(problems) => Err(problems.iter().map(Problem::to_string).collect()),
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let expected = crate::json5::parse(expected, 0).unwrap().to_json();
        assert_eq!(renamed(text), Ok(expected), "{text}");
    }

    #[track_caller]
    fn check_error(text: &str, expected: &str) {
        assert_eq!(renamed(text), Err(vec![expected.to_owned()]), "{text}");
    }

    #[test]
    fn a_section_moves_with_all_that_it_holds_and_merges() {
        check(
            "{gateway: {mode: 'local'}, server: {port: 1}}",
            "{gateway: {mode: 'local', port: 1}}",
        );
        check("{storage: {backend: 'sqlite'}}", "{store: {backend: 'sqlite'}}");
    }

    #[test]
    fn hosts_become_openclaws_words() {
        let check = |host: &str, expected: &str| {
            check(&format!("{{server: {{host: '{host}'}}}}"), &format!("{{gateway: {expected}}}"));
            check(&format!("{{gateway: {{bind: '{host}'}}}}"), &format!("{{gateway: {expected}}}"));
        };
        for (host, word) in [
            ("0.0.0.0", "lan"),
            ("::", "lan"),
            ("127.0.0.1", "loopback"),
            ("[::1]", "loopback"),
            ("localhost", "loopback"),
            ("tailnet", "tailnet"),
            // A slip is for the typed reader to refuse.
            ("lna", "lna"),
        ] {
            check(host, &format!("{{bind: '{word}'}}"));
        }
        check("192.168.1.2", "{bind: 'custom', customBindHost: '192.168.1.2'}");
    }

    #[test]
    fn values_have_other_words_too() {
        let mode = |given: &str| format!("{{agents: {{sandbox: {{mode: '{given}'}}}}}}");
        let ours =
            |mode: &str| format!("{{agents: {{defaults: {{sandbox: {{mode: '{mode}'}}}}}}}}");
        check(&mode("non_main"), &ours("non-main"));
        check(&mode("Always"), &ours("all"));
        check(&mode("never"), &ours("off"));
        check(&ours("NonMain"), &ours("non-main"));
        check(&ours("odd"), &ours("odd"));
        check(
            "{agents: {list: [{id: 'a'}, {sandbox: {mode: 'Never'}}]}}",
            "{agents: {list: [{id: 'a'}, {sandbox: {mode: 'off'}}]}}",
        );
        check("{messages: {queue: {mode: 'Queue'}}}", "{messages: {queue: {mode: 'followup'}}}");
    }

    #[test]
    fn a_models_name_tells_its_provider() {
        let check = |given: &str, expected: &str| {
            check(
                &format!("{{agents: {{model: '{given}'}}}}"),
                &format!("{{agents: {{defaults: {{model: {{primary: '{expected}'}}}}}}}}"),
            );
        };
        check("gpt-4", "openai/gpt-4");
        check("o3-mini", "openai/o3-mini");
        check("claude-x", "anthropic/claude-x");
        check("ollama/gpt-oss", "ollama/gpt-oss");
        check("qwen", "qwen");
    }

    #[test]
    fn the_parts_of_an_agent_go_to_their_places() {
        check(
            "{agent: {provider: 'anthropic', model: 'm.1', api_key: 'k', max_tokens: 9}}",
            "{models: {providers: {anthropic: {apiKey: 'k'}}},
              agents: {defaults: {models: {'anthropic/m.1': {params: {maxTokens: 9}}},
                                  model: {primary: 'anthropic/m.1'}}}}",
        );
        check_error(
            "{agent: {provider: 'openai'}}",
            "f:1:20: agent.provider: says nothing alone; name the model too",
        );
        check_error(
            "{agent: {api_key: 'k'}}",
            "f:1:19: agent.api_key: needs `agent.provider` beside it",
        );
    }

    #[test]
    fn channel_words_are_renamed_for_their_channel_only() {
        check(
            "{channels: {telegram: {token: 't', allowed_users: ['1']}, discord: {token: 't', guild_id: '7'}}}",
            "{channels: {telegram: {botToken: 't', allowFrom: ['1']}, discord: {token: 't', guilds: {'7': {}}}}}",
        );
        check(
            "{channels: {telegram: {bot_token: 't'}}}",
            "{channels: {telegram: {botToken: 't'}}}",
        );
    }

    #[test]
    fn a_key_in_two_words_is_refused_with_both_places() {
        check_error(
            "{gateway: {port: 1},\n server: {port: 2}}",
            "f:2:17: server: is another word for `gateway.port`, which stands at f:1:18 too",
        );
        check_error(
            "{gateway: {bind: 'lan',\n host: '0.0.0.0'}}",
            "f:2:8: gateway.host: is another word for `gateway.bind`, which stands at f:1:18 too",
        );
    }

    #[test]
    fn a_path_in_other_words_has_one_in_openclaws() {
        for (other, ours) in [
            ("server.port", "gateway.port"),
            ("server.host", "gateway.bind"),
            ("agents.model", "agents.defaults.model.primary"),
            ("channels.irc.allowed_users[0]", "channels.irc.allowFrom[0]"),
            ("channels.telegram.token", "channels.telegram.botToken"),
            ("agents.list[0].sandbox.mode", "agents.list[0].sandbox.mode"),
            ("agent.provider", "agent.provider"),
            ("gateway", "gateway"),
        ] {
            assert_eq!(canonical(&other.parse().unwrap()).to_string(), ours);
        }
    }

    #[test]
    fn every_alias_leads_to_a_known_key() {
        for alias in ALIASES.iter().filter(|alias| !matches!(alias.rule, Rule::Used { .. })) {
            let to =
                target(alias.to, &[Segment::Key("telegram".into())], &|part| Ok(part.to_owned()));
            let known =
                to.unwrap().segments().iter().try_fold(crate::known::root(), |k, s| k.step(s));
            assert!(known.is_some() || alias.to.contains("[]"), "{}", alias.to);
        }
    }
}
