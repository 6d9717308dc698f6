//! The contract of every tool: say what it is, plan exactly what would be done, do that.
//!
//! [`Tool::plan`] parses the arguments, once. Guard, approval, audit and [`Tool::run`] all see the
//! one [`Plan`] that it returns; nobody parses again, so what was checked is what is executed.
#![warn(missing_docs)]

mod context;
mod plan;
mod tool;

pub use context::{PlanContext, RunContext};
pub use plan::{CommandPlan, FileAction, FilePlan, Plan};
pub use tool::{Output, Refusal, Spec, Tool, parse_arguments};
