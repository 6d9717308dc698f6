//! Whether the file was found to be damaged: then nothing more is written into it.

use std::sync::{Arc, OnceLock};

use claw_store::Error;

use crate::error::FILE;

/// What was found first. Shared by all connections; only opening the store again forgets it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Damage(Arc<OnceLock<String>>);

impl Damage {
    /// Notes an answer that tells of damage to the file; one record that does not read is none.
    pub(crate) fn note<T>(&self, answer: Result<T, Error>) -> Result<T, Error> {
        if let Err(Error::Corrupt { what, source }) = &answer
            && what == FILE
        {
            self.0.get_or_init(|| source.to_string());
        }
        answer
    }

    /// Refuses to write: into a damaged file that does more damage, and hides what is left.
    pub(crate) fn allows_writing(&self) -> Result<(), Error> {
        match self.0.get() {
            None => Ok(()),
            Some(found) => Err(Error::Corrupt { what: FILE.into(), source: found.clone().into() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corrupt(what: &str) -> Result<(), Error> {
        Err(Error::Corrupt { what: what.into(), source: "page 7".into() })
    }

    #[test]
    fn damage_to_the_file_stops_writing_and_a_broken_record_does_not() {
        let damage = Damage::default();
        let shared = damage.clone();
        damage.note(Ok(())).unwrap();
        damage.note(corrupt("row")).unwrap_err();
        shared.allows_writing().unwrap();
        damage.note(corrupt(FILE)).unwrap_err();
        let refused = shared.allows_writing().unwrap_err();
        assert!(matches!(refused, Error::Corrupt { source, .. } if source.to_string() == "page 7"));
    }
}
