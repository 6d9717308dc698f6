//! A state folder of its own for each test, and the binary run on it to its end.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

use crate::process::{self, Gateway, configure};

/// A configuration that needs nothing of the machine.
pub(crate) const DEMO: &str = "{ agents: { defaults: { model: { primary: 'demo/demo' } } } }\n";

/// A home, gone with its owner.
pub(crate) struct Rig(TempDir);

/// How a command ended. The state folder's path stands as `STATE` in what it printed.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Rig {
    /// Without a configuration.
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// With this configuration.
    pub(crate) fn with_config(text: &str) -> Self {
        let rig = Self::new();
        configure(rig.path(), text);
        rig
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.state().join("config.json")
    }

    pub(crate) fn config_text(&self) -> String {
        std::fs::read_to_string(self.config()).expect("a configuration")
    }

    /// Runs the binary with these words to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        self.run_with(&[], words)
    }

    /// As [`Rig::run`], with variables.
    pub(crate) fn run_with(&self, variables: &[(&str, &str)], words: &[&str]) -> Ended {
        let mut command: Command = process::command(self.path());
        command.args(words).envs(variables.iter().copied()).stdin(Stdio::null());
        self.ended(&command.output().expect("the binary runs"))
    }

    fn ended(&self, output: &Output) -> Ended {
        let state = self.state().display().to_string();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&state, "STATE");
        let code = output.status.code().unwrap_or(-1);
        Ended { code, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// What it prints, when it ends well and says nothing else.
    #[track_caller]
    pub(crate) fn prints(&self, words: &[&str]) -> String {
        let ended = self.run(words);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{words:?}: {ended:?}");
        ended.stdout
    }

    /// The JSON that it prints, when it ends well.
    #[track_caller]
    pub(crate) fn json(&self, words: &[&str]) -> serde_json::Value {
        let printed = self.prints(words);
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
    }

    /// Starts a gateway on a free port and waits until it listens.
    pub(crate) fn gateway(&self, words: &[&str]) -> Gateway {
        Gateway::start_with(self.path(), words)
    }
}
