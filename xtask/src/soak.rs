//! Runs long what the tests run short, and keeps the figures in docs/reliability.md.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::Stdio,
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};

/// A test that can run long.
struct Part {
    name: &'static str,
    /// What it shows, for people.
    about: &'static str,
    package: &'static str,
    test: &'static str,
    /// Built as what is shipped, or as the tests of every day are.
    release: bool,
    env: &'static [(&'static str, &'static str)],
}

const PARTS: [Part; 6] = [
    Part {
        name: "kill",
        about: "The process is killed at every point that a conversation passes, and starts again.",
        package: "claw-faults",
        test: "kill_matrix",
        release: false,
        env: &[("CLAW_SOAK", "1")],
    },
    Part {
        name: "simulation",
        about: "Made-up histories with made-up time: crashes, a store that fails, a network that drops, repeats and delays.",
        package: "claw-faults",
        test: "simulation",
        release: false,
        env: &[("SIM_HISTORIES", "20000"), ("SIM_FIRST", "1000000")],
    },
    Part {
        name: "gateways",
        about: "Three gateways on one PostgreSQL server: killed, stopped in the middle of a send, cut off, server restarted.",
        package: "claw-cli",
        test: "gateways",
        release: false,
        env: &[("CLAW_SOAK", "1")],
    },
    Part {
        name: "year",
        about: "A year of heavy use with retention, and what the file grows to.",
        package: "claw-log",
        test: "year",
        release: true,
        env: &[("CLAW_SOAK", "1")],
    },
    Part {
        name: "session",
        about: "Turns in a session of 100,000 entries beside turns in one of ten: what a turn asks of the store and commits, each commit on disk.",
        package: "claw-log",
        test: "long_session",
        release: true,
        env: &[("CLAW_SOAK", "1")],
    },
    Part {
        name: "backup",
        about: "Backup while running, state folder removed, restored, started.",
        package: "claw-cli",
        test: "backup",
        release: false,
        env: &[("CLAW_SOAK", "1")],
    },
];

/// A test prints its figures in lines that begin so: `figure: what = value`.
const MARK: &str = "figure: ";

/// Runs the parts that are named, or all.
pub(crate) fn run(root: &Path, names: &[String]) -> Result<()> {
    for name in names {
        ensure!(
            PARTS.iter().any(|part| part.name == name),
            "there is no part {name}: {}",
            PARTS.map(|part| part.name).join(", ")
        );
    }
    let page = root.join("docs/reliability.md");
    let mut text = fs::read_to_string(&page).context("docs/reliability.md")?;
    for part in
        PARTS.iter().filter(|part| names.is_empty() || names.iter().any(|name| name == part.name))
    {
        let began = Instant::now();
        let figures = figures(root, part)?;
        let took = began.elapsed().as_secs();
        text = replaced(&text, part, &figures, took)?;
        fs::write(&page, &text)?;
    }
    Ok(())
}

/// Runs one part, passes on what it prints, and returns its figures.
fn figures(root: &Path, part: &Part) -> Result<Vec<(String, String)>> {
    println!("== {}: {}", part.name, part.about);
    let mut child = crate::cargo(root)
        .args(["test", "-p", part.package, "--test", part.test])
        .args(part.release.then_some("--release"))
        .args(["--", "--nocapture"])
        .envs(part.env.iter().copied())
        .env("CLAW_REQUIRE", "postgres")
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    let mut figures = Vec::new();
    for line in BufReader::new(child.stdout.take().context("piped")?).lines() {
        let line = line?;
        println!("{line}");
        // The harness may have begun the line with the test's name.
        if let Some((_, figure)) = line.split_once(MARK)
            && let Some((what, value)) = figure.split_once(" = ")
        {
            figures.push((what.trim().to_owned(), value.trim().to_owned()));
        }
    }
    if !child.wait()?.success() {
        bail!("{} failed", part.name);
    }
    Ok(figures)
}

/// The page with one part's table made anew, between its marks.
fn replaced(page: &str, part: &Part, figures: &[(String, String)], took: u64) -> Result<String> {
    let (begin, end) = (format!("<!-- soak: {} -->\n", part.name), "<!-- /soak -->");
    let at = page.find(&begin).with_context(|| format!("no `{}`", begin.trim()))? + begin.len();
    let until = page[at..].find(end).context("no end mark")? + at;
    let mut table = format!("{}\n\n| what | figure |\n|---|---|\n", part.about);
    for (what, value) in figures {
        table.push_str(&format!("| {what} | {value} |\n"));
    }
    let build = if part.release { "release build" } else { "development build" };
    table.push_str(&format!("\n`cargo xtask soak {}`, {build}, {took} s.\n", part.name));
    Ok(format!("{}{table}{}", &page[..at], &page[until..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parts_table_is_made_anew_and_the_rest_stays() {
        let page = "before\n<!-- soak: kill -->\nold\n<!-- /soak -->\nafter\n";
        let figures = [("points".to_owned(), "7".to_owned())];
        let page = replaced(page, &PARTS[0], &figures, 3).unwrap();
        assert!(page.starts_with("before\n<!-- soak: kill -->\nThe process"), "{page}");
        assert!(page.contains("| points | 7 |"), "{page}");
        assert!(page.ends_with("3 s.\n<!-- /soak -->\nafter\n"), "{page}");
        assert!(!page.contains("old"), "{page}");
        assert!(replaced("no marks", &PARTS[0], &[], 0).is_err());
    }
}
