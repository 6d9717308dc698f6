//! `gateway status`: whether a gateway runs on this state folder, and whether it answers.

use std::{process::ExitCode, time::Duration};

use claw_app::lock_holder;
use serde_json::{Map, Value, json};

use super::super::Done;
use crate::{
    context::Context,
    failure::Failure,
    output,
    rpc::{self, Connection, Gateway, Timeout},
    words,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    timeout: Timeout,
    /// Do not connect, only look at the state folder
    #[arg(long)]
    no_probe: bool,
    /// Also ask for its health, and for every channel's, looked at now
    #[arg(long)]
    deep: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What an answering gateway told.
#[derive(Debug, Default)]
struct Probe {
    version: String,
    uptime_ms: u64,
    /// With `--deep`: `health` and `channels`.
    deep: Map<String, Value>,
}

/// Exits with 1 when no gateway answers or, without a probe, none runs here.
pub(super) async fn run(args: Args, context: &Context) -> Done {
    let config = context.config()?;
    let target = rpc::target(context, &config, &args.connection)?;
    let pid = lock_holder(&context.home.state_dir);
    let probe = match args.no_probe {
        true => None,
        false => Some(probe(&args, context).await),
    };
    let well = match &probe {
        Some(probe) => probe.is_ok(),
        None => pid.is_some(),
    };
    let home = &context.home;
    if args.json {
        let mut status = json!({
            "running": pid.is_some(),
            "pid": pid,
            "stateDir": home.state_dir,
            "config": home.config,
            "target": { "url": rpc::shown(&target.url), "source": target.source },
        });
        match &probe {
            Some(Ok(probe)) => {
                let (version, uptime) = (&probe.version, probe.uptime_ms);
                status["rpc"] = json!({ "ok": true, "version": version, "uptimeMs": uptime });
                status.as_object_mut().expect("made above").extend(probe.deep.clone());
            }
            Some(Err(failure)) => status["rpc"] = json!({ "ok": false, "error": failure.what() }),
            None => {}
        }
        output::json(&status)?;
    } else {
        let process = match pid {
            Some(pid) => format!("runs (process {pid})"),
            None => "none runs on this state folder".to_owned(),
        };
        let mut rows = vec![
            vec!["gateway".to_owned(), process],
            vec!["state".to_owned(), home.state_dir.display().to_string()],
            vec!["config".to_owned(), home.config.display().to_string()],
            vec!["target".to_owned(), format!("{} ({})", rpc::shown(&target.url), target.source)],
        ];
        if let Some(Ok(probe)) = &probe {
            let up = words::duration(probe.uptime_ms);
            rows.push(vec!["answers".to_owned(), format!("version {}, up {up}", probe.version)]);
        }
        output::text(&words::table(&rows))?;
        if let Some(Ok(probe)) = &probe {
            for (name, told) in &probe.deep {
                output::text(&format!("{name}:"))?;
                output::json(told)?;
            }
        }
    }
    match probe {
        Some(Err(failure)) => Err(failure),
        _ if well => Ok(ExitCode::SUCCESS),
        _ => Err(Failure::new("no gateway runs on this state folder")
            .hint("start it with `rusty-claw gateway run`")),
    }
}

async fn probe(args: &Args, context: &Context) -> Result<Probe, Failure> {
    let timeout = args.timeout.duration();
    let gateway = Gateway::connect(context, &args.connection, timeout).await?;
    let told = ask(&gateway, args.deep, timeout).await;
    gateway.close().await;
    told
}

async fn ask(gateway: &Gateway, deep: bool, timeout: Duration) -> Result<Probe, Failure> {
    let hello = gateway.client().hello();
    let mut probe = Probe {
        version: hello.server.version.clone(),
        uptime_ms: hello.snapshot.uptime_ms,
        ..Probe::default()
    };
    if deep {
        for (name, method) in [("health", "health"), ("channels", "channels.status")] {
            let told = gateway.call(method, json!({ "probe": true }), timeout).await?;
            probe.deep.insert(name.to_owned(), told);
        }
    }
    Ok(probe)
}
