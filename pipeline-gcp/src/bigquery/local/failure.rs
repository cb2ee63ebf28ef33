//! SQLite's errors in the words of the service.

use rusqlite::ErrorCode;

use crate::bigquery::error::{BigQueryError, BigQueryErrorKind};

/// Says what a failure of the storage means for the caller.
pub(super) fn storage(action: impl Into<String>) -> impl FnOnce(rusqlite::Error) -> BigQueryError {
    let action = action.into();
    move |error| {
        let kind = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => BigQueryErrorKind::DiskFull { action },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                BigQueryErrorKind::Busy { action }
            }
            _ => BigQueryErrorKind::Storage {
                action,
                reason: error.to_string(),
            },
        };
        kind.into()
    }
}

/// Says what a failure of a running query means: an error of the data comes with SQLite's general code.
pub(super) fn evaluation(error: rusqlite::Error) -> BigQueryError {
    match error {
        rusqlite::Error::SqliteFailure(failure, Some(reason))
            if failure.code == ErrorCode::Unknown =>
        {
            let reason = if reason == "integer overflow" {
                "INT64 overflow: SUM".to_owned()
            } else {
                reason
            };
            BigQueryErrorKind::Evaluation { reason }.into()
        }
        other => storage("running a query")(other),
    }
}
