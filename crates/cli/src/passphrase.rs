//! How a command gets a passphrase: from a file, from the environment, or from the terminal.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, IsTerminal, Read, Write},
    path::Path,
};

use claw_domain::Secret;
use nix::sys::termios::{self, LocalFlags, SetArg, Termios};

use crate::{context::Context, failure::Failure};

/// Longest passphrase that is read, its line's end included. Unit: bytes.
const BYTES_MAX: u64 = 1026;

/// The passphrase in the first line of `file`, else in the variable `name`; `None` where there is
/// neither.
///
/// # Errors
/// When the file cannot be read, or there is no passphrase in it.
pub(crate) fn given(
    file: Option<&Path>,
    name: &str,
    context: &Context,
) -> Result<Option<Secret>, Failure> {
    let Some(path) = file else {
        return Ok(context.env(name).filter(|text| !text.is_empty()).map(Secret::new));
    };
    let failed = || Failure::new(format!("the passphrase file {} cannot be read", path.display()));
    let read = File::open(path).and_then(|file| line(&file));
    match read.map_err(|error| failed().because(&error))? {
        passphrase if passphrase.is_empty() => Err(failed().why("its first line is empty")),
        passphrase => Ok(Some(passphrase)),
    }
}

/// Whether somebody is there who can be asked.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for a passphrase that is there already.
///
/// # Errors
/// When the terminal cannot be read.
pub(crate) fn ask(question: &str) -> Result<Secret, Failure> {
    hidden(question).map_err(|error| Failure::new("the terminal cannot be read").because(&error))
}

/// Asks for a new passphrase, twice unless the answer is empty, which is `None`.
///
/// # Errors
/// When the two differ, or the terminal cannot be read.
pub(crate) fn ask_new(question: &str) -> Result<Option<Secret>, Failure> {
    let first = ask(question)?;
    if first.is_empty() {
        return Ok(None);
    }
    match ask("The same again: ")?.matches(first.expose()) {
        true => Ok(Some(first)),
        false => Err(Failure::new("the two passphrases differ")),
    }
}

/// Reads one line from the terminal, which does not show it.
fn hidden(question: &str) -> io::Result<Secret> {
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    write!(terminal, "{question}")?;
    let silent = Silent::begin(&terminal)?;
    let passphrase = line(&terminal);
    drop(silent);
    writeln!(terminal)?;
    passphrase
}

/// A terminal that does not show what is typed, until this is dropped.
struct Silent<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Silent<'a> {
    fn begin(terminal: &'a File) -> io::Result<Self> {
        let before = termios::tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        termios::tcsetattr(terminal, SetArg::TCSAFLUSH, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        // A terminal that has gone away needs no echo.
        let _ = termios::tcsetattr(self.terminal, SetArg::TCSANOW, &self.before);
    }
}

/// The first line, without its end. One that is too long for a passphrase is cut off where that can
/// be seen, so that it is refused and not taken for another one.
fn line(from: impl Read) -> io::Result<Secret> {
    // Its memory is wiped in the end, so it must not be left behind for a larger piece.
    let mut line = String::with_capacity(usize::try_from(BYTES_MAX).unwrap_or_default() + 1);
    BufReader::new(from).take(BYTES_MAX).read_line(&mut line)?;
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    Ok(Secret::new(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_is_a_line_without_its_end() {
        for (text, expected) in [
            ("a b\n", "a b"),
            ("a b\r\n", "a b"),
            (" a ", " a "),
            ("a\nb\n", "a"),
            ("\n", ""),
            ("", ""),
        ] {
            assert_eq!(line(text.as_bytes()).unwrap().expose(), expected, "{text:?}");
        }
        let long = "x".repeat(5000);
        let read = line(long.as_bytes()).unwrap();
        assert!(read.expose().len() > 1024, "the lock refuses it");
    }
}
