//! The Storage Write API: streams opened, flushed, committed.
//!
//! In a run with snapshots each worker has *one buffered stream for each table* and keeps it: the rows of an epoch are
//! those between two flushes. A pending stream for each epoch would do the same with a call for every epoch and worker
//! that BigQuery counts (`CreateWriteStream` has a quota by the hour, and slows down beyond some 40 a second: Google's
//! "best practices" of this interface); with epochs of 250 ms that is 14,400 an hour and worker.
//!
//! A buffered stream is never finalised: then a flush can be repeated at any time, which is what a resumed run does.
//! Rows behind the last flush are never seen; BigQuery drops them with the stream.
//!
//! A pending stream is shared by all workers of a sink, since Google's client commits one stream at a time: so all rows
//! of a table appear at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use google_cloud_bigquery::error::{AppendError, CommitError, WriterBuilderError};
use google_cloud_bigquery::model::{ArrowRecordBatch, ArrowSchema};
use google_cloud_bigquery::write::format::Arrow;
use google_cloud_bigquery::write::retry_policy::RetryableErrors;
use google_cloud_bigquery::write::stream_type::{BufferedStream, CommittedStream, PendingStream};
use google_cloud_bigquery::write::{
    AppendFuture, BufferedWriter, CommittedWriter, DefaultWriter, PendingWriter,
};
use google_cloud_gax::retry_policy::RetryPolicyExt;
use tokio::runtime::{Handle, Id};

use super::append::Appender;
use super::arrow::Encoder;
use super::client::{CloudBigQuery, failed};
use super::failure::{Failure, Kind};
use super::name::TableName;
use crate::bigquery::error::{BigQueryError, BigQueryErrorKind};
use crate::bigquery::schema::{Column, ColumnType, TableSchema};
use crate::bigquery::stream::{AppendStream, StreamKind, WriteStreams};

/// Keeps what flushes streams, for the runtime it was made in.
#[derive(Default)]
pub(super) struct Cache(Mutex<Flushers>);

#[derive(Default)]
struct Flushers {
    runtime: Option<Id>,
    by_stream: HashMap<String, Arc<BufferedWriter<Arrow>>>,
}

/// The most of them that are kept.
const FLUSHERS: usize = 1_000;

/// A writer of Google's client.
pub(super) enum Writer {
    Buffered(BufferedWriter<Arrow>),
    Pending(PendingWriter<Arrow>),
    Committed(CommittedWriter<Arrow>),
    Default(DefaultWriter<Arrow>),
}

impl Writer {
    /// Sends rows; what is sent first is appended first.
    pub fn send(&self, batch: Bytes, offset: u64) -> AppendFuture {
        let rows = ArrowRecordBatch::new().set_serialized_record_batch(batch);
        let offset = offset.cast_signed();
        match self {
            Writer::Buffered(writer) => writer.append(rows).set_offset(offset).send(),
            Writer::Pending(writer) => writer.append(rows).set_offset(offset).send(),
            Writer::Committed(writer) => writer.append(rows).set_offset(offset).send(),
            Writer::Default(writer) => writer.append(rows).send(),
        }
    }
}

