//! The tools: one file each.
//!
//! The file tools resolve every path beneath the workspace's open directory, links included, so no
//! text can name a file elsewhere. `exec` starts its commands through a [`helper`], which is this
//! same program run again: it is what ends every process that a command leaves behind.
//!
//! ```
//! let helper = claw_tools::Helper::of_this_program();
//! let names: Vec<_> = claw_tools::all(helper).iter().map(|tool| tool.spec().name).collect();
//! assert_eq!(names, ["read", "edit", "write", "exec"]);
//! ```
#![warn(missing_docs)]

mod beneath;
mod capture;
mod edit;
mod environment;
mod error;
mod exec;
pub mod helper;
mod read;
mod write;

use std::sync::Arc;

use claw_tool::Tool;

pub use edit::Edit;
pub use error::Error;
pub use exec::{Exec, Helper};
pub use read::Read;
pub use write::Write;

/// Every tool, in the order in which models are told of them.
pub fn all(helper: Helper) -> Vec<Arc<dyn Tool>> {
    vec![
        Arc::new(Read::default()),
        Arc::new(Edit::default()),
        Arc::new(Write::default()),
        Arc::new(Exec::new(helper)),
    ]
}
