//! Who answers a question about the store: the gateway or, where none runs, this process.

use claw_app::Local;
use serde_json::Value;

use crate::{
    context::Context,
    failure::Failure,
    rpc::{self, Connection, Timeout},
};

/// How to reach a gateway, if one is to be asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Way {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    timeout: Timeout,
}

impl Way {
    /// The gateway's answer to `method`, or what `here` makes of the store, in the same form.
    ///
    /// # Errors
    /// When the gateway or the store fails.
    pub(crate) async fn ask(
        &self,
        context: &Context,
        method: &str,
        params: Value,
        here: impl AsyncFnOnce(&Local) -> Result<Value, Failure>,
    ) -> Result<Value, Failure> {
        let config = context.config()?;
        if rpc::is_meant(context, config, &self.connection) {
            let timeout = self.timeout.duration();
            return rpc::call(context, &self.connection, timeout, method, params).await;
        }
        let local = Local::open(&context.home, config, context.environment()).await?;
        let answer = here(&local).await;
        local.close().await?;
        answer
    }
}
