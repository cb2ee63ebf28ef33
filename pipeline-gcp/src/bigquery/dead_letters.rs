//! Dead letters in a table, and back from there.

use std::sync::Arc;

use pipeline_core::{BadRecord, Timestamp};

use super::result::ResultColumn;
use super::row::Row;
use super::schema::{Column, ColumnType, Granularity, Partitioning, TableSchema};
use super::service::BigQuery;
use super::sink::TableSink;
use super::source::{TableSource, quoted};
use super::timestamp::{MAX_MICROS, MIN_MICROS};
use super::value::Value;

/// Returns the columns of a table of dead letters.
fn schema() -> TableSchema {
    let required =
        |name, column_type, words: &str| Column::required(name, column_type).description(words);
    TableSchema::new([
        required("original", ColumnType::Bytes, "The record as it came in"),
        Column::nullable("original_text", ColumnType::String)
            .description("The same as text, where it is one"),
        required("reason", ColumnType::String, "The outermost error"),
        Column::repeated("errors", ColumnType::String)
            .description("The error and its sources, outermost first"),
        required("transform", ColumnType::String, "Who refused the record"),
        Column::nullable("event_time", ColumnType::Timestamp)
            .description("The record's event time; NULL where it is no time of a calendar"),
        Column::nullable("ingestion_time", ColumnType::Timestamp)
            .description("When it was refused"),
        Column::nullable("attempts", ColumnType::Int64)
            .description("How often it was tried, where that is known"),
        required("event_millis", ColumnType::Int64, "The event time, exactly"),
        required(
            "ingestion_millis",
            ColumnType::Int64,
            "The time of the refusal, exactly",
        ),
    ])
    .partitioned_by(Partitioning::by("ingestion_time", Granularity::Day))
}

impl TableSink<BadRecord> {
    /// Writes dead letters into a table, which has a row for each: the original bytes, the errors, the transform, event
    /// and ingestion time; divided by the day of ingestion.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use pipeline_core::prelude::*;
    /// # use pipeline_gcp::bigquery::{BigQuery, TableSink};
    /// fn parse(lines: &PCollection<String>, bigquery: Arc<dyn BigQuery>) -> PCollection<i64> {
    ///     let parsed = lines.try_map("Parse", |line| Ok(line.parse::<i64>()?));
    ///     parsed.dead_letters.write("DeadLetters", TableSink::dead_letters(bigquery, "dead_letters"));
    ///     parsed.ok
    /// }
    /// ```
    pub fn dead_letters(service: Arc<dyn BigQuery>, table: impl Into<String>) -> Self {
        TableSink::append(service, table, schema(), row)
    }
}

impl TableSource<BadRecord> {
    /// Reads the dead letters of a table that [`TableSink::dead_letters`] has written, to feed them in again.
    pub fn dead_letters(service: Arc<dyn BigQuery>, table: &str) -> Self {
        let sql = format!(
            "SELECT original, errors, transform, attempts, event_millis, ingestion_millis FROM {}",
            quoted(table)
        );
        TableSource::with_rows(service, sql, record)
            .timestamp_with(|record: &BadRecord| record.event_time)
    }
}

fn row(record: &BadRecord) -> Row {
    let text = std::str::from_utf8(&record.original).ok();
    let errors = record.errors.iter().map(|error| error.as_str().into());
    Row::new(vec![
        Value::Bytes(record.original.to_vec()),
        text.map(str::to_owned).into(),
        record.reason().into(),
        Value::Array(errors.collect()),
        record.transform.as_str().into(),
        calendar(record.event_time),
        calendar(record.ingestion_time),
        i64::from(record.attempts).into(),
        record.event_time.millis().into(),
        record.ingestion_time.millis().into(),
    ])
}

/// Gives a time of the calendar; `MIN`, `MAX` and the end of the global window are none.
fn calendar(time: Timestamp) -> Value {
    let micros = time.millis().checked_mul(1_000);
    let micros = micros.filter(|micros| (MIN_MICROS..=MAX_MICROS).contains(micros));
    micros.map_or(Value::Null, Value::Timestamp)
}

fn record(columns: &[ResultColumn], values: &[Value]) -> Result<BadRecord, String> {
    let value = |name: &str| {
        let at = columns.iter().position(|column| column.name == name);
        at.and_then(|at| values.get(at))
            .ok_or_else(|| format!("the column `{name}` is missing"))
    };
    let wrong =
        |name: &str| format!("the column `{name}` is not as TableSink::dead_letters writes it");
    let original = match value("original")? {
        Value::Bytes(bytes) => bytes.clone(),
        _ => return Err(wrong("original")),
    };
    let errors = match value("errors")? {
        Value::Array(values) => values.iter().map(Value::to_string).collect(),
        Value::Json(text) => serde_json::from_str(text).map_err(|_| wrong("errors"))?,
        _ => return Err(wrong("errors")),
    };
    let transform = match value("transform")? {
        Value::String(text) => text.clone(),
        _ => return Err(wrong("transform")),
    };
    let time = |name: &str| match value(name)? {
        Value::Int64(millis) => Ok(Timestamp::from_millis(*millis)),
        _ => Err(wrong(name)),
    };
    Ok(BadRecord {
        original: original.into(),
        errors,
        transform,
        event_time: time("event_millis")?,
        ingestion_time: time("ingestion_millis")?,
        attempts: match value("attempts")? {
            Value::Int64(attempts) => u32::try_from(*attempts).unwrap_or(u32::MAX),
            // Who else writes such tables may not count.
            _ => 1,
        },
    })
}
