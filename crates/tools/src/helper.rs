//! The helper mode: a small process that watches over one command and everything it starts.
//!
//! The gateway runs its own binary again with [`WORD`] as its only argument. Between the two are
//! three pipes and nothing else: no environment, no other descriptor.
//!
//! - Standard input brings the command as one line of JSON and then stays open. Its end means
//!   "stop", and since the kernel closes it with the gateway, a gateway that was killed stops its
//!   commands too. (A parent-death signal would not do: it fires when the *thread* that started
//!   the helper ends, and it would end the helper alone.)
//! - Standard output is the command's own output, both of its streams in the order of writing.
//! - Standard error carries one line of JSON at the end: how the command ended.
//!
//! The helper is a subreaper: whatever loses its parent below it becomes its own child, daemons
//! included. Only children are signalled, and only by the thread that also reaps them, so a process
//! id can never have passed to a stranger. It is over when the helper has no child left.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Read, Write},
    os::{fd::AsFd, unix::process::CommandExt},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl::set_child_subreaper,
        resource::{Resource, getrlimit, setrlimit},
        signal::{SigSet, Signal, kill, killpg},
        signalfd::{SfdFlags, SignalFd},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, getpid, setsid},
};
use serde::{Deserialize, Serialize};

/// The argument that turns the binary into the helper.
pub const WORD: &str = "__exec-helper";

/// From the polite signal to the one that cannot be refused.
const GRACE: Duration = Duration::from_millis(500);
/// How long children that cannot be killed (stuck in the kernel, another user's) are waited for.
pub(crate) const GIVE_UP: Duration = Duration::from_secs(5);
/// From one round of killing to the next, when no child's end is heard of before.
const ROUND: Duration = Duration::from_millis(20);
/// Most files that a command may have open.
const FILES_MAX: u64 = 1024;
/// Longest order. Unit: bytes.
const ORDER_MAX: u64 = 16 * 1024 * 1024;

/// What to run, in the helper's own directory.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) argv: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
}

/// How it ended.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Report {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signalled(String),
    /// It never began.
    Failed(String),
    /// Something of it could not be killed and lives on.
    Unkillable,
}

/// Runs as the helper. To be called first thing in `main`, before any thread is started.
pub fn main() -> ExitCode {
    let report = watch().unwrap_or_else(|error| Report::Failed(error.to_string()));
    let line = serde_json::to_string(&report).expect("a report is plain data");
    match writeln!(io::stderr(), "{line}") {
        Ok(()) => ExitCode::SUCCESS,
        // The gateway is gone; nobody is left to be told.
        Err(_) => ExitCode::FAILURE,
    }
}

