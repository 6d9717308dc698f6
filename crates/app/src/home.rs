//! Where the state lives, and what is kept in its small files.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use claw_config::write_atomic;
use claw_domain::{NodeId, Secret};
use ring::rand::{SecureRandom, SystemRandom};

/// The state folder and the configuration file in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// Everything that must survive, 0700.
    pub state_dir: PathBuf,
    /// The configuration.
    pub config: PathBuf,
    /// Whether somebody named the configuration; then it must be there.
    pub explicit: bool,
}

/// The state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Nothing says where the user's home is.
    #[error("neither RUSTY_CLAW_HOME nor HOME is set")]
    NoHome,
    /// A file or folder of it cannot be made, read or written.
    #[error("the state folder's {} cannot be used", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl HomeError {
    /// One thing that a person can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoHome => "set RUSTY_CLAW_HOME to a folder of yours".into(),
            Self::Unusable { .. } => {
                "make it writable for this user, or name another folder with RUSTY_CLAW_HOME".into()
            }
        })
    }
}

impl Home {
    /// Finds the folder and the file: `-c`, then `RUSTY_CLAW_*`, then `OPENCLAW_*`, then
    /// `~/.rusty_claw` with `config.json` or, when only that one is there, `config.toml`.
    ///
    /// # Errors
    /// When nothing says where the home is.
    pub fn resolve(
        config: Option<&Path>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, HomeError> {
        let set = |names: &[&str]| {
            names.iter().find_map(|name| env(name).filter(|value| !value.is_empty()))
        };
        let state_dir = match set(&["RUSTY_CLAW_HOME", "OPENCLAW_STATE_DIR"]) {
            Some(folder) => PathBuf::from(folder),
            None => PathBuf::from(set(&["HOME"]).ok_or(HomeError::NoHome)?).join(".rusty_claw"),
        };
        let state_dir = std::path::absolute(&state_dir)
            .map_err(|source| HomeError::Unusable { path: state_dir.clone(), source })?;
        let named = config
            .map(Path::to_owned)
            .or_else(|| set(&["RUSTY_CLAW_CONFIG", "OPENCLAW_CONFIG_PATH"]).map(PathBuf::from));
        if let Some(config) = named {
            return Ok(Self { state_dir, config, explicit: true });
        }
        let (json, toml) = (state_dir.join("config.json"), state_dir.join("config.toml"));
        let config = if !json.exists() && toml.exists() { toml } else { json };
        Ok(Self { state_dir, config, explicit: false })
    }

    /// Makes the folder, for its owner alone.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn prepare(&self) -> Result<(), HomeError> {
        make_private(&self.state_dir)
            .map_err(|source| HomeError::Unusable { path: self.state_dir.clone(), source })
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.state_dir.join("claw.sqlite")
    }

    /// The default agent's folder.
    pub fn workspace(&self) -> PathBuf {
        self.state_dir.join("workspace")
    }

    /// This installation's id, made once.
    ///
    /// # Errors
    /// When it can be neither read nor made.
    pub fn node(&self) -> Result<NodeId, HomeError> {
        let text =
            self.kept("node-id", || Ok(format!("{:016x}", u64::from_be_bytes(random()?))))?;
        u64::from_str_radix(text.trim(), 16).map(NodeId).map_err(|error| HomeError::Unusable {
            path: self.state_dir.join("node-id"),
            source: io::Error::new(io::ErrorKind::InvalidData, error),
        })
    }

    /// What device tokens are derived from, made once.
    ///
    /// # Errors
    /// When it can be neither read nor made.
    pub fn device_secret(&self) -> Result<Secret, HomeError> {
        self.kept("device-secret", new_token).map(Secret::new)
    }

    /// The gateway token of somebody who configured none, made once.
    ///
    /// # Errors
    /// When it can be neither read nor made.
    pub fn gateway_token(&self) -> Result<Secret, HomeError> {
        self.kept("gateway-token", new_token).map(Secret::new)
    }

