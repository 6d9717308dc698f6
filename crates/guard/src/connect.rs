//! How far a new connection is trusted before it has shown a paired device.

use std::net::IpAddr;

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// This machine, with nobody in between.
    LocalDirect,
    /// Anywhere else, or a proxy on this machine that speaks for somebody.
    Remote,
}

/// Tells a direct local connection from all others.
///
/// `address` is the socket's peer, `host` the Host header, `forwarded` whether any header of the
/// request was one of [`is_forwarding_header`]. Loopback alone proves nothing: a proxy on this
/// machine makes every request look local, and a page with a rebound name brings a foreign Host.
pub fn peer(address: IpAddr, host: Option<&str>, forwarded: bool) -> Peer {
    let direct =
        address.to_canonical().is_loopback() && host.is_some_and(names_loopback) && !forwarded;
    if direct { Peer::LocalDirect } else { Peer::Remote }
}

/// Whether a header says that somebody forwarded the request. Header names compare without case.
pub fn is_forwarding_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("x-forwarded-") || matches!(name.as_str(), "x-real-ip" | "forwarded" | "via")
}

/// What kind of program says that it connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// The chat page or another web page.
    Browser,
    /// A program of its own.
    Native,
}

/// Why a connection's Origin is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// There is none, and the client is no browser.
    Absent,
    /// The page came from this very gateway: same host and port.
    Own,
    /// The configuration names it.
    Listed,
    /// The page and the gateway are both on this machine.
    Loopback,
}

impl Origin {
    /// The rule's stable word.
    pub fn rule(self) -> &'static str {
        match self {
            Self::Absent => "origin-absent",
            Self::Own => "origin-own",
            Self::Listed => "origin-listed",
            Self::Loopback => "origin-loopback",
        }
    }
}

/// A page that may not connect; the text is the protocol's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "origin not allowed (open the Control UI from the gateway host or allow it in gateway.controlUi.allowedOrigins)"
)]
pub struct OriginRefusal;

/// Whether a page from this Origin may connect.
///
/// An Origin that is there is judged whatever the client says that it is, since browsers set it and
/// pages cannot; a browser without one is refused. Proxy headers play no part.
///
/// # Errors
/// [`OriginRefusal`], with the text that the client is sent.
pub fn may_approach(
    client: Client,
    origin: Option<&str>,
    host: Option<&str>,
    allowed: &[String],
) -> Result<Origin, OriginRefusal> {
    let Some(origin) = origin else {
        return if client == Client::Native { Ok(Origin::Absent) } else { Err(OriginRefusal) };
    };
    let page = authority(origin).ok_or(OriginRefusal)?;
    if host.is_some_and(|host| host.eq_ignore_ascii_case(page)) {
        return Ok(Origin::Own);
    }
    if allowed.iter().any(|entry| entry.trim_end_matches('/').eq_ignore_ascii_case(origin)) {
        return Ok(Origin::Listed);
    }
    if names_loopback(page) && host.is_some_and(names_loopback) {
        return Ok(Origin::Loopback);
    }
    Err(OriginRefusal)
}

/// What became of the shared token or password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharedSecret {
    /// Shown and right.
    Valid,
    /// Shown and wrong.
    Wrong,
    /// Not shown.
    Absent,
}

/// Whether an unknown device is paired at once, and the rule that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SilentPairing {
    /// Paired at once, with no more than it asked for.
    Pair {
        /// Why.
        rule: &'static str,
    },
    /// The owner is asked.
    Ask {
        /// Why.
        rule: &'static str,
    },
}

/// Whether an unknown device, or a wider wish of a known one, is approved without asking.
pub fn may_pair_silently(secret: SharedSecret, peer: Peer, origin: Origin) -> SilentPairing {
    match (secret, peer, origin) {
        (SharedSecret::Wrong | SharedSecret::Absent, ..) => {
            SilentPairing::Ask { rule: "pair-no-secret" }
        }
        (_, Peer::Remote, _) => SilentPairing::Ask { rule: "pair-remote" },
        (_, _, Origin::Listed | Origin::Loopback) => {
            SilentPairing::Ask { rule: "pair-foreign-origin" }
        }
        (SharedSecret::Valid, Peer::LocalDirect, Origin::Own | Origin::Absent) => {
            SilentPairing::Pair { rule: "pair-local-secret" }
        }
    }
}

/// Host and port of an Origin: `scheme://host[:port]` and nothing else.
fn authority(origin: &str) -> Option<&str> {
    let (scheme, page) = origin.split_once("://")?;
    let web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    (web && !page.is_empty() && !page.contains(['/', '@', '?', '#', '\\'])).then_some(page)
}

