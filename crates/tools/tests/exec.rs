//! Commands: what they give back, and that nothing of them is left.

mod common;

use std::{
    fs,
    io::{Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use claw_tool::Output;
use common::Bench;
use nix::{
    errno::Errno,
    sys::{signal::kill, stat::Mode},
    unistd::{Pid, mkfifo},
};
use serde_json::{Value, json};

#[track_caller]
fn check(output: &Output, text: &str, status: &str, exit_code: Value) {
    assert_eq!((output.text.as_str(), &output.details["status"]), (text, &json!(status)));
    assert_eq!(output.details["exitCode"], exit_code);
}

#[tokio::test]
async fn both_streams_come_in_the_order_of_writing() {
    let bench = Bench::new();
    let output = bench.call("exec", json!({"command": "echo a; echo b >&2; echo c"})).await;
    check(&output, "a\nb\nc", "completed", json!(0));
    assert!(!output.is_error);
    assert_eq!(output.details["cwd"], json!(bench.path()));
    assert!(output.details["durationMs"].is_u64());
    check(
        &bench.call("exec", json!({"command": "true"})).await,
        "(no output)",
        "completed",
        json!(0),
    );
    let blank = bench.call("exec", json!({"command": "printf '\\n a\\n\\n'"})).await;
    check(&blank, "\n a", "completed", json!(0));
}

#[tokio::test]
async fn a_command_that_fails_is_no_broken_tool() {
    let bench = Bench::new();
    let failed = bench.call("exec", json!({"command": "echo no; exit 3"})).await;
    check(&failed, "no\n\n(Command exited with code 3)", "failed", json!(3));
    assert!(!failed.is_error);
    let killed = bench.call("exec", json!({"command": "kill -9 $$"})).await;
    check(&killed, "(Command was ended by SIGKILL)", "failed", Value::Null);
}

#[tokio::test]
async fn a_command_starts_in_its_directory_and_not_outside() {
    // SEC-33
    let bench = Bench::new();
    fs::create_dir_all(bench.path().join("sub/dir")).unwrap();
    std::os::unix::fs::symlink("/", bench.path().join("out")).unwrap();
    let inside = bench.call("exec", json!({"command": "pwd -P", "workdir": "sub/dir"})).await;
    let expected = bench.path().canonicalize().unwrap().join("sub/dir");
    check(&inside, expected.to_str().unwrap(), "completed", json!(0));
    for (workdir, expected) in [
        ("out", "`out` is outside the workspace; only files beneath it can be reached"),
        ("..", "`..` is outside the workspace; only files beneath it can be reached"),
        ("/", "`/` is outside the workspace; give the path relative to it"),
        ("none", "`none` does not exist"),
    ] {
        let output = bench.call("exec", json!({"command": "true", "workdir": workdir})).await;
        assert_eq!((output.text.as_str(), output.is_error), (expected, true));
    }
}

#[tokio::test]
async fn a_command_gets_the_given_environment_and_nothing_of_ours() {
    // SEC-35: this process has an environment, of which neither the command nor its watcher sees anything.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let bench = Bench::new();
    let command = "env | grep -v ^PWD= | sort; echo --; tr '\\0' '\\n' < /proc/$PPID/environ";
    let output = bench.call("exec", json!({"command": command, "env": {"EXTRA": "a b"}})).await;
    check(
        &output,
        "EXTRA=a b\nLANG=C.UTF-8\nPATH=/usr/local/bin:/usr/bin:/bin\n--",
        "completed",
        json!(0),
    );
}

#[tokio::test]
async fn a_command_has_no_descriptors_of_ours_and_limits_of_its_own() {
    let bench = Bench::new();
    let _ours = fs::File::create(bench.path().join("ours")).unwrap();
    let command = "readlink /proc/$$/fd/* | grep -c /ours; ulimit -c; ulimit -n";
    check(
        &bench.call("exec", json!({"command": command})).await,
        "0\n0\n1024",
        "completed",
        json!(0),
    );
}

#[tokio::test]
async fn ten_megabytes_of_output_leave_their_middle_out() {
    let bench = Bench::new();
    let command = "echo first; head -c 10000000 /dev/zero | tr '\\0' x; echo; echo last";
    let output = bench.call("exec", json!({"command": command})).await;
    assert!(output.text.len() <= bench.output_max, "{}", output.text.len());
    assert!(output.text.starts_with("first\nxxx") && output.text.ends_with("x\nlast"));
    assert!(output.text.contains(" of 10000012 bytes left out here]\n"));
}

#[tokio::test]
async fn what_is_not_here_is_refused_in_words() {
    let bench = Bench::new();
    for (arguments, expected) in [
        (
            json!({"background": true}),
            "`background` is not available: a command is waited for here; leave it out",
        ),
        (
            json!({"pty": true}),
            "`pty` is not available: a command has no terminal here; leave it out",
        ),
        (
            json!({"elevated": true}),
            "`elevated` is not available: a command has the gateway's own rights here; leave it out",
        ),
        (
            json!({"host": "sandbox"}),
            "another `host` or `node` is not available: a command runs on the gateway here; leave it out",
        ),
        (
            json!({"timeout": 0}),
            "the arguments of `exec` do not fit: `timeout` is not more than 0 seconds",
        ),
        (
            json!({"env": {"LD_PRELOAD": "x"}}),
            "the environment variable `LD_PRELOAD` may not be set, since it changes what programs load or where they look",
        ),
        (json!({"command": " "}), "the arguments of `exec` do not fit: `command` is empty"),
    ] {
        let mut whole = json!({"command": "touch ran"});
        whole.as_object_mut().unwrap().extend(arguments.as_object().unwrap().clone());
        let output = bench.call("exec", whole).await;
        assert_eq!((output.text.as_str(), output.is_error), (expected, true));
    }
    assert!(!bench.path().join("ran").exists());
    let tolerated = json!({"command": "echo ok", "host": "gateway", "yieldMs": 5, "background": false, "ask": "off"});
    check(&bench.call("exec", tolerated).await, "ok", "completed", json!(0));
}

/// A pipe through which a command tells the test its process ids while it runs.
fn telling_pipe(folder: &Path) -> tokio::task::JoinHandle<Vec<Pid>> {
    let pipe = folder.join("tell");
    mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    tokio::task::spawn_blocking(move || {
        let told = fs::read_to_string(pipe).unwrap();
        told.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap())).collect()
    })
}

