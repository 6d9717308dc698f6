//! A gateway as a user runs it: the binary, in a process of its own, on a state folder of its own.

pub(crate) mod world;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

/// How long a start, or an end, may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running gateway. Dropping it ends the process.
pub(crate) struct Gateway {
    child: Child,
    pub(crate) port: u16,
    pub(crate) page: String,
    log: mpsc::Receiver<String>,
}

impl Gateway {
    /// Starts one on `home` and waits until it listens.
    pub(crate) fn start(home: &Path) -> Self {
        Self::start_with(home, &[])
    }

    /// As [`Gateway::start`], with further options.
    pub(crate) fn start_with(home: &Path, words: &[&str]) -> Self {
        Self::start_on(home, 0, words)
    }

    /// As [`Gateway::start_with`], on a port of the test's choice.
    pub(crate) fn start_on(home: &Path, port: u16, words: &[&str]) -> Self {
        let mut child = command(home)
            .args(["gateway", "run", "--port", &port.to_string()])
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let (tx, log) = mpsc::channel();
        follow(child.stdout.take().expect("piped"), tx.clone());
        follow(child.stderr.take().expect("piped"), tx);
        let mut seen = Vec::new();
        let page = loop {
            match log.recv_timeout(PATIENCE) {
                Ok(line) => {
                    if let Some(at) = line.find("http://127.0.0.1:") {
                        break line[at..].trim().to_owned();
                    }
                    seen.push(line);
                }
                Err(error) => panic!("no address after {error}:\n{}", seen.join("\n")),
            }
        };
        let port =
            page["http://127.0.0.1:".len()..].split('/').next().and_then(|port| port.parse().ok());
        Self { child, port: port.expect("a port"), page, log }
    }

    /// Sends it a signal and goes on.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().expect("a pid"));
        kill(pid, signal).expect("it is ours");
    }

    /// The status and the JSON that it answers to a GET.
    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        self.try_get(path).expect("it listens and answers JSON")
    }

    /// As [`Gateway::get`]; `None` while it does not listen.
    pub(crate) fn try_get(&self, path: &str) -> Option<(u16, Value)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        Some((status, serde_json::from_str(body).ok()?))
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it ends");
    }

    /// SIGTERM, and its exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        self.signal(Signal::SIGTERM);
        self.child.wait().expect("it ends").code()
    }

    /// Waits for its end; its exit code, and all that it printed since the last look.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().expect("it ends").code();
        (code, self.log.iter().collect::<Vec<_>>().join("\n"))
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed since the last look.
    pub(crate) fn printed(&self) -> String {
        self.log.try_iter().collect::<Vec<_>>().join("\n")
    }

    /// Waits for a line that holds `text`.
    pub(crate) fn prints(&self, text: &str) -> String {
        loop {
            let line = self
                .log
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|error| panic!("no line with {text:?}: {error}"));
            if line.contains(text) {
                return line;
            }
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already; either way it is gone afterwards.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn follow(stream: impl Read + Send + 'static, lines: mpsc::Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
}

/// The binary with nothing of this environment but what it needs.
pub(crate) fn command(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rusty-claw"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", home);
    command.env("RUSTY_CLAW_HOME", home.join("state"));
    // No machine's own Ollama may answer for the demonstration.
    command.env("NO_COLOR", "1");
    command
}

/// Writes a configuration for the state folder under `home`.
pub(crate) fn configure(home: &Path, text: &str) {
    let state = home.join("state");
    std::fs::create_dir_all(&state).expect("the folder is made");
    std::fs::write(state.join("config.json"), text).expect("the file is written");
}