fn watch() -> io::Result<Report> {
    // A session of its own, so that no terminal's signals reach it.
    setsid()?;
    set_child_subreaper(true)?;
    limit(Resource::RLIMIT_CORE, 0)?;
    limit(Resource::RLIMIT_NOFILE, FILES_MAX)?;
    let order = read_order()?;
    let mut family = Family::start(&order)?;
    // Only now, since a child inherits the mask and a shell waits for its children by signal.
    let mask = SigSet::all();
    mask.thread_block()?;
    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    let signals = SignalFd::with_flags(&children, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    family.see_to_the_end(&signals)
}

fn limit(resource: Resource, max: u64) -> io::Result<()> {
    let (_, hard) = getrlimit(resource)?;
    let max = max.min(hard);
    Ok(setrlimit(resource, max, max)?)
}

fn read_order() -> io::Result<Order> {
    let mut line = Vec::new();
    io::stdin().lock().take(ORDER_MAX).read_until(b'\n', &mut line)?;
    Ok(serde_json::from_slice(&line)?)
}

/// The command and all that it starts.
struct Family {
    main: Pid,
    ended: Option<Report>,
}

/// How far the end has come.
enum Phase {
    Running,
    Ending { kill_at: Instant, give_up_at: Instant },
}

impl Family {
    fn start(order: &Order) -> io::Result<Self> {
        let (program, arguments) = order
            .argv
            .split_first()
            .ok_or_else(|| io::Error::other("there is no program to run"))?;
        let output = io::stdout().as_fd().try_clone_to_owned()?;
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(&order.environment)
            .stdin(Stdio::null())
            .stderr(output.try_clone()?)
            .stdout(output)
            // A group of its own, so that a command that signals its group spares the helper.
            .process_group(0)
            .spawn()?;
        let main = i32::try_from(child.id()).map_err(io::Error::other)?;
        Ok(Self { main: Pid::from_raw(main), ended: None })
    }

    fn see_to_the_end(&mut self, signals: &SignalFd) -> io::Result<Report> {
        let mut phase = Phase::Running;
        let mut stop_asked = false;
        while self.reap()? {
            let now = Instant::now();
            let wait = match phase {
                Phase::Running if stop_asked || self.ended.is_some() => {
                    self.ask_to_end()?;
                    phase =
                        Phase::Ending { kill_at: now + GRACE, give_up_at: now + GRACE + GIVE_UP };
                    Some(GRACE)
                }
                Phase::Running => None,
                Phase::Ending { give_up_at, .. } if now >= give_up_at => {
                    return Ok(Report::Unkillable);
                }
                Phase::Ending { kill_at, .. } if now >= kill_at => {
                    signal_children(Signal::SIGKILL)?;
                    Some(ROUND)
                }
                Phase::Ending { kill_at, .. } => {
                    // Those that have lost their parent only now have not been asked yet.
                    signal_children(Signal::SIGTERM)?;
                    Some(kill_at - now)
                }
            };
            stop_asked |= wait_for_news(signals, !stop_asked, wait)?;
        }
        self.ended.take().ok_or_else(|| io::Error::other("the command vanished"))
    }

    /// Collects every child that has ended; whether any is left.
    fn reap(&mut self) -> io::Result<bool> {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => return Ok(true),
                Ok(WaitStatus::Exited(pid, code)) if pid == self.main => {
                    self.ended = Some(Report::Exited(code));
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == self.main => {
                    self.ended = Some(Report::Signalled(signal.as_str().to_owned()));
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::ECHILD) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Asks politely: the command's whole group, which is there as long as its leader is not
    /// reaped, and whoever has become our child.
    fn ask_to_end(&self) -> io::Result<()> {
        if self.ended.is_none() {
            // It may have ended this very moment; the next reaping tells.
            let _ = killpg(self.main, Signal::SIGTERM);
        }
        signal_children(Signal::SIGTERM)
    }
}

/// Waits for a child's end, for the control pipe's end while that is of interest, or for `limit`;
/// whether the control pipe has ended.
fn wait_for_news(signals: &SignalFd, control: bool, limit: Option<Duration>) -> io::Result<bool> {
    let stdin = io::stdin();
    let mut watched = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    if control {
        watched.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
    }
    // Rounded up, so that a wait of less than a millisecond is not a busy loop.
    let timeout = match limit {
        None => PollTimeout::NONE,
        Some(limit) => {
            PollTimeout::try_from(limit + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        }
    };
    match poll(&mut watched, timeout) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(error) => return Err(error.into()),
    }
    let ended = watched.get(1).and_then(PollFd::any).unwrap_or(false);
    while signals.read_signal()?.is_some() {}
    Ok(ended)
}

fn signal_children(signal: Signal) -> io::Result<()> {
    for child in children()? {
        // Not reaped, so it is there or its ghost is; another user's cannot be signalled at all.
        let _ = kill(child, signal);
    }
    Ok(())
}

/// Our own children, from the process table.
fn children() -> io::Result<Vec<Pid>> {
    let ours = getpid();
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process that ended while we looked has no entry any more.
        let Ok(stat) = std::fs::read(format!("/proc/{pid}/stat")) else { continue };
        if parent_in(&stat) == Some(ours) {
            children.push(Pid::from_raw(pid));
        }
    }
    Ok(children)
}

/// The parent in a line of `/proc/<pid>/stat`: the second word after the name, whose parentheses
/// may hold anything, parentheses included (proc_pid_stat(5)).
fn parent_in(stat: &[u8]) -> Option<Pid> {
    let after = stat.rsplit(|byte| *byte == b')').next()?;
    std::str::from_utf8(after)
        .ok()?
        .split_ascii_whitespace()
        .nth(1)?
        .parse()
        .ok()
        .map(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_behind_any_name() {
        for (stat, expected) in [
            ("12 (sleep) S 7 12 12 0", Some(7)),
            ("12 (a) b (c)) R 8 1", Some(8)),
            ("12 (x", None),
            ("", None),
            ("12 (x) S", None),
        ] {
            assert_eq!(parent_in(stat.as_bytes()), expected.map(Pid::from_raw), "{stat}");
        }
    }
}
