//! `gateway status`: whether a gateway runs on this state folder, and whether it answers.

use std::{process::ExitCode, time::Duration};

use claw_app::{Home, Target, lock_holder};
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

/// What was found out.
struct Report<'a> {
    home: &'a Home,
    /// The process that holds the state folder.
    pid: Option<u32>,
    target: Target,
    /// `None` when nobody was asked.
    probe: Option<Result<Probe, Failure>>,
}

/// What an answering gateway told.
struct Probe {
    version: String,
    uptime_ms: u64,
    /// With `--deep`: `health` and `channels`.
    deep: Map<String, Value>,
}

/// Exits with 1 when no gateway answers or, without a probe, none runs here.
pub(super) async fn run(args: Args, context: &Context) -> Done {
    let report = Report {
        home: &context.home,
        pid: lock_holder(&context.home.state_dir),
        target: rpc::target(context, context.config()?, &args.connection)?,
        probe: if args.no_probe { None } else { Some(Probe::ask(&args, context).await) },
    };
    match args.json {
        true => output::json(&report.as_json())?,
        false => output::text(&report.told())?,
    }
    match (report.probe, report.pid) {
        (Some(Ok(_)), _) | (None, Some(_)) => Ok(ExitCode::SUCCESS),
        (Some(Err(failure)), _) => Err(failure),
        (None, None) => Err(Failure::new("no gateway runs on this state folder")
            .hint("start it with `rusty-claw gateway run`")),
    }
}

impl Report<'_> {
    fn as_json(&self) -> Value {
        let mut json = json!({
            "running": self.pid.is_some(),
            "pid": self.pid,
            "stateDir": self.home.state_dir.display().to_string(),
            "config": self.home.config.display().to_string(),
            "target": { "url": rpc::shown(&self.target.url), "source": self.target.source },
        });
        match &self.probe {
            Some(Ok(Probe { version, uptime_ms, deep })) => {
                json["rpc"] = json!({ "ok": true, "version": version, "uptimeMs": uptime_ms });
                for (name, told) in deep {
                    json[name] = told.clone();
                }
            }
            Some(Err(failure)) => json["rpc"] = json!({ "ok": false, "error": failure.what() }),
            None => {}
        }
        json
    }

    fn told(&self) -> String {
        let process = match self.pid {
            Some(pid) => format!("runs (process {pid})"),
            None => "none runs on this state folder".to_owned(),
        };
        let target = format!("{} ({})", rpc::shown(&self.target.url), self.target.source);
        let mut rows = vec![
            vec!["gateway".to_owned(), process],
            vec!["state".to_owned(), self.home.state_dir.display().to_string()],
            vec!["config".to_owned(), self.home.config.display().to_string()],
            vec!["target".to_owned(), target],
        ];
        let Some(Ok(Probe { version, uptime_ms, deep })) = &self.probe else {
            return words::table(&rows);
        };
        let up = words::duration(*uptime_ms);
        rows.push(vec!["answers".to_owned(), format!("version {version}, up {up}")]);
        let deep = deep.iter().map(|(name, told)| format!("\n{name}: {told:#}"));
        words::table(&rows) + &deep.collect::<String>()
    }
}

impl Probe {
    async fn ask(args: &Args, context: &Context) -> Result<Self, Failure> {
        let timeout = args.timeout.duration();
        let gateway = Gateway::connect(context, &args.connection, timeout).await?;
        let hello = gateway.hello();
        let (version, uptime_ms) = (hello.server.version.clone(), hello.snapshot.uptime_ms);
        let deep = match args.deep {
            true => deep(&gateway, timeout).await,
            false => Ok(Map::new()),
        };
        gateway.close().await;
        Ok(Self { version, uptime_ms, deep: deep? })
    }
}

async fn deep(gateway: &Gateway, timeout: Duration) -> Result<Map<String, Value>, Failure> {
    let mut deep = Map::new();
    for (name, method) in [("health", "health"), ("channels", "channels.status")] {
        let told = gateway.call(method, json!({ "probe": true }), timeout).await?;
        deep.insert(name.to_owned(), told);
    }
    Ok(deep)
}
