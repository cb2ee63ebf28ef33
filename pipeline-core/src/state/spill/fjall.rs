//! The store, by fjall.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::compaction::Leveled;
use fjall::config::{BlockSizePolicy, PartitioningPolicy, PinningPolicy};
use fjall::{Database, Iter, Keyspace, KeyspaceCreateOptions, Slice};

use super::{Form, Put};
use crate::error::{Error, Result};

/// What is read.
pub(crate) type Bytes = Slice;

/// The memory in which blocks are kept that were read. What is read is read once.
const CACHE_BYTES: u64 = 8 << 20;

/// The bytes of a block that is read in order.
const BLOCK_BYTES: u32 = 32 << 10;

/// The bytes of a block of small records that are looked up.
const INDEX_BLOCK_BYTES: u32 = 4 << 10;

/// The bytes of single writes that are gathered in memory.
const MEMTABLE_BYTES: u64 = 4 << 20;

/// The number of runs beside each other from which they are merged. A run is as large as an
/// operator's share: merging them earlier would write everything again, to spare a scan of a window
/// some comparisons.
const RUNS: u8 = 64;

/// The number of runs from which they are merged where records are looked up. From 20 on, the
/// store slows single writes down until they are.
const QUEUE_RUNS: u8 = 8;

pub(super) struct Store {
    // Before the folder: it must be closed when that is removed.
    database: Database,
    folder: Arc<Folder>,
}

/// Removes the folder when nobody uses it any more.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is removed by the next start.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Store {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let failed = |error| Error::io(format!("emptying {}", folder.display()), error);
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            _ => fs::create_dir_all(folder).map_err(failed)?,
        }
        let folder = Folder(folder.to_owned());
        let database = Database::builder(&folder.0)
            .cache_size(CACHE_BYTES)
            .worker_threads(1)
            .manual_journal_persist(true)
            .open();
        let failed = |error| wrong("opening", &folder.0, error);
        Ok(Store {
            database: database.map_err(failed)?,
            folder: Arc::new(folder),
        })
    }

    pub(super) fn area(&self, node: usize, worker: usize, form: Form) -> Result<Area> {
        let folder = Arc::clone(&self.folder);
        let name = format!("{node}-{worker}-{}", form.name());
        let keyspace = self.database.keyspace(&name, || options(form));
        Ok(Area {
            keyspace: keyspace.map_err(|error| wrong("opening", &folder.0, error))?,
            folder,
        })
    }
}

fn options(form: Form) -> KeyspaceCreateOptions {
    let options = KeyspaceCreateOptions::default()
        .manual_journal_persist(true)
        .max_memtable_size(MEMTABLE_BYTES)
        .filter_block_pinning_policy(PinningPolicy::all(false));
    let merged_from = |runs| Arc::new(Leveled::default().with_l0_threshold(runs));
    match form {
        Form::Runs => options
            // There are no point reads: no filters are made.
            .expect_point_read_hits(true)
            .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
            .compaction_strategy(merged_from(RUNS)),
        Form::Queue => in_parts(options)
            .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
            .compaction_strategy(merged_from(QUEUE_RUNS)),
        Form::Index => in_parts(options)
            .data_block_size_policy(BlockSizePolicy::all(INDEX_BLOCK_BYTES))
            .compaction_strategy(merged_from(QUEUE_RUNS)),
    }
}

/// Reads filters and indices of tables in parts: whole ones could be larger than the cache.
fn in_parts(options: KeyspaceCreateOptions) -> KeyspaceCreateOptions {
    options
        .filter_block_partitioning_policy(PartitioningPolicy::all(true))
        .index_block_partitioning_policy(PartitioningPolicy::all(true))
}

fn wrong(doing: &str, folder: &Path, error: fjall::Error) -> Error {
    Error::connector(format!(
        "{doing} the store of what is beyond memory_limit in {}: {error}",
        folder.display()
    ))
}

/// The records of one operator on one worker.
pub(crate) struct Area {
    keyspace: Keyspace,
    folder: Arc<Folder>,
}

impl Area {
    /// Writes a run of records: `fill` hands over their keys and values, in the order of the keys.
    /// They are there when it returns.
    pub(crate) fn write(&self, fill: impl FnOnce(&mut Put<'_>) -> Result<()>) -> Result<()> {
        let failed = |error| wrong("writing", &self.folder.0, error);
        let mut run = self.keyspace.start_ingestion().map_err(failed)?;
        fill(&mut |key, value| run.write(key, value).map_err(failed))?;
        run.finish().map_err(failed)
    }

    /// Reads the records whose keys begin with `prefix`, as they are now, in the keys' order.
    pub(crate) fn scan(&self, prefix: &[u8]) -> Scan {
        Scan {
            records: self.keyspace.prefix(prefix),
            folder: Arc::clone(&self.folder),
        }
    }

    /// Forgets the records whose keys begin with `prefix`, and of which `is_over` holds.
    pub(crate) fn forget(&self, prefix: &[u8], is_over: impl Fn(&[u8]) -> bool) -> Result<()> {
        let failed = |error| wrong("writing", &self.folder.0, error);
        let mut run = self.keyspace.start_ingestion().map_err(failed)?;
        for record in self.keyspace.prefix(prefix) {
            let key = record.key().map_err(failed)?;
            if is_over(&key) {
                run.write_tombstone(key).map_err(failed)?;
            }
        }
        run.finish().map_err(failed)
    }

    /// Reads the records from `first` on, as they are now, in the keys' order.
    pub(crate) fn scan_from(&self, first: &[u8]) -> Scan {
        Scan {
            records: self.keyspace.range(first..),
            folder: Arc::clone(&self.folder),
        }
    }

    /// Looks a record up.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let found = self.keyspace.get(key);
        found.map_err(|error| wrong("reading", &self.folder.0, error))
    }

    /// Writes one record.
    pub(crate) fn insert(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let inserted = self.keyspace.insert(key, value);
        inserted.map_err(|error| wrong("writing", &self.folder.0, error))
    }

    /// Forgets one record.
    pub(crate) fn remove(&self, key: &[u8]) -> Result<()> {
        let removed = self.keyspace.remove(key);
        removed.map_err(|error| wrong("writing", &self.folder.0, error))
    }

    /// Forgets all records.
    pub(crate) fn clear(&self) -> Result<()> {
        let cleared = self.keyspace.clear();
        cleared.map_err(|error| wrong("clearing", &self.folder.0, error))
    }
}

/// Records as they were when it began: keys and values.
pub(crate) struct Scan {
    records: Iter,
    folder: Arc<Folder>,
}

impl Iterator for Scan {
    type Item = Result<(Bytes, Bytes)>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.records.next()?;
        let record = record.into_inner();
        Some(record.map_err(|error| wrong("reading", &self.folder.0, error)))
    }
}
