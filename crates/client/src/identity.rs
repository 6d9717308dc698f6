//! Who this device is: the key pair in `identity/device.json`.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use claw_domain::{Clock, Secret, SystemClock};
use claw_protocol::device::DeviceKey;
use serde::Deserialize;
use serde_json::json;

use crate::Error;
use crate::files::{Existing, write_private};
use crate::tokens::Tokens;

/// A device's key pair, and the tokens that gateways gave it.
pub struct Identity {
    key: DeviceKey,
    tokens: Tokens,
}

/// What is read of the file. The other fields follow from the key.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeviceFile {
    private_key_pem: Secret,
}

impl Identity {
    /// Reads the identity in `<state_dir>/identity/device.json`, in OpenClaw's format, or makes one.
    ///
    /// The file gets mode 0600 and its folder 0700. Blocks on the file system.
    ///
    /// # Errors
    /// [`Error::Identity`] when the file is there but cannot be used, or cannot be written. A
    /// broken file is never replaced: it may be a paired device's.
    pub fn load_or_create(state_dir: &Path) -> Result<Self, Error> {
        let folder = state_dir.join("identity");
        let path = folder.join("device.json");
        let failed = |source| Error::Identity { path: path.clone(), source };
        let key = match load(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(&path),
            loaded => loaded,
        };
        let key = key.map_err(failed)?;
        let tokens = Tokens::new(folder.join("device-auth.json"), key.public().id());
        Ok(Self { key, tokens })
    }

    /// The device's id: 64 hex characters.
    pub fn device_id(&self) -> &str {
        self.tokens.device_id()
    }

    pub(crate) fn key(&self) -> &DeviceKey {
        &self.key
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.tokens
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.device_id()).finish()
    }
}

fn load(path: &Path) -> io::Result<DeviceKey> {
    let file: DeviceFile = serde_json::from_str(&fs::read_to_string(path)?)?;
    DeviceKey::from_private_pem(file.private_key_pem)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Makes a key; when another process was faster, its key is the one.
fn create(path: &Path) -> io::Result<DeviceKey> {
    let key = DeviceKey::generate();
    let file = json!({
        "version": 1,
        "deviceId": key.public().id(),
        "publicKeyPem": key.public().pem(),
        "privateKeyPem": key.private_pem().expose(),
        "createdAtMs": SystemClock.now().as_millisecond(),
    });
    match write_private(path, &format!("{file:#}\n"), Existing::Keep) {
        Ok(()) => Ok(key),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => load(path),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use serde_json::Value;

    use super::*;

    fn file(state_dir: &Path) -> PathBuf {
        state_dir.join("identity/device.json")
    }

    #[test]
    fn an_identity_is_made_once_for_its_owner_only() {
        let state = tempfile::tempdir().expect("a folder");
        let made = Identity::load_or_create(state.path()).expect("made");
        let loaded = Identity::load_or_create(state.path()).expect("loaded");
        assert_eq!(loaded.device_id(), made.device_id());
        // SEC-65
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&file(state.path())), 0o600);
        assert_eq!(mode(&state.path().join("identity")), 0o700);
    }

    #[test]
    fn the_file_has_the_fields_that_openclaw_reads() {
        let state = tempfile::tempdir().expect("a folder");
        let made = Identity::load_or_create(state.path()).expect("made");
        let text = fs::read_to_string(file(state.path())).expect("written");
        let written: Value = serde_json::from_str(&text).expect("JSON");
        let keys: Vec<_> = written.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["version", "deviceId", "publicKeyPem", "privateKeyPem", "createdAtMs"]);
        assert_eq!(written["deviceId"], made.device_id());
        assert_eq!(written["publicKeyPem"], made.key().public().pem());
    }

    #[test]
    fn a_broken_file_is_an_error_and_stays() {
        let state = tempfile::tempdir().expect("a folder");
        fs::create_dir(state.path().join("identity")).expect("made");
        for broken in ["", "{}", r#"{"privateKeyPem": "x"}"#] {
            fs::write(file(state.path()), broken).expect("written");
            let error = Identity::load_or_create(state.path()).expect_err(broken);
            assert!(matches!(error, Error::Identity { .. }));
            assert_eq!(fs::read_to_string(file(state.path())).expect("there"), broken);
        }
    }

    #[test]
    fn the_key_is_not_printed() {
        let state = tempfile::tempdir().expect("a folder");
        let identity = Identity::load_or_create(state.path()).expect("made");
        assert_eq!(format!("{identity:?}"), format!("Identity({:?})", identity.device_id()));
    }
}
