//! Files: lines read one by one within a limit, a file replaced at once, a file that grows.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};
use tokio::{
    fs::{self, File, OpenOptions},
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
};

use crate::Error;

/// Longest line of a transcript that is read: a message of several large pictures. Unit: bytes.
pub(crate) const LINE_MAX: usize = 32 * 1024 * 1024;

/// Largest list of sessions that is read; OpenClaw sets its own aside at 10 MB. Unit: bytes.
pub(crate) const LIST_MAX: u64 = 256 * 1024 * 1024;

/// One line of a file.
#[derive(Debug)]
pub(crate) enum Line {
    /// Its bytes, with the line break.
    Bytes(Vec<u8>),
    /// It is longer than [`LINE_MAX`].
    TooLong,
}

/// The lines of a file, in order.
#[derive(Debug)]
pub(crate) struct Lines(BufReader<File>);

impl Lines {
    pub(crate) async fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self(BufReader::new(File::open(path).await.map_err(Error::file(path))?)))
    }

    /// The next line; `None` at the end.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Line>> {
        let mut bytes = Vec::new();
        let mut within = (&mut self.0).take(LINE_MAX as u64);
        within.read_until(b'\n', &mut bytes).await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if bytes.len() < LINE_MAX || bytes.ends_with(b"\n") {
            return Ok(Some(Line::Bytes(bytes)));
        }
        self.skip().await?;
        Ok(Some(Line::TooLong))
    }

    /// Passes over the rest of a line.
    async fn skip(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.0.fill_buf().await?;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let (length, over) = match end {
                Some(end) => (end + 1, true),
                None => (buffer.len(), buffer.is_empty()),
            };
            self.0.consume(length);
            if over {
                return Ok(());
            }
        }
    }
}

/// The object that a file holds; `None` where there is no file.
pub(crate) async fn object(
    path: &Path,
) -> Result<Option<Result<Map<String, Value>, String>>, Error> {
    let file = match File::open(path).await {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::file(path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(LIST_MAX + 1).read_to_end(&mut bytes).await.map_err(Error::file(path))?;
    if bytes.len() as u64 > LIST_MAX {
        return Ok(Some(Err(format!("is longer than {LIST_MAX} bytes"))));
    }
    let read = serde_json::from_slice(&bytes);
    Ok(Some(read.map_err(|error| format!("is no JSON object: {error}"))))
}

/// Names in a folder, in order; none where there is no folder.
pub(crate) async fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let mut entries = match fs::read_dir(folder).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::file(folder)(error)),
    };
    let mut names = Vec::new();
    while let Some(entry) = entries.next_entry().await.map_err(Error::file(folder))? {
        // A name that is no text is none of OpenClaw's.
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// Makes a folder and those above it, for their owner alone.
pub(crate) async fn make_folder(folder: &Path) -> Result<(), Error> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    builder.mode(0o700);
    builder.create(folder).await.map_err(Error::file(folder))
}

/// A file that takes another's place at once, when it is whole.
#[derive(Debug)]
pub(crate) struct Replacement {
    path: PathBuf,
    new: PathBuf,
    file: File,
}

impl Replacement {
    pub(crate) async fn begin(path: PathBuf) -> Result<Self, Error> {
        let mut new = path.clone().into_os_string();
        new.push(".new");
        let new = PathBuf::from(new);
        let mut options = OpenOptions::new();
        // A rest of a writer that was killed is written over; there is one writer per folder.
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        options.mode(0o600);
        let file = options.open(&new).await.map_err(Error::file(&new))?;
        Ok(Self { path, new, file })
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).await.map_err(Error::file(&self.new))
    }

    /// Puts the file in its place, on disk.
    pub(crate) async fn finish(mut self) -> Result<(), Error> {
        self.file.flush().await.map_err(Error::file(&self.new))?;
        self.file.sync_all().await.map_err(Error::file(&self.new))?;
        fs::rename(&self.new, &self.path).await.map_err(Error::file(&self.path))?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let opened = File::open(folder).await.map_err(Error::file(folder))?;
        opened.sync_all().await.map_err(Error::file(folder))
    }
}

/// Replaces a file at once.
pub(crate) async fn replace(path: PathBuf, bytes: &[u8]) -> Result<(), Error> {
    let mut new = Replacement::begin(path).await?;
    new.write(bytes).await?;
    new.finish().await
}

/// The length of a file; 0 where there is none.
pub(crate) async fn length(path: &Path) -> Result<u64, Error> {
    match fs::metadata(path).await {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(Error::file(path)(error)),
    }
}

/// Adds to a file's end, on disk when this returns.
pub(crate) async fn append(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    options.mode(0o600);
    let written = async {
        let mut file = options.open(path).await?;
        file.write_all(bytes).await?;
        file.flush().await?;
        file.sync_data().await
    };
    written.await.map_err(Error::file(path))
}

/// Cuts a file back to a length that it once had.
pub(crate) async fn cut(path: &Path, length: u64) -> Result<(), Error> {
    let cut = async { OpenOptions::new().write(true).open(path).await?.set_len(length).await };
    cut.await.map_err(Error::file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_beyond_the_limit_is_passed_over_and_the_next_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let mut text = b"one\r\n".to_vec();
        text.resize(text.len() + LINE_MAX + 1, b'x');
        text.extend(b"\nlast");
        fs::write(&path, &text).await.unwrap();
        let mut lines = Lines::open(&path).await.unwrap();
        assert!(
            matches!(lines.next().await.unwrap(), Some(Line::Bytes(line)) if line == b"one\r\n")
        );
        assert!(matches!(lines.next().await.unwrap(), Some(Line::TooLong)));
        assert!(matches!(lines.next().await.unwrap(), Some(Line::Bytes(line)) if line == b"last"));
        assert!(lines.next().await.unwrap().is_none());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn what_is_written_is_for_its_owner_alone() {
        // SEC-65
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        make_folder(&inner).await.unwrap();
        replace(inner.join("list"), b"{}").await.unwrap();
        append(&inner.join("lines"), b"{}\n").await.unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&inner), mode(&inner.join("list"))), (0o700, 0o600));
        assert_eq!(mode(&inner.join("lines")), 0o600);
    }
}
