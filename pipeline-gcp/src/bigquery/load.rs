//! Load jobs: many rows in one job, all of them or none.

use std::path::Path;

use async_trait::async_trait;

use super::error::BigQueryError;
use super::schema::TableSchema;
use super::table_options::WriteDisposition;

/// Describes a load job.
#[derive(Clone, Debug)]
pub struct LoadJob {
    /// The table.
    pub table: String,
    /// Its name: a job of a name that is there already does nothing.
    pub job_id: String,
    /// The columns.
    pub schema: TableSchema,
    /// What becomes of the rows that the table has.
    pub write: WriteDisposition,
}

/// Runs load jobs.
#[async_trait]
pub trait LoadJobs: Send + Sync {
    /// Loads the rows of a file of newline-delimited JSON, and waits for the end of the job; returns the number of rows.
    ///
    /// The call can be repeated: a job of that name that has ended well is not run again.
    ///
    /// # Errors
    /// The job's own words; nothing was written then.
    async fn load(&self, job: &LoadJob, rows: &Path) -> Result<u64, BigQueryError>;
}
