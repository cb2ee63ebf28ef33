//! How rows get into BigQuery.

/// Says how rows get into BigQuery. The embedded warehouse has one way, and keeps what [`StorageWrite`] promises.
///
/// [`StorageWrite`]: Self::StorageWrite
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteMethod {
    /// The Storage Write API: in a run with snapshots buffered streams, whose rows become visible with their epoch, each
    /// once; in other runs committed streams with offsets, each row once, visible as soon as it is written.
    #[default]
    StorageWrite,
    /// Pending streams of the Storage Write API: all rows of a table become visible together, each once, when the run
    /// has succeeded, and none if it has not. Not in runs with snapshots, which have no end to wait for.
    StorageWriteAtEnd,
    /// The default stream of the Storage Write API: at least once, visible as soon as it is written; a crash, and an
    /// answer that is lost, repeat rows.
    StorageWriteAtLeastOnce,
    /// `tabledata.insertAll`: at least once, visible as soon as it is written. BigQuery drops a row of the same
    /// [id](crate::bigquery::Row::with_id) that comes again within about a minute, as far as it can.
    InsertAll,
    /// Load jobs: in a run with snapshots one for each table and epoch that has rows, in other runs one for each table at
    /// the end; all rows of a job or none, each once. BigQuery takes 1,500 jobs a day and table: for batches, or long
    /// epochs. A row of a wrong value fails its job and is not refused by itself, as far as the schema does not show
    /// it.
    LoadJob,
}
