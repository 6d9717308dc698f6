//! The chat page, from its sources to the files that the binary embeds.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, ensure};

/// Builds the page; with `check`, fails when that changes a committed file.
pub(crate) fn run(root: &Path, check: bool) -> Result<()> {
    let ui = root.join("ui");
    for words in [&["ci", "--no-audit", "--no-fund"][..], &["run", "build"]] {
        let status =
            Command::new("npm").args(words).current_dir(&ui).status().context("npm starts")?;
        ensure!(status.success(), "npm {} failed", words.join(" "));
    }
    if check {
        let words = ["status", "--porcelain", "--", "crates/web/dist"];
        let output =
            Command::new("git").args(words).current_dir(root).output().context("git starts")?;
        let changed = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            changed.is_empty(),
            "the committed pages are not what ui/ builds:\n{changed}run `cargo xtask ui` and commit"
        );
    }
    Ok(())
}
