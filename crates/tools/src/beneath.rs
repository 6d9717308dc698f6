//! How a path from a model becomes a file beneath the workspace, and never another one.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use cap_std::{
    ambient_authority,
    fs::{Dir, File, MetadataExt, OpenOptions, OpenOptionsExt},
};
use claw_tool::{Output, Refusal};
use nix::fcntl::OFlag;
use uuid::Uuid;

use crate::Error;

/// The path that a file tool was given by either of its two names.
pub(crate) fn path_argument(
    tool: &'static str,
    path: Option<String>,
    file_path: Option<String>,
    workspace: &Path,
) -> Result<PathBuf, Refusal> {
    let path = path
        .or(file_path)
        .ok_or(Refusal::Arguments { tool, detail: "missing field `path`".to_owned() })?;
    relative(&path, workspace)
}

/// Opens the workspace and works in it, away from the threads that must not wait for a disk.
pub(crate) async fn in_workspace(
    root: Arc<PathBuf>,
    work: impl FnOnce(&Workspace) -> Result<Output, Error> + Send + 'static,
) -> Output {
    let done = tokio::task::spawn_blocking(move || work(&Workspace::open(&root)?)).await;
    match done {
        Ok(result) => result.unwrap_or_else(Output::from),
        Err(panic) => Output::error(format!("the tool broke down: {panic}")),
    }
}

/// Takes a path as a model wrote it: relative to the workspace, or absolute within it.
///
/// This only reads the text; what holds is that [`Workspace`] resolves the result beneath an open
/// directory.
pub(crate) fn relative(path: &str, workspace: &Path) -> Result<PathBuf, Refusal> {
    let refuse = |why: &str| Err(Refusal::Never(format!("`{}` {why}", path.escape_debug())));
    if path.is_empty() {
        return Err(Refusal::Never("the path is empty".to_owned()));
    }
    if path.contains('\0') {
        return refuse("holds a zero byte, which no path can");
    }
    if path.starts_with('~') {
        return refuse(
            "begins with `~`, which is not expanded; give the path relative to the workspace",
        );
    }
    if path.starts_with('@') {
        return refuse(
            "begins with `@`, which is no part of a path here; begin with `./@` if it is the name",
        );
    }
    let path = Path::new(path);
    let Ok(inside) = path.strip_prefix(workspace) else {
        return if path.is_absolute() {
            refuse("is outside the workspace; give the path relative to it")
        } else {
            Ok(path.to_owned())
        };
    };
    Ok(if inside.as_os_str().is_empty() { PathBuf::from(".") } else { inside.to_owned() })
}

/// The workspace as an open directory. Every path is resolved beneath it by descriptors, links
/// included, so swapping a part of a path for a link leads nowhere else.
pub(crate) struct Workspace(Dir);

