//! The helper mode of `rusty-claw` as a program of its own, for this crate's tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    claw_tools::helper::main()
}