#[track_caller]
fn assert_gone(pids: &[Pid], count: usize) {
    assert_eq!(pids.len(), count);
    for pid in pids {
        assert_eq!(kill(*pid, None), Err(Errno::ESRCH), "{pid} still runs");
    }
}

/// A child, a session of its own, a daemon that forked twice, and one that ignores polite signals.
const FAMILY: &str = "sleep 1000 & a=$!; setsid sleep 1000 & b=$!; \
    c=$(setsid sh -c 'sleep 1000 >/dev/null 2>&1 & echo $!'); \
    sh -c 'trap \"\" TERM HUP; while :; do sleep 1000; done' & d=$!; \
    echo $a $b $c $d > tell; ";

#[tokio::test]
async fn stop_ends_every_descendant() {
    // SEC-108: and nobody else, as the bystander sees.
    let bench = Bench::new();
    let mut bystander = Command::new("sleep").arg("1000").spawn().unwrap();
    let told = telling_pipe(bench.path());
    let stopper = async {
        let pids = told.await.unwrap();
        bench.stop.cancel();
        pids
    };
    let command = format!("{FAMILY} echo begun; wait");
    let (output, pids) = tokio::join!(bench.call("exec", json!({"command": command})), stopper);
    assert_gone(&pids, 4);
    check(&output, "begun\n\n(Command was stopped)", "failed", output.details["exitCode"].clone());
    assert!(output.is_error);
    assert_eq!(bystander.try_wait().unwrap(), None);
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

#[tokio::test]
async fn the_time_limit_ends_every_descendant() {
    let bench = Bench { timeout: Duration::from_millis(300), ..Bench::new() };
    let command = "sleep 1000 & setsid sleep 1000 & wait";
    let output = bench.call("exec", json!({"command": command, "timeout": 1e300})).await;
    assert_eq!(
        (output.text.as_str(), output.is_error),
        ("(Command was ended after its 0.3 s)", true)
    );
    // However far it came until then, nobody is left in its directory.
    let here = bench.path().canonicalize().unwrap();
    let working_here = fs::read_dir("/proc").unwrap().filter(|entry| {
        fs::read_link(entry.as_ref().unwrap().path().join("cwd"))
            .is_ok_and(|directory| directory == here)
    });
    assert_eq!(working_here.count(), 0);
}

#[tokio::test]
async fn what_a_command_leaves_running_ends_with_it() {
    let bench = Bench::new();
    let told = telling_pipe(bench.path());
    let output = bench.call("exec", json!({"command": format!("{FAMILY} echo done")})).await;
    assert_gone(&told.await.unwrap(), 4);
    check(&output, "done", "completed", json!(0));
}

#[tokio::test]
async fn a_command_may_tidy_up_when_it_is_stopped() {
    let bench = Bench::new();
    let told = telling_pipe(bench.path());
    let command = "trap 'echo tidy; exit 7' TERM; echo $$ > tell; sleep 1000 & wait";
    let stopper = async {
        told.await.unwrap();
        bench.stop.cancel();
    };
    let (output, ()) = tokio::join!(bench.call("exec", json!({"command": command})), stopper);
    check(&output, "tidy\n\n(Command was stopped)", "failed", json!(7));
}

#[tokio::test]
async fn a_command_that_signals_its_own_group_does_not_hit_what_watches_it() {
    let bench = Bench::new();
    let output = bench.call("exec", json!({"command": "setsid sleep 1000 & kill -KILL 0"})).await;
    check(&output, "(Command was ended by SIGKILL)", "failed", Value::Null);
}

#[tokio::test]
async fn a_run_that_is_stopped_already_starts_nothing() {
    let bench = Bench::new();
    bench.stop.cancel();
    let output = bench.call("exec", json!({"command": "touch ran"})).await;
    assert!(output.is_error);
    assert!(!bench.path().join("ran").exists());
}

#[tokio::test]
async fn a_watcher_that_is_killed_is_not_taken_for_a_success() {
    let bench = Bench::new();
    let output = bench.call("exec", json!({"command": "kill -KILL $PPID"})).await;
    assert_eq!(
        (output.text.as_str(), output.is_error),
        ("the command's outcome is unknown: what watched over it ended without a report", true)
    );
}

#[tokio::test]
async fn a_gateway_that_is_gone_takes_its_commands_along() {
    // The kernel closes the control pipe of a killed gateway; here the test closes it.
    let bench = Bench::new();
    let told = telling_pipe(bench.path());
    let mut helper = helper_in(bench.path());
    let order = json!({"argv": ["/bin/sh", "-c", format!("{FAMILY} wait")], "environment": {"PATH": "/usr/bin:/bin"}});
    let mut control = helper.stdin.take().unwrap();
    writeln!(control, "{order}").unwrap();
    let pids = told.await.unwrap();
    drop(control);
    assert!(helper.wait().unwrap().success());
    assert_gone(&pids, 4);
}

#[test]
fn an_order_that_is_none_is_reported() {
    for (order, expected) in [
        ("", "EOF while parsing"),
        ("{\"argv\":", "EOF while parsing"),
        ("{\"argv\":[],\"environment\":{}}\n", "there is no program to run"),
        ("{\"argv\":[\"/none\"],\"environment\":{}}\n", "No such file or directory"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut helper = helper_in(folder.path());
        helper.stdin.take().unwrap().write_all(order.as_bytes()).unwrap();
        let mut report = String::new();
        helper.stderr.take().unwrap().read_to_string(&mut report).unwrap();
        helper.wait().unwrap();
        assert!(report.starts_with("{\"failed\":") && report.contains(expected), "{report}");
    }
}

fn helper_in(folder: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_exec-helper"))
        .env_clear()
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}
