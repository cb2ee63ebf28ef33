//! Opening a warehouse, and the service trait on it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OpenFlags};

use super::failure::storage;
use super::journal::{Journal, JournalEntry};
use super::layout;
use crate::bigquery::error::{BigQueryError, BigQueryErrorKind};
use crate::bigquery::googlesql::runtime;
use crate::bigquery::result::QueryResult;
use crate::bigquery::row::Row;
use crate::bigquery::schema::TableSchema;
use crate::bigquery::service::{AppendOutcome, BigQuery, EpochCommit, EpochMark, UpsertOutcome};
use crate::bigquery::table_options::TableOptions;

/// How long a call waits for a lock that a foreign tool holds on the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Holds tables in a folder and answers GoogleSQL: BigQuery's stand-in, without a network.
///
/// ```
/// # use pipeline_gcp::bigquery::{BigQuery, Column, ColumnType, LocalWarehouse, Row, TableSchema, Value};
/// # let folder = std::env::temp_dir().join(format!("warehouse-doc-{}", std::process::id()));
/// # pollster::block_on(async {
/// let warehouse = LocalWarehouse::open(&folder)?;
/// let schema = TableSchema::new([Column::required("city", ColumnType::String)]);
/// warehouse.create_table_if_needed("orders", &schema).await?;
/// let rows = vec![Row::new(vec!["IST".into()]).with_id("1"), Row::new(vec!["IST".into()]).with_id("1")];
/// let outcome = warehouse.append_rows("orders", rows).await?;
/// assert_eq!((outcome.inserted, outcome.duplicates), (1, 1));
/// let result = warehouse.query("SELECT city, COUNT(*) AS n FROM orders GROUP BY city").await?;
/// assert_eq!(result.rows, [[Value::from("IST"), Value::from(1)]]);
/// # Ok::<(), pipeline_gcp::bigquery::BigQueryError>(()) }).unwrap();
/// # std::fs::remove_dir_all(folder).unwrap();
/// ```
pub struct LocalWarehouse {
    dir: PathBuf,
    /// Before the writer, since fields are dropped in their order: the last connection to close moves SQLite's log into
    /// the file, and one that only reads cannot.
    reader: Mutex<Connection>,
    writer: Option<Mutex<Connection>>,
    pub(super) journal: Option<Journal>,
    /// Held for its operating-system lock.
    _lock: Option<File>,
}

impl LocalWarehouse {
    /// Opens the warehouse of a folder for writing and reading; folder and warehouse are made if they are not there.
    ///
    /// # Errors
    /// Refuses a folder whose warehouse is open for writing, in this process or another
    /// ([`BigQueryErrorKind::AlreadyOpen`]), and one of another format.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, BigQueryError> {
        let dir = dir.as_ref();
        std::fs::create_dir_all(dir).map_err(|error| BigQueryErrorKind::Storage {
            action: format!("making the folder {}", dir.display()),
            reason: error.to_string(),
        })?;
        let lock = super::lock::acquire(dir)?;
        let path = dir.join("warehouse.sqlite");
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let action = || format!("opening {}", path.display());
        let mut writer = Connection::open_with_flags(&path, flags).map_err(storage(action()))?;
        prepare_writer(&mut writer, dir)?;
        let reader = open_reader(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            writer: Some(Mutex::new(writer)),
            reader: Mutex::new(reader),
            journal: None,
            _lock: Some(lock),
        })
    }

    /// Opens the warehouse of a folder for reading only; somebody else may be writing to it.
    ///
    /// Each query sees what was committed when it began. The folder has to be writable, because SQLite keeps the
    /// index of its log there.
    ///
    /// # Errors
    /// Refuses a folder without a warehouse; writing calls are refused with [`BigQueryErrorKind::ReadOnly`].
    pub fn open_read_only(dir: impl AsRef<Path>) -> Result<Self, BigQueryError> {
        let dir = dir.as_ref();
        let reader = open_reader(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            writer: None,
            reader: Mutex::new(reader),
            journal: None,
            _lock: None,
        })
    }

    /// Lets a listener hear of every committed append, after its commit and before the call returns.
    ///
    /// Entries come in the order of the commits. The listener must not call the warehouse.
    #[must_use]
    pub fn with_journal(mut self, listener: Arc<dyn Fn(JournalEntry) + Send + Sync>) -> Self {
        self.journal = Some(listener);
        self
    }

    /// Returns the folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Takes the writing connection. A panic elsewhere rolled its transaction back, so it is good to use.
    pub(super) fn writer(&self) -> Result<MutexGuard<'_, Connection>, BigQueryError> {
        let writer = self.writer.as_ref().ok_or(BigQueryErrorKind::ReadOnly)?;
        Ok(writer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the reading connection.
    pub(super) fn reader(&self) -> MutexGuard<'_, Connection> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl BigQuery for LocalWarehouse {
    async fn create_table_if_needed(
        &self,
        table: &str,
        schema: &TableSchema,
    ) -> Result<(), BigQueryError> {
        self.create_table(table, schema)
    }

    async fn append_rows(
        &self,
        table: &str,
        rows: Vec<Row>,
    ) -> Result<AppendOutcome, BigQueryError> {
        self.append(table, &rows)
    }

    async fn upsert_rows(
        &self,
        table: &str,
        rows: Vec<Row>,
    ) -> Result<UpsertOutcome, BigQueryError> {
        self.upsert(table, &rows)
    }

    fn commits_epochs(&self) -> bool {
        true
    }

    async fn begin_epochs(&self, table: &str, owner: &str) -> Result<u64, BigQueryError> {
        self.begin_life(table, owner)
    }

    async fn epoch_mark(
        &self,
        table: &str,
        owner: &str,
    ) -> Result<Option<EpochMark>, BigQueryError> {
        self.mark(table, owner)
    }

    async fn commit_epoch(&self, commit: &EpochCommit) -> Result<(), BigQueryError> {
        self.commit_rows(commit)
    }

    async fn ready_table(
        &self,
        table: &str,
        schema: &TableSchema,
        options: TableOptions,
    ) -> Result<(), BigQueryError> {
        self.ready(table, schema, options)
    }

    async fn table_schema(&self, table: &str) -> Result<Option<TableSchema>, BigQueryError> {
        self.schema_of(table)
    }

    async fn create_view(&self, sql: &str) -> Result<(), BigQueryError> {
        self.store_view(sql)
    }

    async fn query(&self, sql: &str) -> Result<QueryResult, BigQueryError> {
        self.run_query(sql)
    }
}

