//! Which address may be spoken to, and how.

use std::net::IpAddr;

use tokio_tungstenite::tungstenite::http::Uri;

use crate::Error;

/// Where unencrypted connections may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainText {
    /// To this machine only.
    LoopbackOnly,
    /// Anywhere: the network is private, or encrypts by itself.
    Anywhere,
}

/// A gateway's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Name or address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) encrypted: bool,
    uri: Uri,
}

impl Target {
    /// Reads an address and decides whether it may be spoken to.
    pub(crate) fn parse(url: &str, plain_text: PlainText) -> Result<Self, Error> {
        let wrong = |reason| {
            let shown = url.rsplit_once('@').map_or(url, |(_, host)| host);
            Error::Address { url: shown.into(), reason }
        };
        let uri: Uri = url.parse().map_err(|_| wrong("it cannot be read"))?;
        let encrypted = match uri.scheme_str() {
            Some("ws") => false,
            Some("wss") => true,
            _ => return Err(wrong("it must begin with ws:// or wss://")),
        };
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(wrong("credentials do not belong in it"));
        }
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err(wrong("it names no host"));
        }
        if !encrypted && plain_text == PlainText::LoopbackOnly && !is_loopback(&host) {
            return Err(Error::PlainTextRefused { host });
        }
        let port = uri.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        Ok(Self { host, port, encrypted, uri })
    }

    /// The address in full, for the upgrade request and for people.
    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Whom a stored token belongs to: the same for every spelling of one gateway.
    pub(crate) fn origin(&self) -> String {
        let scheme = if self.encrypted { "wss" } else { "ws" };
        format!("{scheme}://{}:{}", self.host.to_ascii_lowercase(), self.port)
    }

    pub(crate) fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_goes_to_this_machine_only() {
        // SEC-71
        for url in
            ["ws://127.0.0.1:18789", "ws://[::1]:18789/x", "ws://LocalHost", "wss://example.org"]
        {
            Target::parse(url, PlainText::LoopbackOnly).expect(url);
        }
        for url in
            ["ws://192.0.2.1:18789", "ws://example.org", "ws://127.0.0.1.example.org", "ws://[::]"]
        {
            let error = Target::parse(url, PlainText::LoopbackOnly).expect_err(url);
            assert!(matches!(error, Error::PlainTextRefused { .. }), "{url}: {error}");
            Target::parse(url, PlainText::Anywhere).expect(url);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_showing_credentials() {
        for (url, message) in [
            ("", "`` is not the address of a gateway: it cannot be read"),
            (
                "127.0.0.1:18789",
                "`127.0.0.1:18789` is not the address of a gateway: it must begin with ws:// or wss://",
            ),
            (
                "http://localhost",
                "`http://localhost` is not the address of a gateway: it must begin with ws:// or wss://",
            ),
            (
                "wss://me:canary@host",
                "`host` is not the address of a gateway: credentials do not belong in it",
            ),
        ] {
            let error = Target::parse(url, PlainText::LoopbackOnly).expect_err(url);
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn one_gateway_has_one_origin() {
        let origin = |url| Target::parse(url, PlainText::Anywhere).expect(url).origin();
        assert_eq!(origin("wss://Example.org/a?b"), "wss://example.org:443");
        assert_eq!(origin("wss://example.org:443"), "wss://example.org:443");
        assert_eq!(origin("ws://[::1]:18789"), "ws://::1:18789");
    }
}
