//! `doctor`: what is right and wrong with this installation.

use std::process::ExitCode;

use claw_app::{Check, CheckState};
use serde_json::json;

use super::Done;
use crate::{context::Context, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Exits with 1 when something will not work.
pub(crate) async fn run(args: Args, context: &Context) -> Done {
    let checks = claw_app::doctor(&context.home, context.environment()).await;
    let well = checks.iter().all(|check| check.state != CheckState::Fail);
    if args.json {
        let checks: Vec<_> = checks.iter().map(as_json).collect();
        output::json(&json!({ "ok": well, "checks": checks }))?;
    } else {
        for check in &checks {
            output::text(&line(check))?;
        }
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn word(state: CheckState) -> &'static str {
    match state {
        CheckState::Ok => "ok",
        CheckState::Warn => "warn",
        CheckState::Fail => "fail",
    }
}

fn line(check: &Check) -> String {
    let Check { name, state, detail, hint } = check;
    let line = format!("{:<4}  {name}: {detail}", word(*state));
    match (state, hint) {
        (CheckState::Ok, _) | (_, None) => line,
        (_, Some(hint)) => format!("{line}\n      hint: {hint}"),
    }
}

fn as_json(check: &Check) -> serde_json::Value {
    let Check { name, state, detail, hint } = check;
    json!({ "name": name, "state": word(*state), "detail": detail, "hint": hint })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_check_says_what_to_do() {
        let check = Check {
            name: "exposure",
            state: CheckState::Fail,
            detail: "open".into(),
            hint: Some("close it".into()),
        };
        assert_eq!(line(&check), "fail  exposure: open\n      hint: close it");
        let ok = Check { state: CheckState::Ok, ..check };
        assert_eq!(line(&ok), "ok    exposure: open");
    }
}