/// Whether `host[:port]` is a name or address of loopback.
fn names_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(host, _)| host),
        None => authority.split_once(':').map_or(authority, |(host, _)| host),
    };
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Option<&str> = Some("127.0.0.1:18789");

    #[track_caller]
    fn check_peer(address: &str, host: Option<&str>, forwarded: bool, expected: Peer) {
        assert_eq!(peer(address.parse().unwrap(), host, forwarded), expected, "{address} {host:?}");
    }

    #[test]
    fn loopback_in_any_spelling_is_local() {
        // SEC-24
        for (address, host) in [
            ("127.0.0.1", "127.0.0.1:18789"),
            ("::1", "[::1]:18789"),
            ("::ffff:127.0.0.1", "LOCALHOST"),
            ("127.0.0.1", "[::1]"),
        ] {
            check_peer(address, Some(host), false, Peer::LocalDirect);
        }
    }

    #[test]
    fn a_proxy_or_a_foreign_name_makes_loopback_remote() {
        // SEC-28a
        check_peer("127.0.0.1", HOST, true, Peer::Remote);
        for host in [
            None,
            Some("claw.example"),
            Some("localhost.evil.example"),
            Some("127.0.0.1.evil"),
            Some(""),
        ] {
            check_peer("127.0.0.1", host, false, Peer::Remote);
        }
        check_peer("192.168.1.5", HOST, false, Peer::Remote);
        check_peer("::ffff:10.0.0.1", HOST, false, Peer::Remote);
    }

    #[test]
    fn headers_of_proxies_are_known_in_any_case() {
        for name in ["X-Forwarded-For", "x-forwarded-proto", "X-Real-IP", "Forwarded", "via"] {
            assert!(is_forwarding_header(name), "{name}");
        }
        assert!(!is_forwarding_header("x-request-id"));
    }

    #[track_caller]
    fn check_origin(
        client: Client,
        origin: Option<&str>,
        host: Option<&str>,
        expected: Option<Origin>,
    ) {
        let allowed = ["https://claw.example/".to_owned(), "*".to_owned()];
        assert_eq!(
            may_approach(client, origin, host, &allowed).ok(),
            expected,
            "{origin:?} at {host:?}"
        );
    }

    #[test]
    fn a_page_of_our_own_or_of_the_list_may_connect() {
        check_origin(Client::Browser, Some("http://127.0.0.1:18789"), HOST, Some(Origin::Own));
        check_origin(Client::Browser, Some("HTTPS://Box.Lan"), Some("box.lan"), Some(Origin::Own));
        check_origin(Client::Browser, Some("https://CLAW.example"), HOST, Some(Origin::Listed));
        check_origin(Client::Browser, Some("http://localhost:3000"), HOST, Some(Origin::Loopback));
    }

    #[test]
    fn foreign_pages_are_refused_whatever_they_say_they_are() {
        // SEC-04, SEC-05
        for origin in
            ["https://evil.example", "null", "", "file://", "http://localhost@evil.example", "*"]
        {
            for client in [Client::Browser, Client::Native] {
                check_origin(client, Some(origin), HOST, None);
            }
        }
        check_origin(Client::Browser, Some("http://localhost:3000"), Some("box.lan:18789"), None);
        check_origin(Client::Browser, Some("http://box.lan"), None, None);
    }

    #[test]
    fn only_a_program_of_its_own_may_come_without_origin() {
        check_origin(Client::Browser, None, HOST, None);
        check_origin(Client::Native, None, HOST, Some(Origin::Absent));
    }

    #[test]
    fn an_empty_list_lets_no_foreign_page_in() {
        // SEC-16
        assert_eq!(
            may_approach(Client::Browser, Some("https://claw.example"), HOST, &[]),
            Err(OriginRefusal)
        );
    }

    #[test]
    fn pairing_is_silent_only_with_the_secret_from_here_by_our_own_page() {
        // SEC-04: every combination; exactly two are silent.
        let silent: Vec<_> = [SharedSecret::Valid, SharedSecret::Wrong, SharedSecret::Absent]
            .into_iter()
            .flat_map(|secret| [Peer::LocalDirect, Peer::Remote].map(|peer| (secret, peer)))
            .flat_map(|(secret, peer)| {
                [Origin::Absent, Origin::Own, Origin::Listed, Origin::Loopback]
                    .map(|origin| (secret, peer, origin))
            })
            .filter(|(secret, peer, origin)| {
                matches!(may_pair_silently(*secret, *peer, *origin), SilentPairing::Pair { .. })
            })
            .collect();
        let expected = [Origin::Absent, Origin::Own]
            .map(|origin| (SharedSecret::Valid, Peer::LocalDirect, origin));
        assert_eq!(silent, expected);
    }
}
