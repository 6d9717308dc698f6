//! What every command needs to know: the state folder, the configuration, the environment.

use std::{cell::OnceCell, path::Path};

use claw_app::{Env, Home};
use claw_config::{Config, Problem};

use crate::{args::Global, failure::Failure};

/// The variables that say where the state and the configuration are.
const PLACES: [&str; 4] =
    ["RUSTY_CLAW_HOME", "OPENCLAW_STATE_DIR", "RUSTY_CLAW_CONFIG", "OPENCLAW_CONFIG_PATH"];

/// Longest name of a profile. Unit: characters.
const PROFILE_MAX: usize = 64;

/// Where a command finds everything.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) home: Home,
    no_color: bool,
    /// Read once, when it is first asked for.
    config: OnceCell<Result<Config, Vec<Problem>>>,
}

impl Context {
    /// Finds the state folder and the configuration.
    ///
    /// # Errors
    /// When nothing says where the home is, or the profile's name cannot be part of a path.
    pub(crate) fn new(global: &Global) -> Result<Self, Failure> {
        let config = global.config.as_deref();
        let home = find(global.profile.as_deref(), config, &|name| std::env::var(name).ok())?;
        Ok(Self { home, no_color: global.no_color, config: OnceCell::new() })
    }

    /// A variable of the environment.
    pub(crate) fn env(&self, name: &str) -> Option<String> {
        environment(name)
    }

    /// The environment, for rooms that read it.
    pub(crate) fn environment(&self) -> &'static Env {
        &environment
    }

    /// Whether colours are welcome; see no-color.org.
    pub(crate) fn colors(&self) -> bool {
        !self.no_color && self.env("NO_COLOR").is_none_or(|value| value.is_empty())
    }

    /// The configuration, as it was when it was first asked for.
    ///
    /// # Errors
    /// Every problem that was found.
    pub(crate) fn config(&self) -> Result<&Config, Failure> {
        let read = self.config.get_or_init(|| claw_app::load(&self.home, &environment));
        read.as_ref().map_err(|problems| Failure::config(problems))
    }

    /// One text of the configuration; `None` also where it cannot be read.
    pub(crate) fn setting(&self, path: &str) -> Option<String> {
        setting(self.config().ok()?, path)
    }
}

/// One text of a configuration. `path` is a constant.
pub(crate) fn setting(config: &Config, path: &str) -> Option<String> {
    let path = path.parse().expect("a constant path");
    Some(config.get(&path)?.as_str()?.to_owned())
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A profile named on the command line goes before the environment's places, which are someone
/// else's; one that the environment names goes after them.
fn find(
    named: Option<&str>,
    config: Option<&Path>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Home, Failure> {
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    let places = || PLACES.iter().any(|name| set(name).is_some());
    let profile = match named {
        Some(name) => Some(name.to_owned()),
        None if places() => None,
        None => set("RUSTY_CLAW_PROFILE").or_else(|| set("OPENCLAW_PROFILE")),
    };
    let Some(profile) = profile.filter(|name| name != "default") else {
        let hide = named.is_some();
        let env = |name: &str| if hide && PLACES.contains(&name) { None } else { env(name) };
        return Ok(Home::resolve(config, &env)?);
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if profile.is_empty() || profile.len() > PROFILE_MAX || !profile.chars().all(fits) {
        let what = format!("`{profile}` is no name for a profile");
        let hint = format!("use 1 to {PROFILE_MAX} letters, digits, `-` and `_`");
        return Err(Failure::new(what).hint(hint));
    }
    let Some(user) = set("HOME") else { return Ok(Home::resolve(config, &|_| None)?) };
    let folder = Path::new(&user).join(format!(".rusty_claw-{profile}"));
    let env = |name: &str| match name {
        "RUSTY_CLAW_HOME" => Some(folder.to_string_lossy().into_owned()),
        _ if PLACES.contains(&name) => None,
        _ => env(name),
    };
    Ok(Home::resolve(config, &env)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(profile: Option<&str>, env: &[(&str, &str)], expected: &str) {
        let env = |name: &str| Some(env.iter().find(|(have, _)| *have == name)?.1.to_owned());
        let home = find(profile, None, &env).expect("a home");
        assert_eq!(home.state_dir, Path::new(expected));
        assert_eq!(home.config, home.state_dir.join("config.json"));
    }

    #[test]
    fn a_profile_has_a_folder_of_its_own() {
        let user = ("HOME", "/h");
        check(None, &[user], "/h/.rusty_claw");
        check(Some("work"), &[user], "/h/.rusty_claw-work");
        check(Some("default"), &[user, ("RUSTY_CLAW_HOME", "/r")], "/h/.rusty_claw");
        let elsewhere = [user, ("RUSTY_CLAW_HOME", "/r"), ("OPENCLAW_CONFIG_PATH", "/c")];
        check(Some("work"), &elsewhere, "/h/.rusty_claw-work");
        check(None, &[user, ("OPENCLAW_PROFILE", "p")], "/h/.rusty_claw-p");
        check(None, &[user, ("OPENCLAW_PROFILE", "p"), ("RUSTY_CLAW_HOME", "/r")], "/r");
    }

    #[test]
    fn a_profile_cannot_lead_out_of_the_home() {
        // SEC-56
        for name in ["", "../x", "a/b", ".", "a b", &"a".repeat(65)] {
            let failure = find(Some(name), None, &|_| Some("/h".into())).expect_err(name);
            assert!(failure.to_string().contains("is no name for a profile"), "{failure}");
        }
    }
}
