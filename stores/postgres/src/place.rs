//! Where the store is: the URL with its secret, and how connections to it come about.

use std::{str::FromStr, time::Duration};

use claw_domain::Secret;
use claw_store::Error;
use tokio_postgres::{Client, Config, Connection, Socket, config::Host, config::SslMode};

use crate::{
    Options,
    error::{Failure, Fault},
    tls::{Connector, Encrypted, Trust},
};

/// After so long without a word from the server the system asks whether it is still there, so often
/// and so many times; a server that has gone silent is given up within 20 s.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(3);
const KEEPALIVE_RETRIES: u32 = 3;
/// How long sent bytes may stay without an answer from the server's system.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(15);

/// A database and the way to it.
pub(crate) struct Place {
    pub(crate) config: Config,
    pub(crate) connector: Connector,
    /// The server and its database, for people: no user, no password.
    pub(crate) name: String,
    pub(crate) options: Options,
}

impl Place {
    /// Reads a `postgres://` URL. Beside what tokio-postgres knows it takes `sslmode=verify-ca` and
    /// `verify-full`, and `sslrootcert`, the path of a PEM file.
    pub(crate) fn of(url: &Secret, options: &Options) -> Result<Self, Error> {
        let Parts { config: text, mode, roots } = Parts::of(url.expose())?;
        // The error's own text is left out: it may quote a piece of the password.
        let mut config = Config::from_str(&text).map_err(|_| {
            refused("it does not read as `postgres://user:password@host:port/database`")
        })?;
        let local = config.get_hosts().iter().all(is_local);
        let (mode, trust) = security(mode.as_deref(), roots, local)?;
        let settings = settings(config.get_options(), options);
        config
            .ssl_mode(mode)
            .connect_timeout(options.connect_timeout)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES)
            .tcp_user_timeout(UNACKNOWLEDGED_MAX)
            .options(settings);
        if config.get_application_name().is_none() {
            config.application_name(&options.application_name);
        }
        let name = name(&config);
        let connector = Connector::new(&trust).map_err(|fault| fault.at(&name))?;
        Ok(Self { config, connector, name, options: options.clone() })
    }

    /// A new connection; the second part has to be polled for the first one to get on.
    pub(crate) async fn connect(
        &self,
    ) -> Result<(Client, Connection<Socket, Encrypted<Socket>>), Fault> {
        let connected = self.config.connect(self.connector.clone());
        match tokio::time::timeout(self.options.connect_timeout, connected).await {
            Ok(connected) => Ok(connected?),
            Err(_) => Err(Fault::Lost(format!(
                "no connection within {} s",
                self.options.connect_timeout.as_secs()
            ))),
        }
    }

    /// How long to wait for an answer: the server gives up before, unless the way to it is cut.
    pub(crate) fn answer_within(&self) -> Duration {
        self.options.statement_timeout + Duration::from_secs(5)
    }
}

/// How a connection is secured, and by whom the server is vouched for.
fn security(
    mode: Option<&str>,
    roots: Option<String>,
    local: bool,
) -> Result<(SslMode, Trust), Error> {
    Ok(match mode {
        Some("disable") => (SslMode::Disable, Trust::Anybody),
        Some("prefer") => (SslMode::Prefer, Trust::Anybody),
        None if local => (SslMode::Prefer, Trust::Anybody),
        // As with other clients: encrypted, and checked only when there is a file to check by.
        Some("require") if roots.is_none() => (SslMode::Require, Trust::Anybody),
        None | Some("require" | "verify-ca" | "verify-full") => {
            (SslMode::Require, roots.map_or(Trust::System, Trust::File))
        }
        Some(_) => {
            return Err(refused(
                "`sslmode` is none of disable, prefer, require, verify-ca, verify-full",
            ));
        }
    })
}

/// The parts of a URL that are read here, and the URL without them.
struct Parts {
    config: String,
    mode: Option<String>,
    roots: Option<String>,
}

impl Parts {
    fn of(url: &str) -> Result<Self, Error> {
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(refused("it begins with neither `postgres://` nor `postgresql://`"));
        }
        // A password may hold a `?`.
        let host = url.find('@').unwrap_or(0);
        let query = url[host..].find('?').map_or(url.len(), |mark| host + mark);
        let (base, query) = (&url[..query], url[query..].trim_start_matches('?'));
        let (mut mode, mut roots, mut others) = (None, None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value.to_owned()),
                Some(("sslrootcert", value)) => roots = Some(unescape(value)?),
                _ => others.push(pair),
            }
        }
        let mark = if others.is_empty() { "" } else { "?" };
        Ok(Self { config: format!("{base}{mark}{}", others.join("&")), mode, roots })
    }
}

/// Undoes percent-encoding.
fn unescape(value: &str) -> Result<String, Error> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let byte = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => {
                rest = tail;
                let digits = [char::from(*high), char::from(*low)].map(|digit| digit.to_digit(16));
                let [Some(high), Some(low)] = digits else {
                    return Err(refused("`sslrootcert` holds a `%` without two hex digits"));
                };
                (high * 16 + low) as u8
            }
            (byte, _) => *byte,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).map_err(|_| refused("`sslrootcert` is no text"))
}

