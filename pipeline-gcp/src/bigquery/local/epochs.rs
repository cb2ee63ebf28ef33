//! What writes by epochs: the rows of an epoch and the mark that it is there, in one transaction.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::failure::storage;
use super::layout::{EPOCHS, plain_name};
use super::warehouse::LocalWarehouse;
use super::write::{begin, find_outdated, insert, replace, table_schema};
use crate::bigquery::error::{BigQueryError, BigQueryErrorKind};
use crate::bigquery::schema::TableSchema;
use crate::bigquery::service::{AppendOutcome, EpochCommit, EpochMark, RowError};

impl LocalWarehouse {
    pub(super) fn begin_life(&self, table: &str, owner: &str) -> Result<u64, BigQueryError> {
        let table = plain_name(table)?;
        let action = || format!("beginning the epochs of table `{table}`");
        let mut connection = self.writer()?;
        let transaction = begin(&mut connection, &action())?;
        let life = find(&transaction, table, owner)?.map_or(1, |mark| mark.life + 1);
        let mark = EpochMark {
            life,
            epoch: 0,
            bare_epoch: 0,
        };
        set(&transaction, table, owner, mark)?;
        transaction.commit().map_err(storage(action()))?;
        Ok(life)
    }

    pub(super) fn mark(
        &self,
        table: &str,
        owner: &str,
    ) -> Result<Option<EpochMark>, BigQueryError> {
        find(&*self.writer()?, plain_name(table)?, owner)
    }

    pub(super) fn commit_rows(&self, commit: &EpochCommit) -> Result<(), BigQueryError> {
        let table = plain_name(&commit.table)?;
        let action = || format!("committing an epoch of table `{table}`");
        let mut connection = self.writer()?;
        let transaction = begin(&mut connection, &action())?;
        let mark = find(&transaction, table, &commit.owner)?;
        let Some(mark) = mark.filter(|mark| mark.life == commit.life) else {
            let reason =
                "somebody else has begun to write them under the same owner; if these are \
                          two sinks of a job, give one of them another owner"
                    .to_owned();
            return Err(refused(table, reason));
        };
        let schema = table_schema(&transaction, table)?;
        let rows = &commit.rows;
        if commit.epoch <= mark.epoch {
            return match missing(&transaction, table, &schema, mark, commit)? {
                None => Ok(()),
                Some(row) => Err(refused(
                    table,
                    format!(
                        "its epoch {} was committed, and without the row {row}: somebody else has gone on from a copy \
                         of the snapshots, or rows were deleted since; begin anew with another folder for snapshots",
                        commit.epoch
                    ),
                )),
            };
        }
        let mut bare_epoch = mark.bare_epoch;
        let mut appended = None;
        let errors: Vec<RowError> = match &schema.upsert_key {
            Some(key) => replace(&transaction, table, &schema, key, rows)?.errors,
            None => {
                if rows.iter().any(|row| row.row_id.is_none()) {
                    bare_epoch = commit.epoch;
                }
                let (outcome, row_ids) = insert(&transaction, table, &schema, rows)?;
                let errors = outcome.errors.clone();
                appended = Some((outcome, row_ids));
                errors
            }
        };
        if let Some(RowError { index, reason }) = errors.first() {
            let reason = format!(
                "row {index} of epoch {} does not fit: {reason}",
                commit.epoch
            );
            return Err(refused(table, reason));
        }
        let mark = EpochMark {
            epoch: commit.epoch,
            bare_epoch,
            ..mark
        };
        set(&transaction, table, &commit.owner, mark)?;
        transaction.commit().map_err(storage(action()))?;
        let (outcome, row_ids): (AppendOutcome, _) = appended.unwrap_or_default();
        self.tell_journal(table, &outcome, row_ids);
        Ok(())
    }
}

/// Names a row of an epoch that was committed before and is not in the table, as far as that can be told: of rows
/// without ids, only whether any came with that epoch or a later one.
fn missing(
    transaction: &Transaction<'_>,
    table: &str,
    schema: &TableSchema,
    mark: EpochMark,
    commit: &EpochCommit,
) -> Result<Option<String>, BigQueryError> {
    if let Some(key) = &schema.upsert_key {
        return find_outdated(transaction, table, schema, key, &commit.rows);
    }
    let (bare, rows): (Vec<_>, Vec<_>) = commit
        .rows
        .iter()
        .cloned()
        .partition(|row| row.row_id.is_none());
    if !bare.is_empty() && mark.bare_epoch < commit.epoch {
        return Ok(Some("without an id".to_owned()));
    }
    // The transaction is dropped without a commit: what this inserts goes with it.
    let (_, new) = insert(transaction, table, schema, &rows)?;
    Ok(new.first().map(|id| format!("with the id `{id}`")))
}

fn find(
    connection: &Connection,
    table: &str,
    owner: &str,
) -> Result<Option<EpochMark>, BigQueryError> {
    connection
        .prepare_cached(&format!(
            "SELECT life, epoch, bare FROM {EPOCHS} WHERE name = ?1 AND owner = ?2"
        ))
        .and_then(|mut statement| {
            let row = |row: &rusqlite::Row<'_>| {
                Ok(EpochMark {
                    life: row.get::<_, i64>(0)?.cast_unsigned(),
                    epoch: row.get::<_, i64>(1)?.cast_unsigned(),
                    bare_epoch: row.get::<_, i64>(2)?.cast_unsigned(),
                })
            };
            statement.query_row([table, owner], row).optional()
        })
        .map_err(storage(format!("reading the epochs of table `{table}`")))
}

fn set(
    connection: &Connection,
    table: &str,
    owner: &str,
    mark: EpochMark,
) -> Result<(), BigQueryError> {
    let [life, epoch, bare] =
        [mark.life, mark.epoch, mark.bare_epoch].map(|number| number.cast_signed());
    connection
        .prepare_cached(&format!(
            "INSERT OR REPLACE INTO {EPOCHS} (name, owner, life, epoch, bare) VALUES (?1, ?2, ?3, ?4, ?5)"
        ))
        .and_then(|mut statement| statement.execute(params![table, owner, life, epoch, bare]))
        .map(|_| ())
        .map_err(storage(format!("noting an epoch of table `{table}`")))
}

fn refused(table: &str, reason: String) -> BigQueryError {
    BigQueryErrorKind::Epochs {
        table: table.to_owned(),
        reason,
    }
    .into()
}
