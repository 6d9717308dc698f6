//! The fakes, a state folder, and a gateway process that dies where it is told to.

use std::{
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use claw_faults::{FAULT_TRACE, Passed};
use claw_testkit::{Asked, FakeAnthropic, FakeTelegram, anthropic, telegram, telegram::Sent};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::{
    choice::{Blow, Spot},
    talk::{self, ADA, BOB, Line, PART_MAX, is_card},
};

/// How long one conversation may take, restarts included. An honest one takes some seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long nothing may be sent while something is still to be answered; shorter than the fake's
/// own patience, so that the story of it is told.
const QUIET_MAX: Duration = Duration::from_secs(25);

/// How often the conversation is ended again after a kill during the end.
const ENDINGS_MAX: usize = 4;

/// What the books say after a conversation.
pub(crate) struct Story {
    /// Where processes were to be struck, one after the other.
    pub(crate) spots: Vec<Spot>,
    /// What each process passed, the first one first.
    pub(crate) lives: Vec<Life>,
    /// What people wrote.
    pub(crate) said: Vec<Line>,
    /// What the bot sent.
    pub(crate) sent: Vec<Sent>,
    /// What the model was asked.
    pub(crate) asked: Vec<Arc<Asked>>,
    /// The lines that tools wrote.
    pub(crate) written: Vec<String>,
}

/// What one process passed, and where it was struck.
pub(crate) struct Life {
    pub(crate) passed: Vec<Passed>,
    /// How, and at which place in `passed`. Threads that went on for a moment may have passed more
    /// after they were killed.
    pub(crate) struck: Option<(Blow, usize)>,
}

impl Life {
    /// The point at which it was struck.
    pub(crate) fn struck_at(&self) -> Option<&Passed> {
        self.passed.get(self.struck?.1)
    }

    /// Whether it was killed.
    pub(crate) fn is_killed(&self) -> bool {
        matches!(self.struck, Some((Blow::Kill, _)))
    }
}

struct World {
    home: tempfile::TempDir,
    telegram: FakeTelegram,
    model: FakeAnthropic,
    spots: Vec<Spot>,
    /// How each process before this one ended.
    ended: Vec<ExitStatus>,
    process: Child,
    said: Vec<Line>,
}

/// Has the whole conversation with processes that are struck at `spots`, and one more that is not.
///
/// # Errors
/// What went wrong with the processes, or what was not answered, in words.
pub(crate) async fn tell(spots: &[Spot]) -> Result<Story, String> {
    let mut world = World::new(spots).await?;
    match timeout(PATIENCE, world.converse()).await {
        Ok(Ok(())) => world.story(),
        Ok(Err(why)) => Err(world.describe(&why)),
        Err(_elapsed) => Err(world.describe("not everything was answered")),
    }
}

impl World {
    async fn new(spots: &[Spot]) -> Result<Self, String> {
        let home = tempfile::tempdir().map_err(|error| error.to_string())?;
        let (telegram, model) = (FakeTelegram::start().await, FakeAnthropic::start().await);
        let file = written(home.path());
        model.answer_with(move |asked| talk::answer(asked, &file));
        let state = home.path().join("state");
        let config = config(&telegram, &model);
        std::fs::create_dir_all(&state)
            .and_then(|()| std::fs::write(state.join("config.json"), config))
            .map_err(|error| error.to_string())?;
        let process = start(home.path(), 0, spots.first())?;
        let (spots, ended, said) = (spots.to_vec(), Vec::new(), Vec::new());
        Ok(Self { home, telegram, model, spots, ended, process, said })
    }

    async fn converse(&mut self) -> Result<(), String> {
        for group in talk::talk() {
            self.say(group);
            self.until_answered().await?;
        }
        for round in 0..ENDINGS_MAX {
            self.say(talk::last_words(round));
            self.until_answered().await?;
            // The last process is one that nothing was to happen to: what an earlier one left in
            // the store comes to light in it.
            if self.end().await? {
                return Ok(());
            }
        }
        Err("it never ended in order".into())
    }

    fn say(&mut self, group: Vec<Line>) {
        for line in &group {
            self.telegram.user_says(line.chat, line.chat, &line.text);
        }
        self.said.extend(group);
    }

    /// Waits for the answers to all that was said. A process that dies meanwhile has a successor.
    async fn until_answered(&mut self) -> Result<(), String> {
        loop {
            let sent = self.telegram.sent();
            if self.said.iter().all(|line| is_answered(line, &sent)) {
                return Ok(());
            }
            tokio::select! {
                more = timeout(QUIET_MAX, self.telegram.wait_for_sent(sent.len() + 1)) => {
                    more.map_err(|_elapsed| "nothing more was sent, and not everything is answered")?;
                }
                ended = self.process.wait() => {
                    let ended = ended.map_err(|error| error.to_string())?;
                    self.succeed(ended)?;
                }
            }
        }
    }

    /// Asks the process to end; `false` when it was one to be struck, and another one runs now.
    async fn end(&mut self) -> Result<bool, String> {
        // A process that has ended already is not signalled: nobody reaped it, so its id is its own.
        if let Some(pid) = self.process.id().and_then(|pid| i32::try_from(pid).ok()) {
            kill(Pid::from_raw(pid), Signal::SIGTERM).map_err(|error| error.to_string())?;
        }
        let ended = self.process.wait().await.map_err(|error| error.to_string())?;
        if ended.success() && self.ended.len() >= self.spots.len() {
            self.ended.push(ended);
            return Ok(true);
        }
        self.succeed(ended)?;
        Ok(false)
    }

    /// Starts the successor of a process that was to be struck.
    fn succeed(&mut self, ended: ExitStatus) -> Result<(), String> {
        self.ended.push(ended);
        let number = self.ended.len();
        let is_killed = ended.signal() == Some(Signal::SIGKILL as i32);
        if number > self.spots.len() || !(is_killed || ended.success()) {
            return Err(format!("a process ended by itself: {ended}"));
        }
        self.process = start(self.home.path(), number, self.spots.get(number))?;
        Ok(())
    }

    fn story(self) -> Result<Story, String> {
        let life = |(number, ended): (usize, &ExitStatus)| {
            let passed = Passed::read(&trace(self.home.path(), number));
            let passed = passed.map_err(|error| error.to_string())?;
            let spot = self.spots.get(number);
            let struck = spot.and_then(|spot| Some((spot.blow, spot.place_in(&passed)?)));
            let life = Life { passed, struck };
            if life.is_killed() == ended.success() {
                return Err(format!("the trace of a process says something else than {ended}"));
            }
            Ok::<_, String>(life)
        };
        let lives = self.ended.iter().enumerate().map(life).collect::<Result<_, _>>()?;
        // No call was made, so there is no file: nothing was written.
        let text = std::fs::read_to_string(written(self.home.path())).unwrap_or_default();
        Ok(Story {
            lives,
            spots: self.spots,
            said: self.said,
            sent: self.telegram.sent(),
            asked: self.model.requests(),
            written: text.lines().map(str::to_owned).collect(),
        })
    }

    fn describe(&self, why: &str) -> String {
        let sent: Vec<_> = self
            .telegram
            .sent()
            .iter()
            .map(|sent| format!("{} {:.40}", sent.chat_id, sent.shown.replace('\n', " ")))
            .collect();
        let said: Vec<_> = self.said.iter().map(|line| line.text.as_str()).collect();
        // The one that runs, or that ended without a successor.
        let runs = |number: &usize| printed(self.home.path(), *number).exists();
        let number = (0..=self.ended.len()).rfind(runs).unwrap_or(0);
        let printed =
            std::fs::read_to_string(printed(self.home.path(), number)).unwrap_or_default();
        let trace = std::fs::read_to_string(trace(self.home.path(), number)).unwrap_or_default();
        let newest: Vec<_> = trace.lines().rev().take(12).collect();
        format!(
            "{why}\n  ended: {:?}\n  said: {said:?}\n  sent: {sent:#?}\n  printed: {printed}\n  passed, newest first: {newest:#?}",
            self.ended
        )
    }
}

/// Whether every text that answers a line was sent to its chat.
fn is_answered(line: &Line, sent: &[Sent]) -> bool {
    let in_chat = |wanted: &String| {
        sent.iter().any(|sent| {
            sent.chat_id == line.chat
                && (sent.shown == *wanted || (is_card(wanted) && is_card(&sent.shown)))
        })
    };
    line.answers.iter().all(in_chat)
}

fn start(home: &Path, number: usize, spot: Option<&Spot>) -> Result<Child, String> {
    let log = std::fs::File::create(printed(home, number)).map_err(|error| error.to_string())?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_claw-faults"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("RUSTY_CLAW_HOME", home.join("state"))
        .env(FAULT_TRACE, trace(home, number))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true);
    if let Some(spot) = spot {
        command.env(spot.blow.variable(), spot.to_string());
    }
    command.spawn().map_err(|error| error.to_string())
}

fn trace(home: &Path, number: usize) -> PathBuf {
    home.join(format!("trace-{number}"))
}

fn printed(home: &Path, number: usize) -> PathBuf {
    home.join(format!("printed-{number}"))
}

fn written(home: &Path) -> PathBuf {
    home.join("written")
}

fn config(telegram: &FakeTelegram, model: &FakeAnthropic) -> String {
    let config = json!({
        "agents": { "defaults": { "model": { "primary": "fake/model-a" } } },
        // A lane for each person.
        "session": { "dmScope": "per-channel-peer" },
        "models": { "providers": { "fake": {
            "baseUrl": model.url(), "apiKey": anthropic::KEY, "api": "anthropic-messages",
            "models": [{ "id": "model-a", "name": "A", "contextWindow": 100_000, "maxTokens": 1_000 }],
        } } },
        "channels": { "telegram": {
            "enabled": true, "botToken": telegram::TOKEN, "apiRoot": telegram.url(),
            "allowFrom": [ADA, BOB], "textChunkLimit": PART_MAX,
        } },
    });
    config.to_string()
}
