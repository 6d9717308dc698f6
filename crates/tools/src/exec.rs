//! `exec`: one shell command in the workspace.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    pin::pin,
    process::Stdio,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use claw_tool::{
    CommandPlan, Output, Plan, PlanContext, Refusal, RunContext, Spec, Tool, parse_arguments,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    time::{sleep, timeout},
};

use crate::{
    Error,
    beneath::{Workspace, relative},
    capture::Capture,
    environment::{STRING_MAX, joined},
    helper::{self, Order, Report},
};

/// Room kept for how the command ended. Unit: bytes.
const ENDING_MAX: usize = 160;
/// Longest report of the helper. Unit: bytes.
const REPORT_MAX: u64 = 64 * 1024;
/// How long output is still taken after the helper has ended, when something holds the pipe open.
const DRAIN_MAX: Duration = Duration::from_secs(1);
/// How long the helper may take to end everything; longer than its own patience.
const END_MAX: Duration = helper::GIVE_UP.saturating_add(Duration::from_secs(5));

/// How the program is run again in its helper mode.
#[derive(Debug, Clone)]
pub struct Helper {
    /// The program.
    pub program: PathBuf,
    /// What turns it into the helper.
    pub arguments: Vec<OsString>,
}

impl Helper {
    /// This very program, even when its file has been replaced since; its `main` must call
    /// [`helper::main`] when its first argument is [`helper::WORD`].
    pub fn of_this_program() -> Self {
        Self { program: PathBuf::from("/proc/self/exe"), arguments: vec![helper::WORD.into()] }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Arguments {
    /// The command, for `/bin/sh`.
    command: String,
    /// Where it starts, relative to the workspace.
    workdir: Option<String>,
    /// Variables to add to its environment.
    env: Option<BTreeMap<String, String>>,
    /// When it is killed. Unit: seconds.
    timeout: Option<f64>,
    #[schemars(skip)]
    background: Option<bool>,
    #[schemars(skip)]
    pty: Option<bool>,
    #[schemars(skip)]
    elevated: Option<bool>,
    #[schemars(skip)]
    host: Option<String>,
    #[schemars(skip)]
    node: Option<String>,
}

/// The tool `exec`.
pub struct Exec {
    spec: Spec,
    helper: Helper,
}

impl Exec {
    /// The tool, which starts its commands through this helper.
    pub fn new(helper: Helper) -> Self {
        let description = "Run a shell command in the workspace and wait for it. Gives what it wrote to \
                           both of its streams; of long output the beginning and the end. Whatever it \
                           leaves running in the background ends with it.";
        Self { spec: Spec::of::<Arguments>("exec", description), helper }
    }
}

#[async_trait]
impl Tool for Exec {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn plan(&self, arguments: &Value, context: &PlanContext) -> Result<Plan, Refusal> {
        let arguments: Arguments = parse_arguments("exec", arguments)?;
        refuse_what_is_not_here(&arguments)?;
        let command = arguments.command;
        let refuse =
            |detail: &str| Err(Refusal::Arguments { tool: "exec", detail: detail.to_owned() });
        if command.trim().is_empty() {
            return refuse("`command` is empty");
        }
        if command.contains('\0') {
            return refuse("`command` holds a zero byte");
        }
        if command.len() > STRING_MAX {
            return refuse("`command` is too long; write it to a file and run that");
        }
        let directory = relative(arguments.workdir.as_deref().unwrap_or("."), &context.workspace)?;
        let limit = match arguments.timeout {
            None => context.command_timeout,
            Some(seconds) if seconds > 0.0 => {
                Duration::try_from_secs_f64(seconds).unwrap_or(context.command_timeout_max)
            }
            Some(_) => return refuse("`timeout` is not more than 0 seconds"),
        };
        Ok(Plan::Command(CommandPlan {
            argv: vec!["/bin/sh".to_owned(), "-c".to_owned(), command],
            directory,
            environment: joined(&context.command_environment, arguments.env.unwrap_or_default())?,
            timeout: limit.min(context.command_timeout_max),
        }))
    }

    async fn run(&self, plan: Plan, context: &RunContext) -> Output {
        let Plan::Command(plan) = plan else { return Error::ForeignPlan("exec").into() };
        if context.stop.is_cancelled() {
            return Output::error("(the run was stopped before the command started)");
        }
        let started = Instant::now();
        let mut capture = Capture::new(context.output_max.saturating_sub(ENDING_MAX));
        let end = match self.carry_out(&plan, context, &mut capture).await {
            Ok(end) => end,
            Err(error) => return error.into(),
        };
        // Joined by its parts, so that `.` adds nothing.
        let directory: PathBuf = context.workspace.join(&plan.directory).components().collect();
        let (said, ending) = (capture.into_text(), end.in_words(plan.timeout));
        Output {
            text: match (said.trim_end_matches('\n'), ending.as_str()) {
                // A result without any text is refused by some models' interfaces.
                ("", "") => "(no output)".to_owned(),
                ("", ending) => ending.to_owned(),
                (said, "") => said.to_owned(),
                (said, ending) => format!("{said}\n\n{ending}"),
            },
            is_error: end.cut.is_some() || matches!(end.report, Report::Failed(_)),
            details: json!({
                "status": if end.is_success() { "completed" } else { "failed" },
                "exitCode": end.exit_code(),
                "durationMs": u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
                "cwd": directory,
            }),
        }
    }
}

/// Says no to what OpenClaw's `exec` can do and this one cannot, rather than doing something else.
fn refuse_what_is_not_here(arguments: &Arguments) -> Result<(), Refusal> {
    let refuse = |what: &str| Err(Refusal::Never(format!("{what} here; leave it out")));
    if arguments.background == Some(true) {
        return refuse("`background` is not available: a command is waited for");
    }
    if arguments.pty == Some(true) {
        return refuse("`pty` is not available: a command has no terminal");
    }
    if arguments.elevated == Some(true) {
        return refuse("`elevated` is not available: a command has the gateway's own rights");
    }
    if arguments.node.is_some() || arguments.host.as_deref().is_some_and(|host| host != "gateway") {
        return refuse("another `host` or `node` is not available: a command runs on the gateway");
    }
    Ok(())
}

/// How a command ended.
struct End {
    /// Whether it was made to.
    cut: Option<Cut>,
    report: Report,
}

/// Why a command was made to end.
#[derive(Clone, Copy)]
enum Cut {
    Stop,
    Timeout,
}

impl End {
    fn is_success(&self) -> bool {
        self.cut.is_none() && self.report == Report::Exited(0)
    }

    fn exit_code(&self) -> Option<i32> {
        match self.report {
            Report::Exited(code) => Some(code),
            Report::Signalled(_) | Report::Failed(_) | Report::Unkillable => None,
        }
    }

    /// What the model is told under the output; nothing after a success.
    fn in_words(&self, limit: Duration) -> String {
        let end = match (self.cut, &self.report) {
            (None, Report::Exited(0)) => return String::new(),
            (None, Report::Exited(code)) => format!("(Command exited with code {code})"),
            (None, Report::Signalled(signal)) => format!("(Command was ended by {signal})"),
            (None, Report::Failed(why)) => format!("(Command could not be started: {why})"),
            (None, Report::Unkillable) => "(Command ended)".to_owned(),
            (Some(Cut::Stop), _) => "(Command was stopped)".to_owned(),
            (Some(Cut::Timeout), _) => {
                format!("(Command was ended after its {} s)", limit.as_secs_f64())
            }
        };
        match self.report {
            Report::Unkillable => {
                end + "\n(Something that it started could not be ended and still runs)"
            }
            Report::Exited(_) | Report::Signalled(_) | Report::Failed(_) => end,
        }
    }
}

/// The helper at work, and our ends of its pipes.
struct Watcher {
    process: Child,
    control: ChildStdin,
    output: ChildStdout,
    report: ChildStderr,
}

impl Exec {
    async fn carry_out(
        &self,
        plan: &CommandPlan,
        context: &RunContext,
        capture: &mut Capture,
    ) -> Result<End, Error> {
        let Watcher { mut process, mut control, output, report } =
            self.start(&context.workspace, &plan.directory)?;
        let order = Order { argv: plan.argv.clone(), environment: plan.environment.clone() };
        let mut line = serde_json::to_vec(&order).expect("an order is plain data");
        line.push(b'\n');
        match timeout(END_MAX, control.write_all(&line)).await {
            // A helper that ended before it had read says why in its report.
            Ok(_) => {}
            Err(late) => return Err(Error::Start(late.into())),
        }

        let mut following = Box::pin(follow(capture, output, report));
        let (cut, report) = tokio::select! {
            report = &mut following => (None, Some(report)),
            () = context.stop.cancelled() => (Some(Cut::Stop), None),
            () = sleep(plan.timeout) => (Some(Cut::Timeout), None),
        };
        drop(control);
        let report = match report {
            Some(report) => report,
            None => timeout(END_MAX, &mut following).await.unwrap_or(Ok(Report::Unkillable)),
        };
        drop(following);
        if timeout(DRAIN_MAX, process.wait()).await.is_err() {
            // It has nothing more to say. Should even this fail, the runtime still collects it.
            let _ = process.start_kill();
        }
        Ok(End { cut, report: report? })
    }

    /// Starts the helper in the directory itself, by its descriptor, so that no link that takes the
    /// directory's name meanwhile is followed.
    fn start(&self, workspace: &Path, directory: &Path) -> Result<Watcher, Error> {
        let directory = Workspace::open(workspace)?.directory(directory)?;
        let mut process = Command::new(&self.helper.program)
            .args(&self.helper.arguments)
            .env_clear()
            // Resolved by the new process, which has the descriptor until it becomes the helper.
            .current_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Error::Start)?;
        let control = process.stdin.take().expect("it is piped");
        let output = process.stdout.take().expect("it is piped");
        let report = process.stderr.take().expect("it is piped");
        Ok(Watcher { process, control, output, report })
    }
}

/// Takes the output until the helper has reported and nobody writes any more.
async fn follow(
    capture: &mut Capture,
    output: ChildStdout,
    report: ChildStderr,
) -> Result<Report, Error> {
    let mut filling = pin!(capture.fill(output));
    let mut reading = pin!(read_report(report));
    let mut flowing = true;
    let report = loop {
        tokio::select! {
            report = &mut reading => break report,
            () = &mut filling, if flowing => flowing = false,
        }
    };
    if flowing {
        // What cannot be killed may hold the pipe open for ever.
        let _ = timeout(DRAIN_MAX, filling).await;
    }
    report
}

async fn read_report(from: ChildStderr) -> Result<Report, Error> {
    let mut line = Vec::new();
    let read = from.take(REPORT_MAX).read_to_end(&mut line).await;
    // A helper that was killed has said nothing.
    read.ok().and_then(|_| serde_json::from_slice(&line).ok()).ok_or(Error::NoReport)
}
