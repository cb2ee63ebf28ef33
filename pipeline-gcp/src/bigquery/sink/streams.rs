//! How a sink writes through the Storage Write API.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use pipeline_core::Result;
use pipeline_core::prelude::*;
use tokio::sync::Mutex as AsyncMutex;

use super::config::Config;
use super::epochs::{Prepared, PreparedPart};
use super::ready::locked;
use super::writer::Outcome;
use super::{TableSink, final_error};
use crate::bigquery::error::{BigQueryError, BigQueryErrorKind};
use crate::bigquery::row::Row;
use crate::bigquery::stream::{AppendStream, StreamKind, WriteStreams};

/// The streams of one writer: one for each table that it keeps open.
pub(super) struct StreamRows {
    kind: StreamKind,
    max_open: usize,
    open: HashMap<String, Open>,
    /// Counts the writes, to find the stream that was not used for the longest time.
    clock: u64,
    /// Streams that are open no more, with the rows that wait in them for the commit of this epoch.
    closed: BTreeMap<String, u64>,
}

struct Open {
    stream: Box<dyn AppendStream>,
    used: u64,
}

impl StreamRows {
    pub fn new(kind: StreamKind, max_open: usize) -> Self {
        StreamRows {
            kind,
            max_open,
            open: HashMap::new(),
            clock: 0,
            closed: BTreeMap::new(),
        }
    }

    pub fn in_epochs(&self) -> bool {
        self.kind == StreamKind::Buffered
    }

    pub async fn append<T>(
        &mut self,
        config: &Config<T>,
        table: &str,
        rows: &[Row],
    ) -> Result<Outcome> {
        self.clock += 1;
        if !self.open.contains_key(table) {
            self.make_room();
            let opened = service(config)?.open(table, self.kind, &config.schema);
            let open = Open {
                stream: opened.await.map_err(final_error)?,
                used: 0,
            };
            self.open.insert(table.to_owned(), open);
        }
        let clock = self.clock;
        let Some(open) = self.open.get_mut(table) else {
            return Ok(Outcome::default());
        };
        open.used = clock;
        let rows: Vec<&Row> = rows.iter().collect();
        let errors = open.stream.append(&rows).await.map_err(final_error)?;
        Ok(Outcome {
            duplicates: 0,
            errors,
        })
    }

    /// Closes the stream that was not used for the longest time, where there are too many.
    fn make_room(&mut self) {
        while self.open.len() >= self.max_open {
            let oldest = self.open.iter().min_by_key(|(_, open)| open.used);
            let Some(table) = oldest.map(|(table, _)| table.clone()) else {
                return;
            };
            if let Some(open) = self.open.remove(&table)
                && self.in_epochs()
            {
                let (name, rows) = (open.stream.name().to_owned(), open.stream.appended());
                self.closed.insert(name, rows);
            }
        }
    }

    /// Says how far each stream has come.
    pub fn prepare(&mut self) -> Result<Vec<u8>> {
        if !self.in_epochs() {
            return Ok(Vec::new());
        }
        let open = self.open.values().map(|open| {
            let stream = &open.stream;
            (stream.name().to_owned(), stream.appended())
        });
        let streams = open.chain(std::mem::take(&mut self.closed));
        let parts = streams.map(|(stream, rows)| PreparedPart::Stream { stream, rows });
        Prepared {
            parts: parts.collect(),
        }
        .encoded()
    }
}

/// A stream that all writers share; none before its first row.
type Pending = Arc<AsyncMutex<Option<Box<dyn AppendStream>>>>;

/// The streams that all writers share, which are committed at the end, and how far others were flushed.
#[derive(Default)]
pub(super) struct Shared {
    pending: Mutex<BTreeMap<String, Pending>>,
    flushed: Mutex<HashMap<String, u64>>,
}

impl Shared {
    pub async fn append<T>(
        &self,
        config: &Config<T>,
        table: &str,
        rows: &[Row],
    ) -> Result<Outcome> {
        let pending = {
            let mut pending = locked(&self.pending);
            Arc::clone(pending.entry(table.to_owned()).or_default())
        };
        let mut pending = pending.lock().await;
        if pending.is_none() {
            let opened = service(config)?.open(table, StreamKind::Pending, &config.schema);
            *pending = Some(opened.await.map_err(final_error)?);
        }
        let Some(stream) = &mut *pending else {
            return Ok(Outcome::default());
        };
        let rows: Vec<&Row> = rows.iter().collect();
        let errors = stream.append(&rows).await.map_err(final_error)?;
        Ok(Outcome {
            duplicates: 0,
            errors,
        })
    }

    /// Commits the streams, one table after the other.
    pub async fn commit<T>(&self, config: &Config<T>) -> Result<()> {
        let pending = std::mem::take(&mut *locked(&self.pending));
        for (table, stream) in pending {
            let stream = stream.lock().await.take();
            if let Some(stream) = stream {
                let committed = service(config)?.commit(stream.name()).await;
                committed.map_err(|error| {
                    let error = final_error(error);
                    Error::connector(format!(
                        "the rows of table {table} are not visible: {error}"
                    ))
                })?;
            }
        }
        Ok(())
    }
}

impl<T: Element> TableSink<T> {
    /// Makes rows visible up to where an epoch has come.
    pub(super) async fn flush(&self, stream: &str, rows: u64) -> Result<()> {
        let flushed = &self.state.streams.flushed;
        if rows == 0
            || locked(flushed)
                .get(stream)
                .is_some_and(|there| *there >= rows)
        {
            return Ok(());
        }
        let service = service(&self.config)?;
        service.flush(stream, rows).await.map_err(final_error)?;
        let mut flushed = locked(flushed);
        // A stream that was closed is never asked for again; it costs a call if it is.
        if flushed.len() > 10_000 {
            flushed.clear();
        }
        flushed.insert(stream.to_owned(), rows);
        Ok(())
    }
}

fn service<T>(config: &Config<T>) -> Result<&dyn WriteStreams> {
    config.service.write_streams().ok_or_else(|| {
        let kind = BigQueryErrorKind::Epochs {
            table: config.one_table().unwrap_or_default().to_owned(),
            reason: "the snapshot has write streams, and this service has none; go on with the one that wrote it"
                .to_owned(),
        };
        Error::connector(BigQueryError::from(kind))
    })
}
