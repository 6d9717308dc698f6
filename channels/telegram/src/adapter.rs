//! The channel: a long poll that feeds the inbox, and one call per action.

use std::{
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use claw_channel::{Capability, Channel, Delivered, Error, Health, Inbox, TextUnit};
use claw_domain::{AccountId, Action, ChannelId, Clock, ExternalId, Outbound, Secret};
use frankenstein::{
    AsyncTelegramApi,
    methods::{DeleteWebhookParams, SetMyCommandsParams},
    types::{BotCommand, User},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::{
    Account, CHANNEL,
    account::TEXT_UTF16_MAX,
    api::Api,
    error::ApiError,
    inbound::{Context, inbound},
    message::message_id,
    outbound::{self, Style},
    updates::updates,
};

/// The commands in Telegram's menu, with what people read beside them.
const COMMANDS: [(&str, &str); 5] = [
    ("new", "Start a new conversation"),
    ("reset", "Forget this conversation"),
    ("stop", "Stop what I am doing"),
    ("status", "Show how I am doing"),
    ("help", "Show what I understand"),
];

/// What an account needs to run.
#[derive(Debug, Clone)]
pub struct TelegramOptions {
    /// Which account.
    pub account: AccountId,
    /// The bot's token.
    pub token: Secret,
    /// The Bot API's address.
    pub api_root: String,
    /// How long one call may take; a poll takes up to 30 s more.
    pub timeout: Duration,
    /// Longest text of one message, in UTF-16 units; more than 4096 counts as 4096.
    pub text_max: usize,
    /// Whether links have previews.
    pub link_preview: bool,
}

impl TelegramOptions {
    /// The options of a configured account, with its token loaded.
    pub fn new(account: &Account, token: Secret) -> Self {
        Self {
            account: account.id.clone(),
            token,
            api_root: account.api_root.clone(),
            timeout: account.timeout,
            text_max: account.text_chunk_limit,
            link_preview: account.link_preview,
        }
    }
}

/// One bot on Telegram.
pub struct Telegram {
    id: ChannelId,
    account: AccountId,
    capability: Capability,
    link_preview: bool,
    api: Api,
    clock: Arc<dyn Clock>,
    health: Mutex<Health>,
}

impl Telegram {
    /// A bot that is not connected yet; `client` should follow no redirects, because the token
    /// is part of every address.
    pub fn new(options: TelegramOptions, client: reqwest::Client, clock: Arc<dyn Clock>) -> Self {
        Self {
            id: CHANNEL.into(),
            account: options.account,
            capability: Capability {
                text_max: options.text_max.min(TEXT_UTF16_MAX),
                text_unit: TextUnit::Utf16,
                edits: true,
                deletes: true,
                reactions: true,
                threads: true,
                typing: true,
                idempotent_sends: false,
            },
            link_preview: options.link_preview,
            api: Api::new(client, &options.api_root, options.token, options.timeout),
            clock,
            health: Mutex::default(),
        }
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn receive(&self, inbox: &dyn Inbox) -> Result<(), Error> {
        let me = self.api.get_me().await?.result;
        self.note_connected(&me);
        tokio::select! {
            ended = self.poll(inbox, &me) => ended,
            // Beside the polls, so that the first message need not wait for it.
            never = async { self.publish_commands().await; pending().await } => never,
        }
    }

    fn note_connected(&self, me: &User) {
        let identity =
            me.username.as_ref().map_or_else(|| me.first_name.clone(), |name| format!("@{name}"));
        info!(account = %self.account, identity, "telegram is connected");
        let mut health = self.health();
        health.connected = true;
        health.connected_at = Some(self.clock.now());
        health.last_error = None;
        health.identity = Some(identity);
    }

    /// The menu is a comfort: without it the commands work all the same.
    async fn publish_commands(&self) {
        let command = |(command, description)| {
            BotCommand::builder().command(command).description(description).build()
        };
        let params =
            SetMyCommandsParams::builder().commands(COMMANDS.map(command).to_vec()).build();
        if let Err(error) = self.api.set_my_commands(&params).await {
            warn!(account = %self.account, %error, "the command menu was not set");
        }
    }

    async fn poll(&self, inbox: &dyn Inbox, me: &User) -> Result<(), Error> {
        let mut offset = None;
        let mut webhook_removed = false;
        loop {
            let batch = match updates(&self.api, offset).await {
                Err(error) if error.is_webhook_in_the_way() && !webhook_removed => {
                    webhook_removed = true;
                    warn!(account = %self.account, "a webhook was set for this bot and is removed");
                    self.api.delete_webhook(&DeleteWebhookParams::builder().build()).await?;
                    continue;
                }
                batch => batch?,
            };
            let Some(next) = batch.iter().map(|raw| raw.update_id.saturating_add(1)).max() else {
                continue;
            };
            let now = self.clock.now();
            let context = Context { account: &self.account, me, now };
            let updates: Vec<_> =
                batch.iter().filter_map(|raw| inbound(&raw.read()?, &context)).collect();
            debug!(account = %self.account, updates = batch.len(), heard = updates.len(), "updates came");
            if !updates.is_empty() {
                self.health().last_inbound_at = Some(now);
                inbox.accept(updates).await?;
            }
            // Only now, so that an update that was not kept comes again.
            offset = Some(next);
        }
    }

    async fn carry_out(&self, outbound: &Outbound) -> Result<Option<ExternalId>, Error> {
        let target = &outbound.target;
        match &outbound.action {
            Action::Send { text, reply_to, silent } => {
                let mut params =
                    outbound::send(target, text, reply_to.as_ref(), *silent, self.style())?;
                let mut sent = self.api.send_message(&params).await;
                if self.is_markup_refused(&sent) {
                    (params.text, params.parse_mode) = (text.clone(), None);
                    sent = self.api.send_message(&params).await;
                }
                let sent = sent?.result;
                return Ok(Some(message_id(sent.chat.id, sent.message_id)));
            }
            Action::Edit { message, text } => {
                let mut params = outbound::edit(target, message, text, self.style())?;
                let mut edited = self.api.edit_message_text(&params).await;
                if self.is_markup_refused(&edited) {
                    (params.text, params.parse_mode) = (Some(text.clone()), None);
                    edited = self.api.edit_message_text(&params).await;
                }
                unless(edited, ApiError::is_edit_without_change)?;
            }
            Action::Delete { message } => {
                let deleted = self.api.delete_message(&outbound::delete(target, message)?).await;
                unless(deleted, ApiError::is_gone)?;
            }
            Action::React { message, emoji } => {
                let params = outbound::react(target, message, emoji.as_deref())?;
                self.api.set_message_reaction(&params).await?;
            }
            Action::Typing => {
                self.api.send_chat_action(&outbound::typing(target)?).await?;
            }
        }
        Ok(None)
    }

    fn style(&self) -> Style {
        Style { text_max: self.capability.text_max, link_preview: self.link_preview }
    }

    /// Whether the same text can still be sent as it was written.
    fn is_markup_refused<T>(&self, answer: &Result<T, ApiError>) -> bool {
        let error = answer.as_ref().err().filter(|error| error.is_markup_refused());
        if let Some(error) = error {
            warn!(account = %self.account, %error, "sent as plain text, because the markup was refused");
        }
        error.is_some()
    }
}

/// The answer's success, which some errors are too.
fn unless<T>(
    answer: Result<T, ApiError>,
    is_success: impl Fn(&ApiError) -> bool,
) -> Result<(), ApiError> {
    match answer {
        Err(error) if !is_success(&error) => Err(error),
        _ => Ok(()),
    }
}

#[async_trait]
impl Channel for Telegram {
    fn id(&self) -> &ChannelId {
        &self.id
    }

    fn account(&self) -> &AccountId {
        &self.account
    }

    fn capability(&self) -> &Capability {
        &self.capability
    }

    async fn run(&self, inbox: &dyn Inbox, stop: CancellationToken) -> Result<(), Error> {
        // Dropping a poll or an offer loses nothing: the offset has not moved.
        let ended = stop.run_until_cancelled(self.receive(inbox)).await.unwrap_or(Ok(()));
        let mut health = self.health();
        health.connected = false;
        health.connected_at = None;
        if let Err(error) = &ended {
            health.last_error = Some(error.to_string());
        }
        ended
    }

    async fn deliver(&self, outbound: &Outbound) -> Result<Delivered, Error> {
        let delivered = self.carry_out(outbound).await;
        let mut health = self.health();
        match &delivered {
            Ok(_) => {
                health.last_outbound_at = Some(self.clock.now());
                health.last_error = None;
            }
            Err(error) => health.last_error = Some(error.to_string()),
        }
        delivered.map(|external_id| Delivered { external_id })
    }

    fn health(&self) -> Health {
        self.health().clone()
    }
}
