//! What the writers of a sink share: which tables are ready, and what is known of their marks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use super::config::Config;
use super::counts::TableCounts;
use super::epochs::Epochs;
use super::loads::Loads;
use super::retried;
use super::streams::Shared;
use crate::bigquery::error::BigQueryError;
use crate::bigquery::table_options::{TableOptions, WriteDisposition};

#[derive(Default)]
pub(super) struct State {
    pub counts: TableCounts,
    pub epochs: Epochs,
    pub streams: Shared,
    pub loads: Loads,
    /// The run goes on where another was: what tables have is its own.
    pub resumed: AtomicBool,
    ready: Mutex<HashMap<String, Arc<OnceCell<()>>>>,
}

impl State {
    /// Gets a table ready, once.
    pub async fn ready<T>(
        &self,
        config: &Config<T>,
        table: &str,
        in_epochs: bool,
    ) -> Result<(), BigQueryError> {
        let cell = {
            let mut ready = locked(&self.ready);
            match ready.get(table) {
                Some(cell) => Arc::clone(cell),
                None => Arc::clone(ready.entry(table.to_owned()).or_default()),
            }
        };
        if cell.initialized() {
            return Ok(());
        }
        let begun = cell.get_or_try_init(|| async {
            let mut options = config.options;
            let by_the_job = config.loads() && !in_epochs;
            if by_the_job || self.resumed.load(Ordering::Relaxed) {
                options = TableOptions {
                    write: WriteDisposition::Append,
                    ..options
                };
            }
            let (service, schema) = (&config.service, &config.schema);
            retried(|| service.ready_table(table, schema, options)).await?;
            if let Some(view) = &config.view {
                retried(|| service.create_view(view)).await?;
            }
            Ok(())
        });
        begun.await.map(|_| ())
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
