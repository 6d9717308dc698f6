//! One connection with its statements prepared, for the writer.

use std::collections::HashMap;

use futures_util::future::try_join_all;
use tokio_postgres::{Client, Row, Statement, types::ToSql};
use tokio_util::task::AbortOnDropHandle;

use crate::{column::Columns, error::Fault, place::Place};

/// A commit means on disk, also on a server that was told that it need not.
const DURABLE: &str = "SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') = 'off'";
const OWN_PID: &str = "SELECT pg_backend_pid()";

/// Values of a statement.
pub(crate) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// The columns of rows, each as an array with the field's name.
macro_rules! columns {
    ($rows:ident: $($field:ident)*) => {
        $(let $field: Vec<_> = $rows.iter().map(|row| &row.$field).collect();)*
    };
}
/// A statement's values, by their names.
macro_rules! values {
    ($($name:ident$(.$field:tt)?)*) => {
        &[$(&$name$(.$field)? as &(dyn tokio_postgres::types::ToSql + Sync)),*]
    };
}
pub(crate) use {columns, values};

/// A connection on which statements can be sent one after another without waiting: a future sends
/// its statement when it is first polled, since all of them are prepared beforehand.
pub(crate) struct Conn {
    client: Client,
    statements: HashMap<&'static str, Statement>,
    /// Carries the connection; without it, the server takes back what was begun.
    driver: AbortOnDropHandle<()>,
    /// The server's process for this connection.
    pub(crate) pid: i32,
}

impl Conn {
    pub(crate) async fn open(
        place: &Place,
        statements: impl IntoIterator<Item = &'static str>,
    ) -> Result<Self, Fault> {
        let (client, connection) = place.connect().await?;
        let driver = AbortOnDropHandle::new(tokio::spawn(async move {
            // How it ended is told to whoever asks something next.
            let _ended = connection.await;
        }));
        client.batch_execute(DURABLE).await?;
        let pid = client.query_one(OWN_PID, &[]).await?.value(0)?;
        let prepared = statements
            .into_iter()
            .map(async |sql| Ok::<_, Fault>((sql, client.prepare(sql).await?)));
        let statements = try_join_all(prepared).await?.into_iter().collect();
        Ok(Self { client, statements, driver, pid })
    }

    pub(crate) async fn query(
        &self,
        sql: &'static str,
        values: Values<'_>,
    ) -> Result<Vec<Row>, Fault> {
        Ok(self.client.query(self.statement(sql), values).await?)
    }

    /// How many rows it touched.
    pub(crate) async fn execute(
        &self,
        sql: &'static str,
        values: Values<'_>,
    ) -> Result<u64, Fault> {
        Ok(self.client.execute(self.statement(sql), values).await?)
    }

    /// A statement without values.
    pub(crate) async fn word(&self, sql: &str) -> Result<(), Fault> {
        Ok(self.client.batch_execute(sql).await?)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Says goodbye to the server.
    pub(crate) async fn end(self) {
        drop(self.client);
        // It can only have panicked, and there is nothing left that could be told.
        let _ended = self.driver.await;
    }

    fn statement(&self, sql: &'static str) -> &Statement {
        self.statements.get(sql).expect("the writer's statements are prepared when it connects")
    }
}
