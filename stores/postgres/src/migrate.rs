//! How an empty database, or one of an older program, becomes one of this program.

use claw_store::Error;
use tokio_postgres::{Client, GenericClient, SimpleQueryMessage, SimpleQueryRow};

use crate::{error::Fault, place::Place};

/// Step `n` leads from schema version `n` to `n + 1`. A step that was released is never changed.
const STEPS: [&str; 1] = [include_str!("../migrations/0001.sql")];
/// The version of this program, kept beside that of the schema for people with an older one.
const PROGRAM: &str = env!("CARGO_PKG_VERSION");

/// Asks the table of tables, since `to_regclass` may go on saying what it said before the wait for
/// the lock.
const THERE: &str =
    "SELECT 1 FROM pg_class WHERE relname = 'schema_version' AND pg_table_is_visible(oid)";

/// The one lock, held until the end of a transaction, under which everything is written: `seq` is
/// given in the order of commits, without gaps. The numbers are `claw` in ASCII, and one of ours.
pub(crate) const LOCK: &str = "SELECT pg_advisory_xact_lock(1668047223, 1)";

/// Brings the database to the newest schema, all steps or none.
pub(crate) async fn migrate(place: &Place) -> Result<(), Fault> {
    let (mut client, connection) = place.connect().await?;
    let work = async move {
        let done = bring_up(&mut client).await;
        // The connection ends when its client is gone.
        drop(client);
        done
    };
    let (done, _ended) = futures_util::join!(work, connection);
    done
}

/// Refuses a schema that this program does not know.
pub(crate) fn check(found: i64, program: Option<String>) -> Result<(), Fault> {
    let known = STEPS.len() as i64;
    if found <= known {
        return Ok(());
    }
    Err(Fault::Newer { found, known, program })
}

async fn bring_up(client: &mut Client) -> Result<(), Fault> {
    let encoding =
        "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()";
    let encoding = first(client, encoding).await?;
    let encoding = encoding.as_ref().and_then(|row| row.get(0)).unwrap_or_default();
    if encoding != "UTF8" {
        return Err(Fault::Sql(format!(
            "the database's encoding is {encoding}; make it with `ENCODING 'UTF8'`"
        )));
    }
    if version(client).await? == STEPS.len() as i64 {
        return Ok(());
    }
    let step = client.transaction().await?;
    // Nobody commits meanwhile. The version is read again under the lock: another process may have
    // been quicker.
    step.batch_execute(LOCK).await?;
    let found = version(&step).await?;
    for sql in STEPS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        step.batch_execute(sql).await?;
    }
    let (known, program) = (STEPS.len(), PROGRAM);
    step.batch_execute(&format!(
        "CREATE TABLE IF NOT EXISTS schema_version (
            one integer PRIMARY KEY CHECK (one = 1),
            version bigint NOT NULL,
            program text NOT NULL
        );
        INSERT INTO schema_version VALUES (1, {known}, '{program}')
        ON CONFLICT (one) DO UPDATE SET version = excluded.version, program = excluded.program"
    ))
    .await?;
    Ok(step.commit().await?)
}

/// The version of the schema that is there, 0 when there is none.
async fn version(client: &impl GenericClient) -> Result<i64, Fault> {
    if first(client, THERE).await?.is_none() {
        return Ok(0);
    }
    let Some(row) = first(client, "SELECT version, program FROM schema_version").await? else {
        return Ok(0);
    };
    let found = row.get(0).and_then(|version| version.parse().ok());
    let found = found.ok_or_else(|| {
        let (what, source) = ("schema version".into(), "it is no number".into());
        Fault::Store(Error::Corrupt { what, source })
    })?;
    check(found, row.get(1).map(Into::into))?;
    Ok(found)
}

async fn first(client: &impl GenericClient, sql: &str) -> Result<Option<SimpleQueryRow>, Fault> {
    let messages = client.simple_query(sql).await?;
    Ok(messages.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    }))
}
