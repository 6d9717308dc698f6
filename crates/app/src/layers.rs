//! What is wrapped around the parts of a gateway: metrics, tracing and tests wrap here.

use std::sync::Arc;

use claw_channel::Channel;
use claw_domain::Clock;
use claw_provider::Provider;
use claw_store::Store;
use claw_tool::Tool;

/// Wraps one part; gives back what stands in its place.
pub type Layer<T> = Box<dyn Fn(Arc<T>) -> Arc<T> + Send + Sync>;

/// A layer for each contract. The default leaves every part as it is.
pub struct Layers {
    /// Around the store.
    pub store: Layer<dyn Store>,
    /// Around each channel account.
    pub channel: Layer<dyn Channel>,
    /// Around each provider, also those of a changed configuration.
    pub provider: Layer<dyn Provider>,
    /// Around each tool.
    pub tool: Layer<dyn Tool>,
    /// Around the clock.
    pub clock: Layer<dyn Clock>,
}

impl Default for Layers {
    fn default() -> Self {
        Self {
            store: Box::new(|inner| inner),
            channel: Box::new(|inner| inner),
            provider: Box::new(|inner| inner),
            tool: Box::new(|inner| inner),
            clock: Box::new(|inner| inner),
        }
    }
}
