//! The trait: URL, headers, and the way from one stream to the other.

use async_trait::async_trait;
use claw_domain::{ModelInfo, ModelRef, Secret};
use claw_provider::{Error, ErrorKind, EventStream, Http, Provider, Request, SseLimits, decoded};
use serde::Deserialize;

use crate::{Compat, Model, Options, error, request, stream::Decoder};

/// What a model takes that only the server lists, since its list does not say. Unit: tokens.
const CONTEXT_WINDOW: u64 = 128_000;

/// The longest answer to ask such a model for. Unit: tokens.
const OUTPUT_MAX: u64 = 8192;

/// One server that speaks OpenAI Chat Completions.
#[derive(Debug)]
pub struct OpenAi {
    name: String,
    base_url: String,
    models: Vec<Model>,
    http: Http,
}

#[derive(Deserialize)]
struct Listing {
    /// Ollama says `null` when it has none.
    data: Option<Vec<Listed>>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
}

impl OpenAi {
    /// Prepares the headers. The client should not follow redirects: see [`Http`].
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`] for a header or a key that cannot be sent.
    pub fn new(options: Options, client: reqwest::Client) -> Result<Self, Error> {
        let key = options.key.filter(|key| !key.is_empty());
        let key = key.map(|key| {
            ("authorization".to_owned(), Secret::new(format!("Bearer {}", key.expose())))
        });
        // Later ones win: people may overrule us.
        let headers = key.into_iter().chain(options.headers);
        Ok(Self {
            name: options.name,
            base_url: options.base_url.trim_end_matches('/').to_owned(),
            models: options.models,
            http: Http::new(client, headers, error::refused)?,
        })
    }

    fn configured(&self, reference: &ModelRef) -> Option<&Model> {
        self.models.iter().find(|model| model.info.reference == *reference)
    }

    fn info(&self, id: &str) -> ModelInfo {
        let reference = ModelRef { provider: self.name.as_str().into(), model: id.into() };
        match self.configured(&reference) {
            Some(model) => model.info.clone(),
            None => ModelInfo {
                reference,
                name: id.to_owned(),
                context_window: CONTEXT_WINDOW,
                output_max: OUTPUT_MAX,
                reasoning: false,
                images: false,
                cost: None,
            },
        }
    }
}

#[async_trait]
impl Provider for OpenAi {
    fn api(&self) -> &'static str {
        "openai-completions"
    }

    async fn stream(&self, request: &Request) -> Result<EventStream, Error> {
        let url = format!("{}/chat/completions", self.base_url);
        let configured = self.configured(&request.prefix.model().reference);
        let compat = configured.map_or_else(|| Compat::of(&url), |model| model.compat);
        let events =
            self.http.post(&url, request::body(request, &compat), SseLimits::default()).await?;
        Ok(decoded(events, Decoder::default()))
    }

    async fn models(&self) -> Result<Vec<ModelInfo>, Error> {
        let body = self.http.get(&format!("{}/models", self.base_url)).await?;
        let listing: Listing = serde_json::from_slice(&body).map_err(|error| {
            Error::new(ErrorKind::Network, format!("the list of models is unreadable: {error}"))
        })?;
        Ok(listing.data.into_iter().flatten().map(|listed| self.info(&listed.id)).collect())
    }
}
