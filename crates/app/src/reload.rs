//! How a change of the configuration file reaches a running gateway.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use claw_config::Config;
use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    Home, Overrides, StartError,
    access::{auth, control_ui},
    engine::{Engine, Env},
    load,
    sections::ReloadMode,
    settings::Settings,
    views::File,
};

/// Keys that are read at start only. Of a channel, who may speak and how replies look change live.
const AT_START: &[&str] = &[
    "gateway.port",
    "gateway.bind",
    "gateway.customBindHost",
    "gateway.reload",
    "store",
    "logging",
    "tools.exec.pathPrepend",
    "agents.defaults.maxConcurrent",
    "channels.telegram.enabled",
    "channels.telegram.botToken",
    "channels.telegram.tokenFile",
    "channels.telegram.apiRoot",
    "channels.telegram.timeoutSeconds",
    "channels.telegram.accounts",
];

/// What a watch needs.
pub(crate) struct Watch {
    pub(crate) home: Home,
    pub(crate) env: Arc<Env>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) gateway: claw_gateway::Gateway,
    pub(crate) overrides: Overrides,
    pub(crate) loopback: bool,
    pub(crate) file: Arc<File>,
    pub(crate) stop: CancellationToken,
}

/// Follows the file until `stop` fires. A broken file is refused and the running configuration
/// stays.
pub(crate) async fn watch(watch: Watch) {
    let reload = &watch.engine.settings.gateway.reload;
    if reload.mode == ReloadMode::Off {
        return watch.stop.cancelled().await;
    }
    let rest = Duration::from_millis(reload.debounce_ms.into());
    let (tx, mut changed) = mpsc::channel(1);
    // Editors rename over a file, so its folder is watched. Only that something changed matters:
    // a full channel already says so.
    let handler = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            let _already_said = tx.try_send(());
        }
    };
    let mut watcher = match notify::recommended_watcher(handler) {
        Ok(watcher) => watcher,
        Err(error) => {
            warn!(%error, "changes of the configuration are not followed");
            return watch.stop.cancelled().await;
        }
    };
    let mut followed = BTreeSet::new();
    follow(&mut watcher, &mut followed, &watch.file.files());
    let mut last = fingerprint(&watch.file.files());
    loop {
        tokio::select! {
            () = watch.stop.cancelled() => return,
            said = changed.recv() => if said.is_none() { return },
        }
        tokio::time::sleep(rest).await;
        while changed.try_recv().is_ok() {}
        if fingerprint(&watch.file.files()) == last {
            continue;
        }
        apply(&watch).await;
        follow(&mut watcher, &mut followed, &watch.file.files());
        last = fingerprint(&watch.file.files());
    }
}

/// Watches the folders of these files that are not watched yet.
fn follow(watcher: &mut impl Watcher, followed: &mut BTreeSet<PathBuf>, files: &[PathBuf]) {
    for folder in files.iter().filter_map(|file| file.parent()) {
        if followed.insert(folder.to_owned())
            && let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive)
        {
            warn!(folder = %folder.display(), %error, "changes in this folder are not followed");
        }
    }
}

/// The files' contents; equal when nothing was really changed.
fn fingerprint(files: &[PathBuf]) -> Vec<Option<Vec<u8>>> {
    files.iter().map(|file| std::fs::read(file).ok()).collect()
}

async fn apply(watch: &Watch) {
    let env = Arc::clone(&watch.env);
    let config = match load(&watch.home, &|name| env(name)) {
        Ok(config) => config,
        Err(problems) => return refuse(&problems),
    };
    let settings = match Settings::read(&config) {
        Ok(settings) => settings,
        Err(problems) => return refuse(&problems),
    };
    let auth =
        match auth(&settings.gateway, &watch.overrides, &watch.home, &*watch.env, watch.loopback) {
            Ok((auth, _made)) => auth,
            Err(error) => return refuse_start(&error),
        };
    let waiting = at_start(&watch.file.config(), &config);
    match watch.engine.reconfigure(&watch.home, &config, &settings, &*watch.env).await {
        Ok(notes) => {
            for note in notes {
                warn!("{note}");
            }
            watch.gateway.reconfigure(auth, control_ui(&settings.gateway));
            watch.file.replace(config);
            info!("the changed configuration is in force");
            for key in waiting {
                warn!(key, "this change needs a restart");
            }
        }
        Err(error) => refuse_start(&error),
    }
}

fn refuse_start(error: &StartError) {
    let hint = error.hint().unwrap_or_default();
    error!(%error, hint, "the changed configuration is refused; the running one stays");
}

fn refuse(problems: &[claw_config::Problem]) {
    for problem in problems {
        error!(%problem, "the changed configuration is refused; the running one stays");
    }
}

/// The changed keys that are read at start only.
fn at_start(before: &Config, after: &Config) -> Vec<&'static str> {
    let value = |config: &Config, key: &str| {
        let path = key.parse().expect("a constant path");
        config.get(&path).map(claw_config::Node::to_json)
    };
    AT_START.iter().copied().filter(|key| value(before, key) != value(after, key)).collect()
}
