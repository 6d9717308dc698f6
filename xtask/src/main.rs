//! What the repository needs done: `cargo xtask …`.

mod bench;
mod generated;
mod lines;
mod pages;
mod scaling;
mod soak;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};

/// What the repository needs done.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Writes docs/config.md and docs/config.schema.json from the code.
    Gen {
        /// Write nothing; fail when the files are not what would be written.
        #[arg(long)]
        check: bool,
    },
    /// Builds the chat page into crates/web/dist.
    Ui {
        /// Fail when the committed pages are not what the sources build.
        #[arg(long)]
        check: bool,
    },
    /// Measures the shipped build and writes docs/benchmarks.md.
    Bench,
    /// Measures one to three gateways on one PostgreSQL server and writes docs/scaling.md.
    Scaling,
    /// Runs long what the tests run short, and keeps the figures in docs/reliability.md.
    Soak {
        /// kill, simulation, gateways, year, session, backup; all without any.
        parts: Vec<String>,
    },
    /// Counts code lines per crate: no tests, blank lines or comments.
    Loc,
}

fn main() -> Result<()> {
    let root = root();
    match Arguments::parse().task {
        Task::Gen { check } => generated::run(&root, check),
        Task::Ui { check } => pages::run(&root, check),
        // The servers that are measured against must not be what is slow.
        Task::Bench | Task::Scaling if cfg!(debug_assertions) => optimised(&root),
        Task::Bench => bench::run(&root),
        Task::Scaling => scaling::run(&root),
        Task::Soak { parts } => soak::run(&root, &parts),
        Task::Loc => lines::run(&root),
    }
}

/// Runs the same task in an optimised build of this program.
fn optimised(root: &Path) -> Result<()> {
    let status = cargo(root)
        .args(["run", "--quiet", "--release", "--locked", "--package", "xtask", "--"])
        .args(std::env::args_os().skip(1))
        .status()?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}

/// Cargo, as if it were called from a shell: what it tells this program of itself would have it build
/// again what asks for that.
fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new("cargo");
    for (name, _) in std::env::vars_os() {
        let about_us = ["CARGO_PKG_", "CARGO_MANIFEST_"];
        if about_us.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            cargo.env_remove(name);
        }
    }
    cargo.current_dir(root);
    cargo
}

/// The checkout's first folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the root").to_owned()
}
