//! `read`: lines of a text file.

use std::io::{self, BufRead, BufReader};

use async_trait::async_trait;
use claw_tool::{
    FileAction, FilePlan, Output, Plan, PlanContext, Refusal, RunContext, Spec, Tool,
    parse_arguments,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    Error,
    beneath::{Workspace, in_workspace, path_argument},
    capture::readable,
};

/// Most lines of one call, as in OpenClaw.
const LINES_MAX: usize = 2000;
/// Most text of one call, as in OpenClaw. Unit: bytes.
const TEXT_MAX: usize = 50 * 1024;
/// Room kept for the closing notice. Unit: bytes.
const NOTICE_MAX: usize = 128;

#[derive(Deserialize, JsonSchema)]
struct Arguments {
    /// The file, relative to the workspace.
    path: Option<String>,
    /// Another word for `path`.
    file_path: Option<String>,
    /// The first line, from 1.
    offset: Option<usize>,
    /// How many lines at most.
    limit: Option<usize>,
}

/// The tool `read`.
pub struct Read {
    spec: Spec,
}

impl Default for Read {
    fn default() -> Self {
        let description = "Read a text file of the workspace, at most 2000 lines or 50 KB at once; \
                           a notice at the end says where to go on.";
        Self { spec: Spec::of::<Arguments>("read", description) }
    }
}

#[async_trait]
impl Tool for Read {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn plan(&self, arguments: &Value, context: &PlanContext) -> Result<Plan, Refusal> {
        let arguments: Arguments = parse_arguments("read", arguments)?;
        let path = path_argument("read", arguments.path, arguments.file_path, &context.workspace)?;
        let action = FileAction::Read {
            offset: arguments.offset.unwrap_or(1).max(1),
            limit: arguments.limit.unwrap_or(LINES_MAX).clamp(1, LINES_MAX),
        };
        Ok(Plan::File(FilePlan { path, action }))
    }

    async fn run(&self, plan: Plan, context: &RunContext) -> Output {
        let text_max = context.output_max.saturating_sub(NOTICE_MAX).min(TEXT_MAX);
        match plan {
            Plan::File(file @ FilePlan { action: FileAction::Read { offset, limit }, .. }) => {
                let work =
                    move |workspace: &Workspace| read(workspace, &file, offset, limit, text_max);
                in_workspace(context.workspace.clone(), work).await
            }
            Plan::File(_) | Plan::Command(_) => Error::ForeignPlan("read").into(),
        }
    }
}

fn read(
    workspace: &Workspace,
    plan: &FilePlan,
    offset: usize,
    limit: usize,
    text_max: usize,
) -> Result<Output, Error> {
    let fail = |source| Error::file(&plan.path, source);
    let mut file = BufReader::new(workspace.read(&plan.path)?);
    for line in 1..offset {
        if file.skip_until(b'\n').map_err(fail)? == 0 {
            return Err(Error::BeyondEnd { path: plan.path.clone(), lines: line - 1, offset });
        }
    }
    let page = page(&mut file, limit, text_max).map_err(fail)?;
    if page.text.contains(&0) {
        return Err(Error::Binary(plan.path.clone()));
    }
    let notice = match page.end {
        End::OfFile => String::new(),
        End::More => format!("[more follows; go on with offset={}]", offset + page.lines),
        End::LineCut => format!("\n[line {offset} is longer than {text_max} bytes and was cut]"),
    };
    Ok(Output::ok(readable(&page.text) + &notice))
}

/// Whole lines, as many as fit.
struct Page {
    text: Vec<u8>,
    lines: usize,
    end: End,
}

/// Why a page ends.
enum End {
    OfFile,
    More,
    /// Its first line alone was too long.
    LineCut,
}

fn page(file: &mut impl BufRead, limit: usize, text_max: usize) -> io::Result<Page> {
    let mut text = Vec::new();
    for lines in 0..limit {
        let start = text.len();
        let room = text_max - start;
        // One byte more than there is room for tells whether the line fits.
        let read = io::Read::take(&mut *file, room as u64 + 1).read_until(b'\n', &mut text)?;
        if read == 0 {
            return Ok(Page { text, lines, end: End::OfFile });
        }
        if read > room {
            let (length, end) =
                if lines == 0 { (text_max, End::LineCut) } else { (start, End::More) };
            text.truncate(length);
            return Ok(Page { text, lines, end });
        }
    }
    let end = if file.fill_buf()?.is_empty() { End::OfFile } else { End::More };
    Ok(Page { text, lines: limit, end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(file: &str, limit: usize, text_max: usize, expected: (&str, &str)) {
        let page = page(&mut file.as_bytes(), limit, text_max).unwrap();
        let end = match page.end {
            End::OfFile => "end".to_owned(),
            End::More => format!("more after {}", page.lines),
            End::LineCut => "cut".to_owned(),
        };
        assert_eq!((readable(&page.text).as_str(), end.as_str()), expected);
    }

    #[test]
    fn a_page_ends_at_the_file_the_line_limit_or_the_last_line_that_fits() {
        check("", 9, 99, ("", "end"));
        check("a\nb\n", 9, 99, ("a\nb\n", "end"));
        check("a\nb", 9, 99, ("a\nb", "end"));
        check("a\nb\n", 2, 99, ("a\nb\n", "end"));
        check("a\nb\nc", 2, 99, ("a\nb\n", "more after 2"));
        check("a\nb\n", 9, 4, ("a\nb\n", "end"));
        check("a\nb\nc", 9, 4, ("a\nb\n", "more after 2"));
        check("a\nbcd\n", 9, 4, ("a\n", "more after 1"));
        check("abcdef\n", 9, 4, ("abcd", "cut"));
    }
}