impl CloudBigQuery {
    /// Opens a stream, or connects to one anew; returns its name with the writer.
    pub(super) async fn connect(
        &self,
        table: &TableName,
        kind: StreamKind,
        stream: Option<&str>,
        header: &[u8],
    ) -> Result<(String, Writer), Failure> {
        let resource = &table.resource();
        let call = match stream {
            Some(_) => "GetWriteStream",
            None => "CreateWriteStream",
        };
        let schema = &ArrowSchema::new().set_serialized_schema(header.to_vec());
        self.call(call, move |clients| async move {
            let (write, schema) = (&clients.write, schema.clone());
            macro_rules! open {
                ($kind:ident, $stream:ident) => {{
                    let builder = match stream {
                        Some(stream) => write.attach_to_stream::<$stream>(stream),
                        None => write.create_stream::<$stream>(resource),
                    };
                    let writer = builder.build_arrow(schema).await.map_err(of_builder)?;
                    (writer.write_stream().to_owned(), Writer::$kind(writer))
                }};
            }
            Ok(match kind {
                StreamKind::Buffered => open!(Buffered, BufferedStream),
                StreamKind::Pending => open!(Pending, PendingStream),
                StreamKind::Committed => open!(Committed, CommittedStream),
                StreamKind::Default => {
                    // The attempts are counted here, as for all calls.
                    let writer = write
                        .open_default_stream(resource)
                        .with_retry_policy(RetryableErrors.with_attempt_limit(1))
                        .build_arrow(schema)
                        .await;
                    let name = format!("{resource}/streams/_default");
                    (name, Writer::Default(writer.map_err(of_builder)?))
                }
            })
        })
        .await
    }

    async fn flusher(&self, stream: &str) -> Result<Arc<BufferedWriter<Arrow>>, BigQueryError> {
        let runtime = Handle::current().id();
        {
            let mut flushers = self.flushers();
            if flushers.runtime != Some(runtime) {
                flushers.runtime = Some(runtime);
                flushers.by_stream.clear();
            }
            if let Some(writer) = flushers.by_stream.get(stream) {
                return Ok(Arc::clone(writer));
            }
        }
        // Nothing is appended through it, so any schema will do.
        let any = TableSchema::new([Column::nullable("any", ColumnType::Int64)]);
        let encoder = Encoder::new(&any).map_err(|reason| broken("FlushRows", reason))?;
        let table = table_of(stream)?;
        let connected = self
            .connect(&table, StreamKind::Buffered, Some(stream), &encoder.header)
            .await;
        let (_, writer) =
            connected.map_err(|failure| lost(stream, failed("FlushRows", "", failure)))?;
        let Writer::Buffered(writer) = writer else {
            return Err(broken("FlushRows", "another kind of stream".to_owned()));
        };
        let writer = Arc::new(writer);
        let mut flushers = self.flushers();
        if flushers.by_stream.len() >= FLUSHERS {
            flushers.by_stream.clear();
        }
        flushers
            .by_stream
            .insert(stream.to_owned(), Arc::clone(&writer));
        Ok(writer)
    }