fn refused(why: &str) -> Error {
    Error::Engine(Box::new(Failure { place: "the URL of the store".into(), what: why.into() }))
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            let address = name.parse::<std::net::IpAddr>();
            name == "localhost" || address.is_ok_and(|address| address.is_loopback())
        }
    }
}

/// Settings of every session, behind those that the URL asks for.
fn settings(asked: Option<&str>, options: &Options) -> String {
    let ms = |time: Duration| time.as_millis();
    format!(
        "{} -c statement_timeout={} -c idle_in_transaction_session_timeout={} {PLANS}",
        asked.unwrap_or_default(),
        ms(options.statement_timeout),
        ms(options.stall_max)
    )
}

/// Whatever is asked is found by an index. The server plans a prepared statement once, for tables as
/// they are then: for those of a new store it would choose to read them whole, and go on so while
/// they grow.
const PLANS: &str =
    "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off";

fn name(config: &Config) -> String {
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .enumerate()
        .map(|(index, host)| {
            let ports = config.get_ports();
            let port = ports.get(index).or(ports.first()).unwrap_or(&5432);
            match host {
                Host::Tcp(name) => format!("{name}:{port}"),
                Host::Unix(folder) => format!("{}:{port}", folder.display()),
            }
        })
        .collect();
    format!("postgres://{}/{}", hosts.join(","), config.get_dbname().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> Result<Place, Error> {
        Place::of(&Secret::new(url), &Options::default())
    }

    #[test]
    fn the_place_is_named_without_user_and_password() {
        let named = |url: &str| place(url).unwrap().name;
        assert_eq!(
            named("postgres://me:canary-19@db.example:6000/claw?sslmode=disable"),
            "postgres://db.example:6000/claw"
        );
        assert_eq!(
            named("postgres://me:canary-19?sslmode=x@localhost/claw"),
            "postgres://localhost:5432/claw"
        );
        assert_eq!(named("postgresql://localhost/claw"), "postgres://localhost:5432/claw");
        assert_eq!(
            named("postgres:///claw?host=/run/postgresql&user=me&password=canary-19"),
            "postgres:///run/postgresql:5432/claw"
        );
    }

    #[test]
    fn a_server_elsewhere_has_to_prove_itself_unless_the_url_says_otherwise() {
        let elsewhere = |word| security(word, None, false).unwrap();
        assert_eq!(elsewhere(None), (SslMode::Require, Trust::System));
        assert_eq!(elsewhere(Some("disable")), (SslMode::Disable, Trust::Anybody));
        assert_eq!(elsewhere(Some("prefer")), (SslMode::Prefer, Trust::Anybody));
        assert_eq!(elsewhere(Some("require")), (SslMode::Require, Trust::Anybody));
        assert_eq!(elsewhere(Some("verify-ca")), (SslMode::Require, Trust::System));
        assert_eq!(elsewhere(Some("verify-full")), (SslMode::Require, Trust::System));
        let roots = || Trust::File("/roots.pem".into());
        let file = || Some("/roots.pem".to_owned());
        assert_eq!(security(None, file(), false).unwrap(), (SslMode::Require, roots()));
        let require = security(Some("require"), file(), true).unwrap();
        assert_eq!(require, (SslMode::Require, roots()));
        assert_eq!(security(None, None, true).unwrap(), (SslMode::Prefer, Trust::Anybody));
        assert!(security(Some("allow"), None, true).is_err());
    }

    #[test]
    fn only_this_machine_is_local() {
        let local = |host: &str| {
            let config = Config::from_str(&format!("postgres://me@{host}/claw")).unwrap();
            config.get_hosts().iter().all(is_local)
        };
        let near = ["localhost", "127.0.0.1", "127.1.2.3", "[::1]", "%2Frun%2Fpg"];
        assert_eq!(near.map(local), [true; 5]);
        let far = ["db.example", "10.0.0.1", "localhost.example", "127.0.0.1,db.example"];
        assert_eq!(far.map(local), [false; 4]);
    }

    // SEC-96
    #[test]
    fn no_refusal_of_a_url_shows_its_password() {
        let urls = [
            "postgres://me:canary-19@db.example/claw?canary-19",
            "postgres://me:canary-19@db.example:canary-19/claw",
            "postgres://me:x@db.example/claw?canary-19=word",
            "postgres://me:canary-19/x@db.example:port/claw",
            "mysql://me:canary-19@db.example/claw",
            "postgres://me:canary-19@db.example/claw?sslmode=canary-19",
            "postgres://me:canary-19@db.example/claw?sslrootcert=%2",
            "postgres://me:canary-19@db.example/claw?sslrootcert=/no/such/file",
        ];
        for url in urls {
            let Err(error) = place(url) else { panic!("{url} was taken") };
            let mut texts = vec![format!("{error} {error:?} {:?}", error.hint())];
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                texts.push(format!("{cause} {cause:?}"));
                source = cause.source();
            }
            assert!(!texts.concat().contains("canary"), "{url}: {texts:?}");
        }
    }

    #[test]
    fn settings_of_the_url_are_kept() {
        let asked = place("postgres://localhost/claw?options=-csearch_path%3Dours").unwrap();
        let options = asked.config.get_options().unwrap();
        assert!(options.starts_with("-csearch_path=ours -c statement_timeout=20000"), "{options}");
        let named = place("postgres://localhost/claw?application_name=mine").unwrap();
        assert_eq!(named.config.get_application_name(), Some("mine"));
    }
}
