//! A piece of a file: its name, and the shorter form that is kept.

use std::{
    fmt,
    io::{Read, Write},
};

use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use serde::{Deserialize, Serialize};

/// How long a piece is; the last of a file may be shorter. A whole number of the database's pages,
/// which stay where they are: a commit changes few pieces.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;

/// The name of a piece: 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct ChunkId(String);

impl TryFrom<String> for ChunkId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if text.len() == 64 && digits { Ok(Self(text)) } else { Err("no name of a piece") }
    }
}

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ChunkId {
    /// `digits` are those of a digest.
    pub(crate) fn new(digits: String) -> Self {
        Self(digits)
    }

    /// The folder that holds it.
    pub(crate) fn folder(&self) -> &str {
        &self.0[..2]
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// How a piece is packed; the first byte of it.
const AS_IT_IS: u8 = 0;
const DEFLATED: u8 = 1;

/// A piece in its shorter form. It is packed before it is sealed, for what is sealed has no pattern.
pub(crate) fn pack(content: &[u8]) -> Vec<u8> {
    let mut packed = DeflateEncoder::new(vec![DEFLATED], Compression::fast());
    let packed = packed.write_all(content).and_then(|()| packed.finish());
    let packed = packed.expect("memory takes what is written");
    match packed.len() <= content.len() {
        true => packed,
        false => [&[AS_IT_IS], content].concat(),
    }
}

/// The piece that was packed, unless it is none or longer than a piece can be.
pub(crate) fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let (form, bytes) = packed.split_first()?;
    let mut content = Vec::new();
    match *form {
        AS_IT_IS => content.extend_from_slice(bytes),
        DEFLATED => {
            let limit = CHUNK_BYTES as u64 + 1;
            DeflateDecoder::new(bytes).take(limit).read_to_end(&mut content).ok()?;
        }
        _ => return None,
    }
    (content.len() <= CHUNK_BYTES).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_that_would_swell_is_refused() {
        // SEC-55
        let bomb = pack(&vec![0; CHUNK_BYTES * 20]);
        assert!(bomb.len() < CHUNK_BYTES, "it is read, but for its content");
        assert_eq!(unpack(&bomb), None);
        assert_eq!(unpack(&pack(&vec![0; CHUNK_BYTES + 1])), None);
        for broken in [&[][..], &[2, 0], &[DEFLATED, 0xff, 0xff]] {
            assert_eq!(unpack(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn no_name_of_a_piece_leads_out_of_its_folder() {
        // SEC-55
        for name in ["", "../../etc/passwd", &"a/".repeat(32), &"A".repeat(64), &"é".repeat(32)] {
            assert!(ChunkId::try_from((*name).to_owned()).is_err(), "{name}");
        }
    }
}
