//! What a client is told whose secret was refused.

use crate::connect::ClientInfo;

/// Why a shared secret or a device token was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthFailure {
    /// Token mode, and no token was sent.
    TokenMissing,
    /// Token mode, and another token was sent.
    TokenMismatch,
    /// Token mode without a token to compare with.
    TokenNotConfigured,
    /// Password mode, and no password was sent.
    PasswordMissing,
    /// Password mode, and another password was sent.
    PasswordMismatch,
    /// Password mode without a password to compare with.
    PasswordNotConfigured,
    /// The token is neither the shared one nor the device's.
    DeviceTokenMismatch,
    /// Too many failures lately.
    RateLimited,
    /// Everything else.
    Refused,
}

impl AuthFailure {
    /// The exact text, with the advice that fits `client`.
    pub fn message(self, client: &ClientInfo) -> String {
        let (what, advice) = match self {
            Self::TokenMissing => ("gateway token missing", token_advice(client)),
            Self::TokenMismatch => ("gateway token mismatch", token_advice(client)),
            Self::TokenNotConfigured => {
                ("gateway token not configured on gateway", "set gateway.auth.token")
            }
            Self::PasswordMissing => ("gateway password missing", password_advice(client)),
            Self::PasswordMismatch => ("gateway password mismatch", password_advice(client)),
            Self::PasswordNotConfigured => {
                ("gateway password not configured on gateway", "set gateway.auth.password")
            }
            Self::DeviceTokenMismatch => ("device token mismatch", "rotate/reissue device token"),
            Self::RateLimited => ("too many failed authentication attempts", "retry later"),
            Self::Refused => return "unauthorized".into(),
        };
        format!("unauthorized: {what} ({advice})")
    }
}

fn token_advice(client: &ClientInfo) -> &'static str {
    if client.is_command_line() {
        "set gateway.remote.token to match gateway.auth.token"
    } else if client.is_browser() {
        "open the dashboard URL and paste the token in Control UI settings"
    } else {
        "provide gateway auth token"
    }
}

fn password_advice(client: &ClientInfo) -> &'static str {
    if client.is_command_line() {
        "set gateway.remote.password to match gateway.auth.password"
    } else if client.is_browser() {
        "enter the password in Control UI settings"
    } else {
        "provide gateway auth password"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(failure: AuthFailure, (id, mode): (&str, &str), message: &str) {
        let client = ClientInfo {
            id: id.into(),
            mode: mode.into(),
            version: "1".into(),
            platform: "linux".into(),
            display_name: None,
            device_family: None,
            model_identifier: None,
            instance_id: None,
        };
        assert_eq!(failure.message(&client), message);
    }

    #[test]
    fn the_advice_fits_the_client() {
        use AuthFailure::{PasswordMissing, TokenMismatch, TokenMissing};
        let (cli, page, app) =
            (("cli", "cli"), ("openclaw-control-ui", "webchat"), ("openclaw-ios", "ui"));
        check(
            TokenMismatch,
            cli,
            "unauthorized: gateway token mismatch (set gateway.remote.token to match gateway.auth.token)",
        );
        check(
            TokenMissing,
            page,
            "unauthorized: gateway token missing (open the dashboard URL and paste the token in Control UI settings)",
        );
        check(
            TokenMissing,
            app,
            "unauthorized: gateway token missing (provide gateway auth token)",
        );
        check(
            PasswordMissing,
            cli,
            "unauthorized: gateway password missing (set gateway.remote.password to match gateway.auth.password)",
        );
        check(
            PasswordMissing,
            page,
            "unauthorized: gateway password missing (enter the password in Control UI settings)",
        );
        check(
            PasswordMissing,
            app,
            "unauthorized: gateway password missing (provide gateway auth password)",
        );
    }

    #[test]
    fn other_failures_read_the_same_for_everybody() {
        for client in [("cli", "cli"), ("openclaw-ios", "ui")] {
            check(
                AuthFailure::DeviceTokenMismatch,
                client,
                "unauthorized: device token mismatch (rotate/reissue device token)",
            );
            check(
                AuthFailure::TokenNotConfigured,
                client,
                "unauthorized: gateway token not configured on gateway (set gateway.auth.token)",
            );
            check(
                AuthFailure::RateLimited,
                client,
                "unauthorized: too many failed authentication attempts (retry later)",
            );
            check(AuthFailure::Refused, client, "unauthorized");
        }
    }
}
