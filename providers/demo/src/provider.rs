//! The trait: a reply, spoken word by word.

use std::time::Duration;

use async_trait::async_trait;
use claw_domain::{ModelInfo, ModelRef};
use claw_provider::{Error, Event, EventStream, Provider, Request};
use futures_util::{StreamExt, stream};

use crate::reply::reply;

/// The pause before each piece, so that people see the answer grow.
const PIECE_PAUSE: Duration = Duration::from_millis(8);

/// The demonstration.
#[derive(Debug, Clone, Copy, Default)]
pub struct Demo;

impl Demo {
    /// Its only model, `demo/demo`.
    pub fn model() -> ModelInfo {
        ModelInfo {
            reference: ModelRef { provider: "demo".into(), model: "demo".into() },
            name: "Demonstration".to_owned(),
            context_window: 200_000,
            output_max: 8192,
            reasoning: false,
            images: false,
            cost: None,
        }
    }
}

#[async_trait]
impl Provider for Demo {
    fn api(&self) -> &'static str {
        "demo"
    }

    async fn stream(&self, request: &Request) -> Result<EventStream, Error> {
        let spoken = stream::iter(reply(request)).then(|event: Event| async {
            tokio::time::sleep(PIECE_PAUSE).await;
            Ok(event)
        });
        Ok(spoken.boxed())
    }

    async fn models(&self) -> Result<Vec<ModelInfo>, Error> {
        Ok(vec![Self::model()])
    }
}
