//! Telegram keeps the promises of every channel.

mod support;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use claw_channel::{Channel, contract::Platform};
use claw_domain::ChatId;
use claw_testkit::FakeTelegram;

use support::{ANNA, telegram};

struct Fake {
    server: FakeTelegram,
    channel: Arc<dyn Channel>,
}

impl Fake {
    async fn new() -> Self {
        let server = FakeTelegram::start().await;
        server.join(ANNA);
        let channel = Arc::new(telegram(&server.url()));
        Self { server, channel }
    }
}

#[async_trait]
impl Platform for Fake {
    fn channel(&self) -> Arc<dyn Channel> {
        self.channel.clone()
    }

    fn chat(&self) -> ChatId {
        ANNA.to_string().into()
    }

    async fn says(&self, text: &str) {
        self.server.user_says(ANNA, ANNA, text);
    }

    async fn repeats(&self) {
        self.server.repeat_last_update();
    }

    async fn throttles_next(&self, wait: Duration) {
        self.server.throttle_next(1, wait.as_secs());
    }

    async fn goes_away(&self) {
        self.server.network().go_down();
    }

    async fn comes_back(&self) {
        self.server.network().come_back();
    }

    async fn texts(&self) -> Vec<String> {
        let sent = self.server.sent();
        sent.iter().filter_map(|sent| self.server.shown(sent.chat_id, sent.message_id)).collect()
    }
}

claw_channel::contract_tests!(Fake::new().await);