    /// The gateway token that was made for somebody who configured none, if one was.
    pub fn made_gateway_token(&self) -> Option<Secret> {
        let text = fs::read_to_string(self.state_dir.join("gateway-token")).ok()?;
        Some(Secret::new(text.trim())).filter(|token| !token.is_empty())
    }

    /// Writes the commented configuration of a first start, unless there is one. Returns whether
    /// it was written.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_first_config(&self) -> Result<bool, HomeError> {
        if self.config.exists() {
            return Ok(false);
        }
        let failed = |source| HomeError::Unusable { path: self.config.clone(), source };
        let token = new_token().map_err(failed)?;
        let text = include_str!("../templates/config.json").replace("{{token}}", &token);
        write_atomic(&self.config, text.as_bytes()).map_err(failed)?;
        Ok(true)
    }

    /// A small file's text, which is made when it is not there yet.
    fn kept(
        &self,
        name: &str,
        make: impl FnOnce() -> io::Result<String>,
    ) -> Result<String, HomeError> {
        let path = self.state_dir.join(name);
        let failed = |source| HomeError::Unusable { path: path.clone(), source };
        match fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let text = make().map_err(failed)?;
        write_atomic(&path, text.as_bytes()).map_err(failed)?;
        Ok(text)
    }
}

/// 256 random bits as 43 letters.
fn new_token() -> io::Result<String> {
    Ok(URL_SAFE_NO_PAD.encode(random::<32>()?))
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_no_detail| io::Error::other("the system gives no random numbers"))?;
    Ok(bytes)
}

#[cfg(unix)]
fn make_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // A folder that somebody made before us is closed as well.
    if fs::metadata(folder)?.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn make_private(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(env: &[(&str, &str)], flag: Option<&str>, state: &str, config: &str, explicit: bool) {
        let env = |name: &str| {
            env.iter().find(|(have, _)| *have == name).map(|(_, value)| (*value).to_owned())
        };
        let home = Home::resolve(flag.map(Path::new), &env).unwrap();
        assert_eq!(home, Home { state_dir: state.into(), config: config.into(), explicit });
    }

    #[test]
    fn our_own_variables_win_over_openclaws() {
        check(&[("HOME", "/h")], None, "/h/.rusty_claw", "/h/.rusty_claw/config.json", false);
        check(&[("HOME", "/h"), ("OPENCLAW_STATE_DIR", "/o")], None, "/o", "/o/config.json", false);
        check(
            &[("RUSTY_CLAW_HOME", "/r"), ("OPENCLAW_STATE_DIR", "/o")],
            None,
            "/r",
            "/r/config.json",
            false,
        );
        check(
            &[("HOME", "/h"), ("OPENCLAW_CONFIG_PATH", "/c.json")],
            None,
            "/h/.rusty_claw",
            "/c.json",
            true,
        );
        let both =
            [("HOME", "/h"), ("OPENCLAW_CONFIG_PATH", "/c.json"), ("RUSTY_CLAW_CONFIG", "/d.toml")];
        check(&both, None, "/h/.rusty_claw", "/d.toml", true);
        check(&both, Some("/e.json"), "/h/.rusty_claw", "/e.json", true);
    }

    #[test]
    fn without_any_home_the_error_names_the_variable() {
        let error = Home::resolve(None, &|_| None).unwrap_err();
        assert_eq!(error.to_string(), "neither RUSTY_CLAW_HOME nor HOME is set");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_made_once_stays_and_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let home = Home {
            state_dir: folder.path().join("state"),
            config: folder.path().join("state/config.json"),
            explicit: false,
        };
        home.prepare().unwrap();
        assert_eq!(home.node().unwrap(), home.node().unwrap());
        let token = home.gateway_token().unwrap();
        assert_eq!(token.expose().len(), 43);
        assert!(home.gateway_token().unwrap().matches(token.expose()));
        assert!(home.write_first_config().unwrap() && !home.write_first_config().unwrap());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&home.state_dir), 0o700);
        for file in ["node-id", "gateway-token", "config.json"] {
            assert_eq!(mode(&home.state_dir.join(file)), 0o600, "{file}");
        }
    }
}
