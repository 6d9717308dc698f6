//! Reading: a few connections, lent to one question at a time.

use std::{sync::Arc, time::Duration};

use claw_store::Error;
use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
    Timeouts,
};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Row;

use crate::{conn::Values, error::Fault, place::Place};

/// A reader that could write would write past the one lock.
const READ_ONLY: &str = "SET default_transaction_read_only = on";
/// The pause before a lost connection is tried anew.
const PAUSE: Duration = Duration::from_millis(200);

pub(crate) struct Readers {
    pool: Pool,
    place: Arc<Place>,
}

impl Readers {
    pub(crate) fn new(place: Arc<Place>) -> Result<Self, Error> {
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager =
            Manager::from_config(place.config.clone(), place.connector.clone(), recycling);
        let options = &place.options;
        let timeouts = Timeouts {
            wait: Some(options.retry_for + place.answer_within()),
            create: Some(options.connect_timeout),
            recycle: None,
        };
        let pool = Pool::builder(manager)
            .max_size(options.readers.max(1))
            .runtime(Runtime::Tokio1)
            .timeouts(timeouts)
            .post_create(Hook::async_fn(|client, _| {
                Box::pin(async move {
                    let done = client.batch_execute(READ_ONLY).await;
                    done.map_err(HookError::Backend)
                })
            }))
            .build()
            .map_err(|error| Error::Engine(Box::new(error)))?;
        Ok(Self { pool, place })
    }

    /// Every row that answers a question.
    pub(crate) async fn all<T>(
        &self,
        sql: &'static str,
        values: Values<'_>,
        read: impl Fn(&Row) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Error> {
        let rows = self.rows(sql, values).await;
        rows.and_then(|rows| rows.iter().map(read).collect()).map_err(|fault| self.named(fault))
    }

    /// The first row that answers a question.
    pub(crate) async fn first<T>(
        &self,
        sql: &'static str,
        values: Values<'_>,
        read: impl Fn(&Row) -> Result<T, Fault>,
    ) -> Result<Option<T>, Error> {
        let rows = self.rows(sql, values).await;
        let first = rows.and_then(|rows| rows.first().map(read).transpose());
        first.map_err(|fault| self.named(fault))
    }

    /// Refuses questions from now on.
    pub(crate) fn close(&self) -> Result<(), Error> {
        if self.pool.is_closed() {
            return Err(Error::Closed);
        }
        self.pool.close();
        Ok(())
    }

    fn named(&self, fault: Fault) -> Error {
        fault.at(&self.place.name)
    }

    /// Asks, and again on another connection when the server went away meanwhile.
    async fn rows(&self, sql: &'static str, values: Values<'_>) -> Result<Vec<Row>, Fault> {
        let give_up = Instant::now() + self.place.options.retry_for;
        loop {
            match self.ask(sql, values).await {
                Err(Fault::Lost(_)) if Instant::now() < give_up => sleep(PAUSE).await,
                answer => return answer,
            }
        }
    }

    async fn ask(&self, sql: &'static str, values: Values<'_>) -> Result<Vec<Row>, Fault> {
        let client = self.pool.get().await.map_err(fault)?;
        let question = async {
            let statement = client.prepare_cached(sql).await?;
            Ok(client.query(&statement, values).await?)
        };
        let answer = timeout(self.place.answer_within(), question).await;
        let answer = answer.unwrap_or_else(|_| Err(Fault::Lost("no answer in time".into())));
        if matches!(answer, Err(Fault::Lost(_))) {
            // Out of the pool, so that nobody else waits for it.
            drop(Object::take(client));
        }
        answer
    }
}

fn fault(error: PoolError) -> Fault {
    match error {
        PoolError::Backend(error) => error.into(),
        PoolError::Closed => Error::Closed.into(),
        PoolError::Timeout(_) => Fault::Lost("no connection in time".into()),
        PoolError::PostCreateHook(HookError::Backend(error)) => error.into(),
        error @ (PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_)) => {
            Fault::Sql(error.to_string())
        }
    }
}