fn prepare_writer(writer: &mut Connection, dir: &Path) -> Result<(), BigQueryError> {
    let action = || format!("preparing the warehouse in {}", dir.display());
    let version = layout_version(writer, dir)?;
    (|| {
        writer.busy_timeout(BUSY_TIMEOUT)?;
        writer.pragma_update(None, "journal_mode", "WAL")?;
        writer.pragma_update(None, "synchronous", "FULL")?;
        if version != Layout::Current {
            let transaction = writer.transaction()?;
            match version {
                Layout::First => layout::upgrade(&transaction)?,
                _ => layout::initialise(&transaction)?,
            }
            transaction.pragma_update(None, "application_id", layout::APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", layout::LAYOUT_VERSION)?;
            transaction.commit()?;
        }
        Ok(())
    })()
    .map_err(storage(action()))
}

fn open_reader(dir: &Path) -> Result<Connection, BigQueryError> {
    let path = dir.join("warehouse.sqlite");
    let not_there = |reason: &str| BigQueryErrorKind::NotAWarehouse {
        dir: dir.to_owned(),
        reason: reason.to_owned(),
    };
    if !path.is_file() {
        return Err(not_there("there is no warehouse.sqlite in it").into());
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let action = || format!("opening {} for reading", path.display());
    let reader = Connection::open_with_flags(&path, flags).map_err(storage(action()))?;
    reader
        .busy_timeout(BUSY_TIMEOUT)
        .and_then(|()| runtime::register(&reader))
        .map_err(storage(action()))?;
    match layout_version(&reader, dir)? {
        Layout::Current | Layout::First => Ok(reader),
        Layout::Empty => Err(not_there("its warehouse.sqlite is empty").into()),
    }
}

#[derive(PartialEq)]
enum Layout {
    Empty,
    /// Version 1, which a reader can do with.
    First,
    Current,
}

/// Tells a new file from a warehouse, and refuses what is neither.
fn layout_version(connection: &Connection, dir: &Path) -> Result<Layout, BigQueryError> {
    let pragma = |name: &str| connection.pragma_query_value::<i32, _>(None, name, |row| row.get(0));
    let refuse = |reason: String| {
        Err(BigQueryErrorKind::NotAWarehouse {
            dir: dir.to_owned(),
            reason,
        }
        .into())
    };
    match (
        pragma("application_id"),
        pragma("user_version"),
        pragma("schema_version"),
    ) {
        (Ok(0), Ok(0), Ok(0)) => Ok(Layout::Empty),
        (Ok(layout::APPLICATION_ID), Ok(layout::LAYOUT_VERSION), Ok(_)) => Ok(Layout::Current),
        (Ok(layout::APPLICATION_ID), Ok(1), Ok(_)) => Ok(Layout::First),
        (Ok(layout::APPLICATION_ID), Ok(other), Ok(_)) => {
            let known = layout::LAYOUT_VERSION;
            refuse(format!(
                "its layout is version {other}, this program knows version {known}"
            ))
        }
        (Ok(_), Ok(_), Ok(_)) => {
            refuse("its warehouse.sqlite is another program's file".to_owned())
        }
        (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => {
            refuse(format!("its warehouse.sqlite cannot be read: {error}"))
        }
    }
}
