//! `gateway call`: one method, its parameters as typed, its answer as it came.

use std::process::ExitCode;

use claw_config::json5;
use serde_json::Value;

use super::super::Done;
use crate::{
    context::Context,
    failure::Failure,
    output,
    rpc::{Connection, Gateway, Timeout},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The method, such as health
    method: String,
    /// The parameters, a JSON5 object
    #[arg(long, value_name = "JSON", default_value = "{}")]
    params: String,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    timeout: Timeout,
    /// Wait for the last answer of a method that first says only `accepted`
    #[arg(long)]
    expect_final: bool,
    /// Print JSON, which this command always does
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args, context: &Context) -> Done {
    let params = params(&args.params)?;
    let timeout = args.timeout.duration();
    let gateway = Gateway::connect(context, &args.connection, timeout).await?;
    let answer = match args.expect_final {
        true => gateway.call_final(&args.method, params, timeout).await,
        false => gateway.call(&args.method, params, timeout).await,
    };
    gateway.close().await;
    output::json(&answer?)?;
    Ok(ExitCode::SUCCESS)
}

fn params(text: &str) -> Result<Value, Failure> {
    let node = json5::parse(text, 0)
        .map_err(|error| Failure::new("--params is not JSON5").because(&error))?;
    Ok(node.to_json())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_are_json_or_json5() {
        assert_eq!(params(r#"{"a": [1]}"#).unwrap(), json!({"a": [1]}));
        assert_eq!(params("{a: 'b', /* c */}").unwrap(), json!({"a": "b"}));
        let failure = params("{a: }").unwrap_err().to_string();
        assert!(failure.starts_with("error: --params is not JSON5\n  1:5: "), "{failure}");
    }
}
