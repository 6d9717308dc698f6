//! Taking in another installation's log.

use std::io::{BufRead, Read};

use claw_store::{Change, Fence, NewEvent, Store};

use crate::{
    Error, Header,
    line::{FORMAT, ReadLine, VERSION},
};

/// Events in one commit. A commit is taken in whole or not at all.
const BATCH: usize = 500;
/// The longest line that is read: several times the largest message with pictures. Unit: bytes.
const LINE_BYTES_MAX: u64 = 256 << 20;

/// What was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Imported {
    /// Events in the file.
    pub events: u64,
    /// Those of them that were here already.
    pub known: u64,
}

/// Takes in the events that are not known here, in the order of the file, some hundred per commit.
///
/// Doing it again changes nothing, so after an error the whole file can be given once more. Nothing
/// that acts is taken in. Blocks where `input` does.
///
/// # Errors
/// When the store or `input` fails, and when `input` is not the whole of an exported log; what stood
/// before the mistake was taken in then.
pub async fn import(
    store: &dyn Store,
    fence: &Fence,
    mut input: impl BufRead,
) -> Result<Imported, Error> {
    let header = header(&mut input)?;
    let mut batch = Batch::default();
    let mut done = Imported::default();
    let broken = loop {
        let line = done.events + 2;
        match next(&mut input, line) {
            Ok(None) if done.events < header.events => {
                break Some(Error::Cut { found: done.events, expected: header.events });
            }
            Ok(None) => break None,
            Ok(Some(_)) if done.events == header.events => {
                break Some(Error::TooMany { line, expected: header.events });
            }
            Ok(Some(event)) => {
                done.known += u64::from(store.event(event.header.id).await?.is_some());
                done.events += 1;
                batch.add(event, line);
            }
            Err(error) => break Some(error),
        }
        if batch.changes.len() == BATCH {
            batch.commit(store, fence).await?;
        }
    };
    batch.commit(store, fence).await?;
    broken.map_or(Ok(done), Err)
}

/// Events that wait for their commit.
#[derive(Default)]
struct Batch {
    changes: Vec<Change>,
    first: u64,
    last: u64,
}

impl Batch {
    fn add(&mut self, event: NewEvent, line: u64) {
        if self.changes.is_empty() {
            self.first = line;
        }
        self.last = line;
        self.changes.push(Change::Import(event));
    }

    async fn commit(&mut self, store: &dyn Store, fence: &Fence) -> Result<(), Error> {
        if self.changes.is_empty() {
            return Ok(());
        }
        let (first, last) = (self.first, self.last);
        let committed = store.commit(fence, std::mem::take(&mut self.changes)).await;
        committed.map(drop).map_err(|source| match source {
            claw_store::Error::Missing { .. } | claw_store::Error::Exists { .. } => {
                Error::Refused { first, last, source }
            }
            other => Error::Store(other),
        })
    }
}

fn header(input: &mut impl BufRead) -> Result<Header, Error> {
    let Some(line) = read_line(input, 1)? else { return Err(Error::NoLog) };
    // A newer program's header may have fields and values that only its version explains.
    let value: serde_json::Value = serde_json::from_slice(&line).map_err(|_| Error::NoLog)?;
    if value["format"] != FORMAT {
        return Err(Error::NoLog);
    }
    let version = value["version"].as_u64().and_then(|version| u32::try_from(version).ok());
    match version {
        Some(VERSION) => serde_json::from_value(value).map_err(|_| Error::NoLog),
        Some(found) if found > VERSION => Err(Error::Newer { found, known: VERSION }),
        _ => Err(Error::NoLog),
    }
}

fn next(input: &mut impl BufRead, line: u64) -> Result<Option<NewEvent>, Error> {
    let Some(bytes) = read_line(input, line)? else { return Ok(None) };
    let read = serde_json::from_slice::<ReadLine>(&bytes);
    let ReadLine { header, body } = read.map_err(|source| Error::Line { line, source })?;
    Ok(Some(NewEvent { header, body }))
}

/// The bytes of the next line; `None` at the end.
fn read_line(input: &mut impl BufRead, line: u64) -> Result<Option<Vec<u8>>, Error> {
    let mut bytes = Vec::new();
    let read = input.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut bytes);
    match read.map_err(|source| Error::Input { line, source })? as u64 {
        0 => Ok(None),
        read if read > LINE_BYTES_MAX => Err(Error::TooLong { line, max_bytes: LINE_BYTES_MAX }),
        _ => Ok(Some(bytes)),
    }
}
