//! The binary `rusty-claw`: words in, output out.

mod args;
mod command;
mod context;
mod failure;
mod logging;
mod not_yet;
mod output;
mod passphrase;
mod rpc;
mod way;
mod words;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    if words.get(1).is_some_and(|word| word == claw_tools::helper::WORD) {
        return claw_tools::helper::main();
    }
    // An error would say that it was chosen before, and nothing ran before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match args::parse(words) {
        Ok(args) => command::run(args),
        Err(code) => code,
    }
}
