//! Writing a log down for another installation.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use claw_domain::{NodeId, Seq};
use claw_store::Store;
use serde::Serialize;

use crate::{
    Error, Header,
    line::{EventLine, FORMAT, VERSION},
};

/// Events read at a time.
const PAGE: usize = 1_000;

/// Writes the header and every event that the log held when it began; how many there are.
///
/// Nothing but events is written: no message that waits, no lease, no pairing request. Blocks where
/// `out` does.
///
/// # Errors
/// When the store or `out` fails; [`Error::Changed`] when retention was at work meanwhile.
pub async fn export(store: &dyn Store, node: NodeId, out: &mut dyn Write) -> Result<u64, Error> {
    let (format, node) = (FORMAT.into(), format!("{:016x}", node.0));
    let expected = store.totals().await?.events;
    line(out, &Header { format, version: VERSION, node, events: expected })?;
    let (mut after, mut written) = (Seq(0), 0);
    while written < expected {
        let events = store.events(after, PAGE).await?;
        // What was committed since is left for the next time.
        let left = usize::try_from(expected - written).unwrap_or(usize::MAX);
        let Some(last) = events.iter().take(left).next_back() else { return Err(Error::Changed) };
        after = last.seq;
        for event in events.iter().take(left) {
            line(out, &EventLine::from(event))?;
            written += 1;
        }
    }
    out.flush().map_err(Error::Output)?;
    Ok(written)
}

/// Exports into a file that only its owner may read. It appears whole or not at all, in the place of
/// one that was there.
///
/// # Errors
/// As [`export`], and when the file cannot be written.
pub async fn export_file(store: &dyn Store, node: NodeId, path: &Path) -> Result<u64, Error> {
    let failed = |source| Error::Write { path: path.into(), source };
    let part = Part::create(path).map_err(failed)?;
    let mut out = BufWriter::new(&part.file);
    let written = export(store, node, &mut out).await.map_err(|error| match error {
        Error::Output(source) => failed(source),
        other => other,
    })?;
    drop(out);
    part.finish(path).map_err(failed)?;
    Ok(written)
}

fn line(out: &mut dyn Write, value: &impl Serialize) -> Result<(), Error> {
    let mut bytes = serde_json::to_vec(value).expect("our own types have text keys");
    bytes.push(b'\n');
    out.write_all(&bytes).map_err(Error::Output)
}

/// A file under way beside its place; it goes when it is dropped unfinished.
struct Part {
    file: File,
    path: PathBuf,
}

impl Part {
    fn create(target: &Path) -> io::Result<Self> {
        let mut name = target.as_os_str().to_owned();
        name.push(format!(".new.{}", std::process::id()));
        let path = PathBuf::from(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { file, path })
    }

    fn finish(self, target: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, target)?;
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Once it was renamed there is nothing under this name.
        let _renamed = fs::remove_file(&self.path);
    }
}
