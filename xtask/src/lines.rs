//! How much code each crate holds.

use std::{fs, path::Path};

use anyhow::Result;

/// Prints lines per crate, and the largest file of each.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut total = 0;
    println!("{:<28} {:>6}  largest file", "crate", "lines");
    for family in ["crates", "channels", "providers", "stores", "."] {
        let mut folders: Vec<_> = fs::read_dir(root.join(family))?.collect::<Result<_, _>>()?;
        folders.sort_by_key(fs::DirEntry::path);
        for folder in folders.iter().map(fs::DirEntry::path) {
            let source = folder.join("src");
            if !folder.join("Cargo.toml").is_file() || !source.is_dir() {
                continue;
            }
            let mut files = Vec::new();
            collect(&source, &mut files)?;
            let lines: usize = files.iter().map(|(_, lines)| lines).sum();
            let largest = files.iter().max_by_key(|(_, lines)| lines);
            let name = folder.strip_prefix(root)?.display().to_string();
            let largest =
                largest.map_or_else(String::new, |(file, lines)| format!("{file} ({lines})"));
            println!("{:<28} {lines:>6}  {largest}", name.trim_start_matches("./"));
            total += lines;
        }
    }
    println!("{:<28} {total:>6}", "all");
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<(String, usize)>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "tests" {
                collect(&path, files)?;
            }
        } else if name.ends_with(".rs")
            && name != "tests.rs"
            && name != "test.rs"
            && name != "samples.rs"
        {
            files.push((name, code_lines(&fs::read_to_string(&path)?)));
        }
    }
    Ok(())
}

/// Lines that are neither blank nor comment, up to the file's own tests, which stand last.
fn code_lines(text: &str) -> usize {
    text.split("\n#[cfg(test)]\nmod ")
        .next()
        .unwrap_or_default()
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_comments_and_blank_lines_do_not_count() {
        assert_eq!(
            code_lines(
                "//! Doc.\n\nfn a() {\n    // why\n}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n"
            ),
            2
        );
    }
}
