//! Files that are made from the code, and whether they are up to date.

use std::{fs, path::Path};

use anyhow::{Result, ensure};

/// Writes the files, or with `check` only compares them.
pub(crate) fn run(root: &Path, check: bool) -> Result<()> {
    let schema = format!("{}\n", serde_json::to_string_pretty(&claw_app::schema())?);
    let files = [("docs/config.md", claw_app::reference()), ("docs/config.schema.json", schema)];
    let mut stale = Vec::new();
    for (name, text) in files {
        let path = root.join(name);
        if fs::read_to_string(&path).ok().as_deref() == Some(text.as_str()) {
            continue;
        }
        if check {
            stale.push(name);
        } else {
            fs::write(&path, text)?;
            println!("wrote {name}");
        }
    }
    ensure!(
        stale.is_empty(),
        "not what the code says: {}; run `cargo xtask gen`",
        stale.join(", ")
    );
    Ok(())
}
