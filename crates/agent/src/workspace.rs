//! What lies in a fresh workspace, and how its files join the prompt.

use std::{fs, io, path::Path};

/// The files that a workspace begins with, and what they say at first.
pub const WORKSPACE_FILES: &[(&str, &str)] = &[
    ("AGENTS.md", include_str!("../templates/AGENTS.md")),
    ("SOUL.md", include_str!("../templates/SOUL.md")),
    ("TOOLS.md", include_str!("../templates/TOOLS.md")),
    ("IDENTITY.md", include_str!("../templates/IDENTITY.md")),
    ("USER.md", include_str!("../templates/USER.md")),
];

/// Further files that join the prompt when they are there.
pub(crate) const OPTIONAL_FILES: &[&str] = &["HEARTBEAT.md", "BOOTSTRAP.md", "MEMORY.md"];

/// A workspace could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the workspace file {} could not be made", path.display())]
pub struct WorkspaceError {
    /// Which.
    path: std::path::PathBuf,
    /// Why.
    #[source]
    source: io::Error,
}

/// Makes the folder and those of its files that are missing; what is there stays as it is.
/// Blocks on the disk.
///
/// # Errors
/// When the folder or a file cannot be made.
pub fn prepare_workspace(folder: &Path) -> Result<(), WorkspaceError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| WorkspaceError { path, source }
    };
    make_private_folder(folder).map_err(failed(folder))?;
    for (name, content) in WORKSPACE_FILES {
        let path = folder.join(name);
        match private_file(&path) {
            Ok(mut file) => {
                io::Write::write_all(&mut file, content.as_bytes()).map_err(failed(&path))?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(&path)(error)),
        }
    }
    Ok(())
}

#[cfg(unix)]
fn make_private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make_private_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

#[cfg(unix)]
fn private_file(path: &Path) -> io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn private_file(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().write(true).create_new(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_files_are_made_and_others_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = folder.path().join("workspace");
        prepare_workspace(&workspace).unwrap();
        fs::write(workspace.join("SOUL.md"), "mine").unwrap();
        fs::remove_file(workspace.join("USER.md")).unwrap();
        prepare_workspace(&workspace).unwrap();
        assert_eq!(fs::read_to_string(workspace.join("SOUL.md")).unwrap(), "mine");
        assert_eq!(fs::read_to_string(workspace.join("USER.md")).unwrap(), WORKSPACE_FILES[4].1);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_a_workspace() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let workspace = folder.path().join("workspace");
        prepare_workspace(&workspace).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&workspace), mode(&workspace.join("AGENTS.md"))), (0o700, 0o600));
    }
}
