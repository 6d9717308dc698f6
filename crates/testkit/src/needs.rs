//! Whether a real part that a test needs is on this machine.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
};

/// Names, separated by commas, of the parts whose absence fails a test instead of skipping it.
pub const REQUIRE: &str = "CLAW_REQUIRE";

struct Part {
    name: &'static str,
    programs: &'static [&'static str],
    /// Folders beside `PATH`; one `*` stands for any folder name.
    folders: &'static [&'static str],
    install: &'static str,
}

const PARTS: [Part; 4] = [
    Part {
        name: "chromium",
        programs: &["chromium", "chromium-browser", "google-chrome"],
        folders: &[],
        install: "apt-get install chromium",
    },
    Part {
        name: "bwrap",
        programs: &["bwrap"],
        folders: &[],
        install: "apt-get install bubblewrap",
    },
    Part {
        name: "postgres",
        programs: &["postgres"],
        // Debian keeps the server's programs outside PATH, a folder for each version.
        folders: &["/usr/lib/postgresql/*/bin"],
        install: "apt-get install postgresql",
    },
    Part {
        name: "openclaw",
        programs: &["openclaw"],
        folders: &[],
        install: "npm install -g openclaw@2026.2.17",
    },
];

#[derive(Debug, PartialEq, Eq)]
enum Finding {
    Here(PathBuf),
    Skip(String),
    Fail(String),
}

/// The program of `part` (`chromium`, `bwrap`, `postgres`, `openclaw`), if this machine has it.
///
/// `None` means that the test should return: what it skips was printed.
///
/// # Panics
/// When the part is missing and [`REQUIRE`] names it, and when no such part is known.
pub fn needs(part: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let required = env::var(REQUIRE).unwrap_or_default();
    match look(part, &path, &required) {
        Finding::Here(program) => Some(program),
        Finding::Skip(why) => {
            eprintln!("skipped: {why}");
            None
        }
        Finding::Fail(why) => panic!("{why}"),
    }
}

fn look(name: &str, path: &OsStr, required: &str) -> Finding {
    let Some(part) = PARTS.iter().find(|part| part.name == name) else {
        return Finding::Fail(format!("no part named {name} is known"));
    };
    let folders =
        env::split_paths(path).chain(part.folders.iter().flat_map(|folder| expand(folder)));
    let program = folders
        .flat_map(|folder| part.programs.iter().map(move |program| folder.join(program)))
        .find(|program| program.is_file());
    let missing = || format!("needs {name} ({})", part.install);
    match program {
        Some(program) => Finding::Here(program),
        None if required.split(',').any(|required| required.trim() == name) => {
            Finding::Fail(format!("{}, and {REQUIRE} asks for it", missing()))
        }
        None => Finding::Skip(missing()),
    }
}

fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((parent, rest)) = pattern.split_once("/*/") else { return vec![pattern.into()] };
    let Ok(folders) = Path::new(parent).read_dir() else { return Vec::new() };
    folders.filter_map(|entry| Some(entry.ok()?.path().join(rest))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_part_is_skipped_unless_it_is_required() {
        let nowhere = OsStr::new("/nonexistent");
        let missing = "needs chromium (apt-get install chromium)";
        let skip = Finding::Skip(missing.to_owned());
        assert_eq!(look("chromium", nowhere, ""), skip);
        assert_eq!(look("chromium", nowhere, "bwrap,chromium2"), skip);
        let fail = Finding::Fail(format!("{missing}, and CLAW_REQUIRE asks for it"));
        assert_eq!(look("chromium", nowhere, "bwrap, chromium"), fail);
    }

    #[test]
    fn a_part_in_the_path_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("bwrap");
        std::fs::write(&program, "").unwrap();
        assert_eq!(look("bwrap", folder.path().as_os_str(), "bwrap"), Finding::Here(program));
    }

    #[test]
    fn an_unknown_part_is_a_mistake_of_the_test() {
        let fail = Finding::Fail("no part named chrome is known".to_owned());
        assert_eq!(look("chrome", OsStr::new(""), ""), fail);
    }
}