    fn flushers(&self) -> std::sync::MutexGuard<'_, Flushers> {
        let cache = &self.inner.streams.0;
        cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl WriteStreams for CloudBigQuery {
    async fn open(
        &self,
        table: &str,
        kind: StreamKind,
        schema: &TableSchema,
    ) -> Result<Box<dyn AppendStream>, BigQueryError> {
        let name = self.table(table)?;
        Ok(Box::new(Appender::open(self, name, kind, schema).await?))
    }

    async fn flush(&self, stream: &str, rows: u64) -> Result<(), BigQueryError> {
        let Some(last) = rows.checked_sub(1) else {
            return Ok(());
        };
        let writer = &self.flusher(stream).await?;
        let flushed = self.call("FlushRows", move |_| async move {
            // The offset is that of the last row, not the number of rows.
            let flushed = writer.flush(last.cast_signed()).await;
            flushed
                .map(|_| ())
                .map_err(|error| Failure::of_client(&error))
        });
        match flushed.await {
            Ok(()) => Ok(()),
            // It was flushed before, up to there or further.
            Err(failure) if failure.kind == Kind::AlreadyExists => Ok(()),
            Err(failure) => Err(lost(stream, failed("FlushRows", "", failure))),
        }
    }

    async fn commit(&self, stream: &str) -> Result<(), BigQueryError> {
        let table = table_of(stream)?;
        let call = "BatchCommitWriteStreams";
        let any = TableSchema::new([Column::nullable("any", ColumnType::Int64)]);
        let encoder = Encoder::new(&any).map_err(|reason| broken(call, reason))?;
        let connected = self
            .connect(&table, StreamKind::Pending, Some(stream), &encoder.header)
            .await;
        let (_, writer) = connected.map_err(|failure| failed(call, &table.to_string(), failure))?;
        let Writer::Pending(writer) = writer else {
            return Err(broken(call, "another kind of stream".to_owned()));
        };
        let writer = &writer;
        let committed = self.call(call, move |_| async move {
            match writer.finalize().await {
                Ok(_) => {}
                Err(error) => {
                    let failure = Failure::of_client(&error);
                    // A stream that is committed cannot be finalised again; the commit says so.
                    let over = [Kind::Invalid, Kind::Precondition, Kind::AlreadyExists];
                    if !over.contains(&failure.kind) {
                        return Err(failure);
                    }
                }
            }
            match writer.commit().await {
                Ok(_) => Ok(()),
                Err(CommitError::Rpc { source, .. }) => {
                    let failure = Failure::of_client(&source);
                    match already_committed(&failure.reason) {
                        true => Ok(()),
                        false => Err(failure),
                    }
                }
                Err(CommitError::FailedTransaction { stream_errors, .. }) => {
                    let said: Vec<String> = stream_errors
                        .iter()
                        .map(|error| format!("{:?}: {}", error.code, error.error_message))
                        .collect();
                    let said = said.join("; ");
                    match already_committed(&said) {
                        true => Ok(()),
                        false => Err(Failure::new(Kind::Permanent, said)),
                    }
                }
                Err(other) => Err(Failure::new(Kind::Permanent, other.to_string())),
            }
        });
        let committed = committed.await;
        committed.map_err(|failure| failed(call, &table.to_string(), failure))
    }
}

fn already_committed(words: &str) -> bool {
    let words = words.to_ascii_lowercase().replace('_', "");
    words.contains("streamalreadycommitted") || words.contains("already committed")
}

/// Reads why a writer could not be made.
fn of_builder(error: WriterBuilderError) -> Failure {
    match error {
        WriterBuilderError::Rpc { source, .. } => Failure::of_client(&source),
        other => Failure::new(Kind::Permanent, other.to_string()),
    }
}

/// Reads why rows were not appended; the rows at fault are looked at before.
pub(super) fn of_append(error: &AppendError) -> Failure {
    match error {
        AppendError::Rpc { source, .. } => Failure::of_client(source),
        AppendError::UnexpectedEndOfStream => {
            Failure::new(Kind::Transient, "the connection has ended")
        }
        other => Failure::new(Kind::Permanent, other.to_string()),
    }
}

fn table_of(stream: &str) -> Result<TableName, BigQueryError> {
    match stream.split('/').collect::<Vec<_>>()[..] {
        [
            "projects",
            project,
            "datasets",
            dataset,
            "tables",
            table,
            "streams",
            _,
        ] => Ok(TableName {
            project: project.to_owned(),
            dataset: dataset.to_owned(),
            table: table.to_owned(),
        }),
        _ => Err(broken(
            "a write stream",
            format!("`{stream}` is no name of one"),
        )),
    }
}

pub(super) fn broken(call: &str, reason: String) -> BigQueryError {
    BigQueryErrorKind::Call {
        call: call.to_owned(),
        reason,
        transient: false,
    }
    .into()
}

/// Says what it means that rows cannot be made visible.
fn lost(stream: &str, error: BigQueryError) -> BigQueryError {
    if error.is_transient() {
        return error;
    }
    let table = table_of(stream).map_or_else(|_| stream.to_owned(), |table| table.to_string());
    BigQueryErrorKind::Epochs {
        table,
        reason: format!(
            "the rows of the last epoch cannot be made visible: {error}; they wait in {stream}. If the table was \
             created anew, or the run was stopped for longer than BigQuery keeps streams, begin anew with another \
             folder for snapshots"
        ),
    }
    .into()
}