impl Workspace {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let dir = Dir::open_ambient_dir(path, ambient_authority());
        dir.map(Self).map_err(|source| Error::file(path, source))
    }

    /// A directory beneath.
    pub(crate) fn directory(&self, path: &Path) -> Result<Dir, Error> {
        self.0.open_dir(path).map_err(|source| Error::file(path, source))
    }

    /// A regular file beneath, to be read.
    pub(crate) fn read(&self, path: &Path) -> Result<File, Error> {
        self.regular(path, OpenOptions::new().read(true))
    }

    /// A regular file beneath, to be added to; made with its parents if need be.
    pub(crate) fn append(&self, path: &Path) -> Result<File, Error> {
        self.make_parents(path)?;
        let file = self.regular(path, OpenOptions::new().append(true).create(true))?;
        let links = file.metadata().map_err(|source| Error::file(path, source))?.nlink();
        if links > 1 { Err(Error::HardLinked(path.to_owned())) } else { Ok(file) }
    }

    /// Puts `content` in the file's place as a whole: whoever reads it sees the old or the new.
    /// Keeps the old one's permissions; makes missing parents.
    pub(crate) fn replace(&self, path: &Path, content: &[u8]) -> Result<(), Error> {
        let fail = |source| Error::file(path, source);
        self.make_parents(path)?;
        // A link is followed to the file that it stands for, as long as that is beneath.
        let target = match self.0.canonicalize(path) {
            Ok(target) => target,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => path.to_owned(),
            Err(error) => return Err(fail(error)),
        };
        let Some(name) = target.file_name() else { return Err(Error::NotAFile(path.to_owned())) };
        let parent = self.directory(parent(&target))?;
        let old = match parent.symlink_metadata(name) {
            Ok(old) if old.is_dir() => return Err(Error::NotAFile(path.to_owned())),
            Ok(old) if old.is_file() => Some(old.permissions()),
            Ok(_) | Err(_) => None,
        };
        let temporary = format!(".{}.tmp", Uuid::new_v4().simple());
        let written = (|| {
            let mut file =
                parent.open_with(&temporary, OpenOptions::new().write(true).create_new(true))?;
            if let Some(permissions) = old {
                file.set_permissions(permissions)?;
            }
            file.write_all(content)?;
            file.sync_all()?;
            parent.rename(&temporary, &parent, name)
        })();
        written.map_err(|error| {
            // What is left of a failed write is ours to remove; that it fails too changes nothing.
            let _ = parent.remove_file(&temporary);
            fail(error)
        })
    }

    fn make_parents(&self, path: &Path) -> Result<(), Error> {
        let parent = parent(path);
        match self.directory(parent) {
            Err(Error::Missing(_)) => {
                self.0.create_dir_all(parent).map_err(|source| Error::file(path, source))
            }
            found => found.map(drop),
        }
    }

    fn regular(&self, path: &Path, options: &mut OpenOptions) -> Result<File, Error> {
        let fail = |source| Error::file(path, source);
        // Opening a pipe that nobody writes to would wait for ever.
        options.custom_flags(OFlag::O_NONBLOCK.bits());
        let file = self.0.open_with(path, options).map_err(fail)?;
        let regular = file.metadata().map_err(fail)?.is_file();
        if regular { Ok(file) } else { Err(Error::NotAFile(path.to_owned())) }
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[track_caller]
    fn check(path: &str, expected: Result<&str, &str>) {
        let answer =
            relative(path, Path::new("/home/me/ws")).map_err(|refusal| refusal.to_string());
        assert_eq!(answer, expected.map(PathBuf::from).map_err(str::to_owned));
    }

    #[test]
    fn a_path_is_relative_or_within_the_workspace() {
        check("notes/a.md", Ok("notes/a.md"));
        check("/home/me/ws/notes/a.md", Ok("notes/a.md"));
        check("/home/me/ws/", Ok("."));
        check("./@odd", Ok("./@odd"));
    }

    #[test]
    fn a_path_that_means_another_place_is_refused() {
        // SEC-46, SEC-53
        check(
            "/etc/passwd",
            Err("`/etc/passwd` is outside the workspace; give the path relative to it"),
        );
        check(
            "/home/me/ws2/a",
            Err("`/home/me/ws2/a` is outside the workspace; give the path relative to it"),
        );
        check(
            "~/.ssh/id",
            Err(
                "`~/.ssh/id` begins with `~`, which is not expanded; give the path relative to the workspace",
            ),
        );
        check(
            "@/etc/passwd",
            Err(
                "`@/etc/passwd` begins with `@`, which is no part of a path here; begin with `./@` if it is the name",
            ),
        );
        check("a\0b", Err("`a\\0b` holds a zero byte, which no path can"));
        check("", Err("the path is empty"));
    }

    /// A workspace beside a secret, with every kind of link that leads to it.
    fn with_links() -> (tempfile::TempDir, Workspace) {
        let root = tempfile::tempdir().unwrap();
        let (outside, inside) = (root.path().join("outside"), root.path().join("ws"));
        fs::create_dir_all(&outside).unwrap();
        fs::create_dir_all(inside.join("real")).unwrap();
        fs::write(outside.join("secret"), "canary").unwrap();
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(target, inside.join(name)).unwrap();
        };
        link("../outside/secret", "relative");
        link(outside.join("secret").to_str().unwrap(), "absolute");
        link("../outside", "directory");
        link("relative", "chain");
        link("../outside/new", "broken");
        link("real/inner", "fine");
        let workspace = Workspace::open(&inside).unwrap();
        (root, workspace)
    }

    const ESCAPES: [&str; 8] = [
        "../outside/secret",
        "real/../../outside/secret",
        "relative",
        "absolute",
        "directory/secret",
        "chain",
        "broken",
        "directory/new/deep",
    ];

    #[test]
    fn no_link_and_no_dots_lead_out_of_the_workspace() {
        // SEC-49, SEC-53
        let (root, workspace) = with_links();
        for path in ESCAPES {
            let path = Path::new(path);
            let read = workspace.read(path).map(drop);
            assert!(matches!(read, Err(Error::Outside(_))), "read {path:?}: {read:?}");
            let append = workspace.append(path).map(drop);
            assert!(matches!(append, Err(Error::Outside(_))), "append {path:?}: {append:?}");
            // A link that cannot be followed is refused or gives way itself; what it names stays.
            drop(workspace.replace(path, b"overwritten"));
        }
        let outside: Vec<_> = fs::read_dir(root.path().join("outside")).unwrap().collect();
        assert_eq!(outside.len(), 1);
        assert_eq!(fs::read_to_string(root.path().join("outside/secret")).unwrap(), "canary");
    }

    #[test]
    fn a_link_within_the_workspace_is_written_through() {
        let (root, workspace) = with_links();
        fs::write(root.path().join("ws/real/inner"), "old").unwrap();
        workspace.replace(Path::new("fine"), b"new").unwrap();
        assert_eq!(fs::read_to_string(root.path().join("ws/real/inner")).unwrap(), "new");
        assert!(root.path().join("ws/fine").is_symlink());
    }

    #[test]
    fn a_hard_link_is_broken_by_a_write_and_refused_by_an_append() {
        // SEC-53
        let (root, workspace) = with_links();
        let (outside, alias) = (root.path().join("outside/secret"), root.path().join("ws/alias"));
        fs::hard_link(&outside, &alias).unwrap();
        assert!(matches!(workspace.append(Path::new("alias")), Err(Error::HardLinked(_))));
        workspace.replace(Path::new("alias"), b"mine").unwrap();
        assert_eq!(fs::read_to_string(&outside).unwrap(), "canary");
        assert_eq!(fs::read_to_string(&alias).unwrap(), "mine");
    }

    #[test]
    fn a_replaced_file_keeps_its_permissions_and_leaves_nothing_beside_it() {
        let (root, workspace) = with_links();
        let path = root.path().join("ws/real/run.sh");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        workspace.replace(Path::new("real/run.sh"), b"new").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o750);
        assert_eq!(fs::read_dir(root.path().join("ws/real")).unwrap().count(), 1);
    }

    #[test]
    fn a_pipe_is_refused_instead_of_waited_for() {
        let (root, workspace) = with_links();
        nix::unistd::mkfifo(&root.path().join("ws/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(workspace.read(Path::new("pipe")), Err(Error::NotAFile(_))));
        assert!(matches!(workspace.read(Path::new("real")), Err(Error::NotAFile(_))));
    }
}
