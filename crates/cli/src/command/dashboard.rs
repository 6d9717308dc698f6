//! `dashboard`: a new address of the chat page, good for one use.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::Done;
use crate::{
    context::Context,
    failure::Failure,
    output,
    rpc::{Connection, Gateway, Timeout},
    words,
};

/// The method that makes a code.
const METHOD: &str = "device.pair.setupCode";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Do not open a browser; this command never does
    #[arg(long, hide = true)]
    no_open: bool,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    timeout: Timeout,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args, context: &Context) -> Done {
    let timeout = args.timeout.duration();
    let gateway = Gateway::connect(context, &args.connection, timeout).await?;
    let answer = gateway.call(METHOD, json!({}), timeout).await;
    let url = gateway.place().url.clone();
    gateway.close().await;
    let answer = answer?;
    let Some(code) = answer["code"].as_str() else {
        return Err(Failure::new("the gateway's answer holds no code"));
    };
    let page = format!("{}/#code={code}", page_origin(&url));
    if args.json {
        output::json(&json!({ "url": page, "expiresAtMs": answer["expiresAtMs"] }))?;
    } else {
        output::text(&page)?;
        tell_expiry(&answer);
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the page of the gateway at `url` is: same host, same port.
fn page_origin(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some(("wss", rest)) => ("https", rest),
        Some((_, rest)) => ("http", rest),
        None => ("http", url),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    format!("{scheme}://{authority}")
}

/// Beside the data: how long the address works.
fn tell_expiry(answer: &Value) {
    let Some(at) = answer["expiresAtMs"].as_i64() else { return };
    let now = claw_domain::Clock::now(&claw_domain::SystemClock).as_millisecond();
    let left = words::duration(u64::try_from(at - now).unwrap_or(0));
    output::note(&format!("works once, for {left}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_where_the_gateway_is() {
        for (url, page) in [
            ("ws://127.0.0.1:18789", "http://127.0.0.1:18789"),
            ("ws://[::1]:1/x?y#z", "http://[::1]:1"),
            ("wss://gw.example.org", "https://gw.example.org"),
        ] {
            assert_eq!(page_origin(url), page);
        }
    }
}
