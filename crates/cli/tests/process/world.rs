//! A gateway's surroundings: Telegram and a model as servers elsewhere, and a home.

use std::path::{Path, PathBuf};

use claw_testkit::{
    Asked, Last,
    anthropic::{self, FakeAnthropic},
    script::Reply,
    telegram::{self, FakeTelegram},
};
use serde_json::json;

use super::{Gateway, configure};

/// Who may speak.
pub(crate) const OWNER: i64 = 1001;

pub(crate) struct World {
    pub(crate) home: PathBuf,
    pub(crate) telegram: FakeTelegram,
    pub(crate) model: FakeAnthropic,
}

impl World {
    /// A world whose home is a folder that is there; the model repeats what it is told.
    pub(crate) async fn new(home: &Path) -> Self {
        claw_testkit::init();
        let world = Self {
            home: home.to_owned(),
            telegram: FakeTelegram::start().await,
            model: FakeAnthropic::start().await,
        };
        world.model.answer_with(|asked| Reply::text(format!("echo: {}", said(asked))).into());
        configure(home, &world.config());
        world
    }

    pub(crate) fn start(&self) -> Gateway {
        Gateway::start(&self.home)
    }

    /// The store's file.
    pub(crate) fn store(&self) -> PathBuf {
        self.home.join("state/claw.sqlite")
    }

    pub(crate) fn says(&self, text: &str) {
        self.telegram.user_says(OWNER, OWNER, text);
    }

    /// Waits until the platform has so many messages of ours; what readers see of all there are.
    pub(crate) async fn shown(&self, count: usize) -> Vec<String> {
        let sent = self.telegram.wait_for_sent(count).await;
        sent.into_iter().map(|sent| sent.shown).collect()
    }

    fn config(&self) -> String {
        let config = json!({
            "agents": { "defaults": { "model": { "primary": "fake/model-a" } } },
            "models": { "providers": { "fake": {
                "baseUrl": self.model.url(), "apiKey": anthropic::KEY, "api": "anthropic-messages",
                "models": [{ "id": "model-a", "name": "A", "contextWindow": 100_000, "maxTokens": 1_000 }],
            } } },
            "channels": { "telegram": {
                "enabled": true, "botToken": telegram::TOKEN, "apiRoot": self.telegram.url(),
                "allowFrom": [OWNER],
            } },
        });
        config.to_string()
    }
}

/// What a person said last, without what stands around it: the last word.
fn said(asked: &Asked) -> &str {
    match &asked.last {
        Last::User(text) => text.split_whitespace().next_back().unwrap_or_default(),
        Last::ToolResults(_) | Last::Other => "",
    }
}
