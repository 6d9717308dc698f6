//! The shared secret of a gateway, and what a client's attempt at it is worth.

use claw_domain::Secret;
use claw_guard::SharedSecret;
use claw_protocol::{auth::AuthFailure, connect::ConnectParams};

/// Which shared secret counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMode {
    /// `auth.token`.
    Token,
    /// `auth.password`.
    Password,
}

/// How clients without a device token prove that they may connect.
///
/// Without the secret that `mode` names, nobody gets in by a shared secret.
#[derive(Debug, Clone)]
pub struct Auth {
    /// Which secret counts.
    pub mode: AuthMode,
    /// The shared token; an empty one counts as none.
    pub token: Option<Secret>,
    /// The shared password; an empty one counts as none.
    pub password: Option<Secret>,
}

impl AuthMode {
    /// The word of the wire and of the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Password => "password",
        }
    }
}

impl Auth {
    /// What a client's secret is worth, and what it is told if that is not enough.
    pub(crate) fn judge(&self, connect: &ConnectParams) -> (SharedSecret, AuthFailure) {
        let (secret, offered, not_configured, missing, mismatch) = match self.mode {
            AuthMode::Token => (
                &self.token,
                connect.token(),
                AuthFailure::TokenNotConfigured,
                AuthFailure::TokenMissing,
                AuthFailure::TokenMismatch,
            ),
            AuthMode::Password => (
                &self.password,
                connect.password(),
                AuthFailure::PasswordNotConfigured,
                AuthFailure::PasswordMissing,
                AuthFailure::PasswordMismatch,
            ),
        };
        match secret.as_ref().filter(|secret| !secret.is_empty()) {
            None => (SharedSecret::Absent, not_configured),
            Some(_) if offered.is_empty() => (SharedSecret::Absent, missing),
            Some(secret) if secret.matches(offered) => (SharedSecret::Valid, AuthFailure::Refused),
            Some(_) => (SharedSecret::Wrong, mismatch),
        }
    }

    /// Whether the secret that counts is the same in both.
    pub(crate) fn same_secret(&self, other: &Self) -> bool {
        let secret = |auth: &Self| match auth.mode {
            AuthMode::Token => auth.token.clone(),
            AuthMode::Password => auth.password.clone(),
        };
        match (secret(self), secret(other)) {
            (Some(one), Some(two)) => self.mode == other.mode && one.matches(two.expose()),
            (None, None) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(auth: &Auth, offered: Value, expected: (SharedSecret, AuthFailure)) {
        let client = json!({"id": "cli", "version": "1", "platform": "linux", "mode": "cli"});
        let connect = ConnectParams::read(
            json!({"minProtocol": 3, "maxProtocol": 3, "client": client, "auth": offered}),
        );
        assert_eq!(auth.judge(&connect.expect("valid")), expected);
    }

    #[test]
    fn each_mode_takes_its_own_secret_only() {
        use AuthFailure::{PasswordMismatch, PasswordMissing, TokenMismatch, TokenMissing};
        use SharedSecret::{Absent, Valid, Wrong};
        let both =
            |mode| Auth { mode, token: Some(Secret::new("t")), password: Some(Secret::new("p")) };
        let (token, password) = (both(AuthMode::Token), both(AuthMode::Password));
        check(&token, json!({"token": "t"}), (Valid, AuthFailure::Refused));
        check(&token, json!({"token": "p"}), (Wrong, TokenMismatch));
        check(&token, json!({"password": "p"}), (Absent, TokenMissing));
        check(&password, json!({"password": "p"}), (Valid, AuthFailure::Refused));
        check(&password, json!({"password": "t"}), (Wrong, PasswordMismatch));
        check(&password, json!({"token": "p"}), (Absent, PasswordMissing));
    }

    #[test]
    fn without_a_configured_secret_none_is_right() {
        // SEC-16, SEC-28
        for token in [None, Some(Secret::new(""))] {
            let auth = Auth { mode: AuthMode::Token, token, password: None };
            for offered in [json!({}), json!({"token": ""}), json!({"token": "x"})] {
                check(&auth, offered, (SharedSecret::Absent, AuthFailure::TokenNotConfigured));
            }
        }
    }
}
