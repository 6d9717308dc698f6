//! `edit`: one passage of a text file, replaced exactly.

use std::{borrow::Cow, io::Read as _};

use async_trait::async_trait;
use claw_tool::{
    FileAction, FilePlan, Output, Plan, PlanContext, Refusal, RunContext, Spec, Tool,
    parse_arguments,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Error,
    beneath::{Workspace, in_workspace, path_argument},
};

/// Largest file that is edited. Unit: bytes.
const FILE_MAX: u64 = 16 * 1024 * 1024;

#[derive(Deserialize, JsonSchema)]
struct Arguments {
    /// The file, relative to the workspace.
    path: Option<String>,
    /// Another word for `path`.
    file_path: Option<String>,
    /// The passage exactly as it stands in the file; it must occur once.
    #[serde(rename = "oldText")]
    old_text: Option<String>,
    /// What takes its place.
    #[serde(rename = "newText")]
    new_text: Option<String>,
    /// Another word for `oldText`.
    old_string: Option<String>,
    /// Another word for `newText`.
    new_string: Option<String>,
}

/// The tool `edit`.
pub struct Edit {
    spec: Spec,
}

impl Default for Edit {
    fn default() -> Self {
        let description = "Replace one passage of a text file of the workspace. The old text must be \
                           exactly as it stands there and must occur once.";
        Self { spec: Spec::of::<Arguments>("edit", description) }
    }
}

#[async_trait]
impl Tool for Edit {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn plan(&self, arguments: &Value, context: &PlanContext) -> Result<Plan, Refusal> {
        let refuse = |detail: &str| Refusal::Arguments { tool: "edit", detail: detail.to_owned() };
        let arguments: Arguments = parse_arguments("edit", arguments)?;
        let path = path_argument("edit", arguments.path, arguments.file_path, &context.workspace)?;
        let old = arguments
            .old_text
            .or(arguments.old_string)
            .ok_or_else(|| refuse("missing field `oldText`"))?;
        let new = arguments
            .new_text
            .or(arguments.new_string)
            .ok_or_else(|| refuse("missing field `newText`"))?;
        if old.is_empty() {
            return Err(refuse("`oldText` is empty; use `write` to make a file"));
        }
        if old == new {
            return Err(refuse("`oldText` and `newText` are the same"));
        }
        Ok(Plan::File(FilePlan { path, action: FileAction::Edit { old, new } }))
    }

    async fn run(&self, plan: Plan, context: &RunContext) -> Output {
        match plan {
            Plan::File(FilePlan { path, action: FileAction::Edit { old, new } }) => {
                let work = move |workspace: &Workspace| {
                    let mut file = workspace.read(&path)?.take(FILE_MAX + 1);
                    let mut bytes = Vec::new();
                    file.read_to_end(&mut bytes).map_err(|source| Error::file(&path, source))?;
                    if bytes.len() as u64 > FILE_MAX {
                        return Err(Error::TooLarge { path, max: FILE_MAX });
                    }
                    let text = String::from_utf8(bytes).map_err(|_| Error::Binary(path.clone()))?;
                    let edited = replace_once(&text, &old, &new).map_err(|times| match times {
                        0 => Error::NoMatch(path.clone()),
                        times => Error::ManyMatches { path: path.clone(), times },
                    })?;
                    workspace.replace(&path, edited.as_bytes())?;
                    let output = Output::ok(format!("edited `{}`", path.display()));
                    Ok(Output { details: json!({ "path": path }), ..output })
                };
                in_workspace(context.workspace.clone(), work).await
            }
            Plan::File(_) | Plan::Command(_) => Error::ForeignPlan("edit").into(),
        }
    }
}

/// Replaces the one occurrence of `old`, or says how many there are.
///
/// Where every line of the text ends in CRLF, so do those of `old` and `new`: models write LF.
fn replace_once(text: &str, old: &str, new: &str) -> Result<String, usize> {
    let ends = text.matches('\n').count();
    let crlf = ends > 0 && ends == text.matches("\r\n").count();
    let (old, new) = if crlf { (with_crlf(old), with_crlf(new)) } else { (old.into(), new.into()) };
    let found = occurrences(text, &old);
    match found.as_slice() {
        [at] => Ok([&text[..*at], &new, &text[at + old.len()..]].concat()),
        _ => Err(found.len()),
    }
}

fn with_crlf(text: &str) -> Cow<'_, str> {
    text.replace("\r\n", "\n").replace('\n', "\r\n").into()
}

/// Where `part` begins, overlaps counted: `aa` is twice in `aaa`, and which was meant is unclear.
fn occurrences(text: &str, part: &str) -> Vec<usize> {
    let step = part.chars().next().map_or(1, char::len_utf8);
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find(part) {
        found.push(from + at);
        from += at + step;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, old: &str, new: &str, expected: Result<&str, usize>) {
        assert_eq!(replace_once(text, old, new), expected.map(str::to_owned));
    }

    #[test]
    fn the_one_occurrence_is_replaced() {
        check("one two three", "two", "2", Ok("one 2 three"));
        check("żółw i ółw", "żółw", "x", Ok("x i ółw"));
        check("a\nb\n", "a\nb", "c", Ok("c\n"));
    }

    #[test]
    fn none_or_several_are_counted_overlaps_too() {
        check("one", "two", "2", Err(0));
        check("a b a", "a", "c", Err(2));
        check("aaa", "aa", "b", Err(2));
        check("ééé", "éé", "b", Err(2));
    }

    #[test]
    fn crlf_stays_crlf() {
        check("a\r\nb\r\nc\r\n", "a\nb\n", "x\ny\n", Ok("x\r\ny\r\nc\r\n"));
        check("a\r\nb\r\n", "a\r\nb", "x\r\n", Ok("x\r\n\r\n"));
        check("a\r\nb\n", "a", "x\ny", Ok("x\ny\r\nb\n"));
    }
}
