//! The error of every BigQuery call.

use std::path::PathBuf;

use crate::bigquery::googlesql::SqlError;

/// Says why a call to BigQuery or to the embedded warehouse failed, and what to do about it.
///
/// A failed call has written nothing. Rows that fail on their own are not errors of the call: they are
/// reported in [`AppendOutcome::errors`](crate::bigquery::AppendOutcome).
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct BigQueryError(Box<BigQueryErrorKind>);

/// Lists the reasons a call can fail for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BigQueryErrorKind {
    /// No table of that name was created.
    #[error("table `{table}` does not exist; create it first")]
    TableNotFound {
        /// Name as given.
        table: String,
    },
    /// A table or view of that name is there, of another kind or in another spelling.
    #[error("`{name}` cannot be created: {reason}")]
    NameTaken {
        /// Name as given.
        name: String,
        /// What is there already.
        reason: String,
    },
    /// A table, view or column name, or a schema as a whole, breaks a rule.
    #[error("invalid schema or name: {reason}")]
    InvalidSchema {
        /// The rule and who breaks it.
        reason: String,
    },
    /// The table exists with another schema.
    #[error(
        "table `{table}` exists with another schema: {difference}; drop the warehouse, use another one, or keep the schema"
    )]
    SchemaMismatch {
        /// Name of the table.
        table: String,
        /// The first difference, naming the column.
        difference: String,
    },
    /// The call does not fit the table: an append to a keyed table, or an upsert to one without a key.
    #[error("table `{table}`: {reason}")]
    WrongTableKind {
        /// Name of the table.
        table: String,
        /// What to call instead.
        reason: String,
    },
    /// Another process, or another handle in this one, is writing to the warehouse.
    #[error(
        "warehouse {} is being written by another process{holder}; stop it, choose another folder, or open read-only",
        .dir.display()
    )]
    AlreadyOpen {
        /// Folder of the warehouse.
        dir: PathBuf,
        /// ` (pid N)` where known, otherwise empty.
        holder: String,
    },
    /// The service writes no epochs, or those of a table are not what a snapshot says.
    #[error("the epochs of table `{table}`: {reason}")]
    Epochs {
        /// Name of the table.
        table: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The warehouse was opened for reading only.
    #[error("the warehouse was opened read-only; open it with LocalWarehouse::open to write")]
    ReadOnly,
    /// The folder holds no warehouse, or one of another format.
    #[error("{} is no warehouse that can be opened: {reason}", .dir.display())]
    NotAWarehouse {
        /// Folder as given.
        dir: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The disk is full; nothing of the call was written.
    #[error(
        "no room left on the disk of the warehouse while {action}; nothing of this call was written: free room and repeat it"
    )]
    DiskFull {
        /// What was being done.
        action: String,
    },
    /// The storage is held by somebody else for the moment; the same call may succeed later.
    #[error("the warehouse is busy while {action}; nothing of this call was done: repeat it")]
    Busy {
        /// What was being done.
        action: String,
    },
    /// The storage failed in another way.
    #[error("the warehouse failed while {action}: {reason}")]
    Storage {
        /// What was being done.
        action: String,
        /// The storage engine's or operating system's words.
        reason: String,
    },
    /// The GoogleSQL text is wrong, or outside what the embedded warehouse supports.
    #[error("GoogleSQL: {0}")]
    Sql(SqlError),
    /// A call to Google's service failed, after the attempts that made sense.
    #[error("{call}: {reason}")]
    Call {
        /// The call and its object.
        call: String,
        /// The service's words, or what was waited for in vain.
        reason: String,
        /// The same call may succeed later.
        transient: bool,
    },
    /// The query is right but failed on the data: overflow, division by zero, a failed cast.
    #[error("query failed: {reason}")]
    Evaluation {
        /// What failed, with the values.
        reason: String,
    },
}

impl BigQueryError {
    /// Returns the reason, for code that decides by it.
    pub fn kind(&self) -> &BigQueryErrorKind {
        &self.0
    }

    /// Tells whether the call can be made again at once: nobody has tried it again yet.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(*self.0, BigQueryErrorKind::Busy { .. })
    }

    /// Tells whether the same call may succeed later without any change (retry), or not (dead letter, or end).
    pub fn is_transient(&self) -> bool {
        matches!(
            *self.0,
            BigQueryErrorKind::Busy { .. }
                | BigQueryErrorKind::Call {
                    transient: true,
                    ..
                }
        )
    }
}

impl From<BigQueryErrorKind> for BigQueryError {
    fn from(kind: BigQueryErrorKind) -> Self {
        Self(Box::new(kind))
    }
}

impl From<SqlError> for BigQueryError {
    fn from(error: SqlError) -> Self {
        BigQueryErrorKind::Sql(error).into()
    }
}
