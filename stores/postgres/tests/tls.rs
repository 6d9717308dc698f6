//! Encrypted connections, to a server with a certificate for `localhost`.

mod support;

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
};

use claw_domain::Secret;
use claw_store::{Error, Store};
use claw_store_postgres::{Options, Postgres};
use claw_testkit::PgServer;
use support::{Plain, fresh};

/// The certificate of the one who signed the server's, which is good for `localhost`.
const AUTHORITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/ca.pem");

/// Gives the server a key and a certificate, as its own user's.
async fn with_certificate(server: &mut PgServer) {
    let data = server.folder().join("data");
    let owner = fs::metadata(&data).unwrap();
    let fixtures = Path::new(AUTHORITY).parent().unwrap();
    for (from, to) in [("server.pem", "server.crt"), ("server.key", "server.key")] {
        let to = data.join(to);
        fs::copy(fixtures.join(from), &to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&to, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    Plain::new(&server.url("postgres")).await.run("ALTER SYSTEM SET ssl = on").await;
    server.restart().await;
}

/// Whether all connections of the store are encrypted, or what it was refused with.
async fn check(url: &str, host: &str, query: &str) -> Result<bool, String> {
    let to = url.replace("127.0.0.1", host);
    let store =
        match Postgres::open(&Secret::new(format!("{to}?{query}")), Options::default()).await {
            Ok(store) => store,
            Err(Error::Engine(source)) => return Err(source.to_string()),
            Err(error) => panic!("{error:?}"),
        };
    store.writable().await.unwrap();
    store.totals().await.unwrap();
    let plain = Plain::new(url).await;
    let open = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
        WHERE application_name = 'rusty-claw' AND ssl = $1";
    let mut counts = [0; 2];
    for (count, encrypted) in counts.iter_mut().zip([false, true]) {
        *count = plain.client.query_one(open, &[&encrypted]).await.unwrap().get::<_, i64>(0);
    }
    store.close().await.unwrap();
    assert!(counts.contains(&0), "all are alike: {counts:?}");
    Ok(counts[1] > 0)
}

#[tokio::test]
async fn connections_are_encrypted_and_checked_as_the_url_asks() {
    let Some(mut server) = PgServer::start().await else { return };
    let plain = fresh(&server).await;
    assert_eq!(check(&plain, "localhost", "sslmode=prefer").await, Ok(false));
    let refused = check(&plain, "localhost", "sslmode=require").await.unwrap_err();
    assert!(refused.contains("server does not support TLS"), "{refused}");

    with_certificate(&mut server).await;
    let url = fresh(&server).await;
    let authority = format!("sslmode=verify-full&sslrootcert={AUTHORITY}");
    assert_eq!(check(&url, "localhost", "sslmode=disable").await, Ok(false));
    assert_eq!(check(&url, "localhost", "sslmode=require").await, Ok(true));
    assert_eq!(check(&url, "127.0.0.1", "").await, Ok(true), "it is there, so it is used");
    assert_eq!(check(&url, "localhost", &authority).await, Ok(true));
    let other_name = check(&url, "127.0.0.1", &authority).await.unwrap_err();
    assert!(other_name.contains("not valid for name"), "{other_name}");
    let roots = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/server.pem");
    let unknown = format!("sslmode=verify-full&sslrootcert={roots}");
    let unknown = check(&url, "localhost", &unknown).await.unwrap_err();
    assert!(unknown.contains("invalid peer certificate"), "{unknown}");
}
