//! Why a gateway does not start, or ends.

use claw_config::Problem;

use crate::{home::HomeError, lock::LockError, models::ModelsError};

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration has problems; each names its place.
    #[error("the configuration has {}", count(.0.len()))]
    Config(Vec<Problem>),
    /// The state folder cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Another gateway runs on this state folder.
    #[error("another gateway (process {pid}) runs on this state folder")]
    Held {
        /// Its process.
        pid: u32,
    },
    /// The store cannot be opened.
    #[error("the store cannot be opened")]
    Store(#[from] claw_store::Error),
    /// `store.url` is not understood.
    #[error("store.url: {0}")]
    StoreUrl(String),
    /// There is no log to be read.
    #[error("the configured store is in memory and keeps nothing")]
    Forgetful,
    /// Another gateway holds the store.
    #[error("another gateway holds the store")]
    StoreHeld,
    /// A provider cannot be used.
    #[error(transparent)]
    Models(#[from] ModelsError),
    /// A model's name is not `provider/model`.
    #[error("{0}")]
    Model(String),
    /// The workspace cannot be made.
    #[error(transparent)]
    Workspace(#[from] claw_agent::WorkspaceError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The gateway would be open to others without a secret.
    #[error("the gateway would listen beyond this machine without a secret")]
    Exposed,
    /// `gateway.mode` is `remote`.
    #[error("gateway.mode is `remote`: this configuration is for clients of a gateway elsewhere")]
    Remote,
    /// Delivery could not take up what was left.
    #[error("what was left open could not be taken up")]
    Recover(#[from] claw_delivery::Error),
    /// Something that is configured is not here yet.
    #[error("{0} is not here yet")]
    NotHere(&'static str),
    /// Something of ours broke.
    #[error("{0}")]
    Internal(String),
}

impl From<LockError> for StartError {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Held { pid } => Self::Held { pid },
            LockError::Unusable { path, source } => {
                Self::Home(HomeError::Unusable { path, source })
            }
        }
    }
}

impl StartError {
    /// One thing that a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Config(_) => {
                Some("mend the file; `rusty-claw config validate` checks it again".into())
            }
            Self::Home(error) => error.hint(),
            Self::Held { .. } => Some(
                "stop it with `rusty-claw gateway stop`, or use another RUSTY_CLAW_HOME".into(),
            ),
            Self::Store(error) => error.hint(),
            Self::StoreUrl(_) => Some("see docs/config.md for store.url".into()),
            Self::StoreHeld => Some("stop that gateway first".into()),
            Self::Forgetful => Some("set store.backend to `sqlite` to keep one".into()),
            Self::Models(_) | Self::Model(_) => {
                Some("see docs/config.md for models.providers".into())
            }
            Self::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => Some(
                "another program has the port: stop it, or choose one with --port or gateway.port"
                    .into(),
            ),
            Self::Listen { .. } => {
                Some("choose another address with --bind or gateway.bind".into())
            }
            Self::Exposed => {
                Some("set gateway.auth.token or gateway.auth.password, or bind to loopback".into())
            }
            Self::Remote => Some("set gateway.mode to `local` to run one here".into()),
            Self::Recover(error) => error.hint(),
            Self::Workspace(_) | Self::NotHere(_) | Self::Internal(_) => None,
        }
    }

    /// What is wrong with the configuration, when that is why.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Config(problems) => problems,
            _ => &[],
        }
    }
}

fn count(problems: usize) -> String {
    if problems == 1 { "a problem".into() } else { format!("{problems} problems") }
}
