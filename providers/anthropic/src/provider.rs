//! The trait: URL, headers, and the way from one stream to the other.

use async_trait::async_trait;
use claw_domain::{ModelInfo, ModelRef, Secret};
use claw_provider::{Error, ErrorKind, EventStream, Http, Provider, Request, SseLimits, decoded};
use serde::Deserialize;

use crate::{Options, error, request, stream::Decoder};

/// The version of the interface that this crate speaks (Anthropic's reference, "Versioning").
const VERSION: &str = "2023-06-01";

/// What a model takes that only the vendor lists, since its list does not say. Unit: tokens.
const CONTEXT_WINDOW: u64 = 200_000;

/// The longest answer to ask such a model for: what the oldest of them allow. Unit: tokens.
const OUTPUT_MAX: u64 = 8192;

/// One server that speaks Anthropic Messages.
#[derive(Debug)]
pub struct Anthropic {
    name: String,
    base_url: String,
    models: Vec<ModelInfo>,
    http: Http,
}

#[derive(Deserialize)]
struct Listing {
    data: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
    display_name: Option<String>,
}

impl Anthropic {
    /// Prepares the headers. The client should not follow redirects: see [`Http`].
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`] for a header or a key that cannot be sent.
    pub fn new(options: Options, client: reqwest::Client) -> Result<Self, Error> {
        let version = ("anthropic-version".to_owned(), Secret::new(VERSION));
        let key = options.key.filter(|key| !key.is_empty()).map(|key| match options.auth_header {
            true => ("authorization".to_owned(), Secret::new(format!("Bearer {}", key.expose()))),
            false => ("x-api-key".to_owned(), key),
        });
        // Later ones win: people may overrule us.
        let headers = [version].into_iter().chain(key).chain(options.headers);
        Ok(Self {
            name: options.name,
            base_url: options.base_url.trim_end_matches('/').to_owned(),
            models: options.models,
            http: Http::new(client, headers, error::refused)?,
        })
    }

    fn info(&self, listed: Listed) -> ModelInfo {
        let reference =
            ModelRef { provider: self.name.as_str().into(), model: listed.id.as_str().into() };
        let configured = self.models.iter().find(|model| model.reference == reference);
        configured.cloned().unwrap_or_else(|| ModelInfo {
            reference,
            name: listed.display_name.unwrap_or(listed.id),
            context_window: CONTEXT_WINDOW,
            output_max: OUTPUT_MAX,
            reasoning: false,
            images: true,
            cost: None,
        })
    }
}

#[async_trait]
impl Provider for Anthropic {
    fn api(&self) -> &'static str {
        "anthropic-messages"
    }

    async fn stream(&self, request: &Request) -> Result<EventStream, Error> {
        let url = format!("{}/v1/messages", self.base_url);
        let events = self.http.post(&url, request::body(request), SseLimits::default()).await?;
        Ok(decoded(events, Decoder::default()))
    }

    async fn models(&self) -> Result<Vec<ModelInfo>, Error> {
        // The largest page that the vendor gives; it has far fewer models.
        let body = self.http.get(&format!("{}/v1/models?limit=1000", self.base_url)).await?;
        let listing: Listing = serde_json::from_slice(&body).map_err(|error| {
            Error::new(ErrorKind::Network, format!("the list of models is unreadable: {error}"))
        })?;
        Ok(listing.data.into_iter().map(|listed| self.info(listed)).collect())
    }
}
