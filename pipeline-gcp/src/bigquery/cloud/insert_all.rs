//! `tabledata.insertAll`: rows as JSON, each with its own error.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderValue, header};
use serde_json::{Map, Value as Json, json};

use super::client::{CloudBigQuery, failed};
use super::failure::{Failure, Kind};
use crate::bigquery::error::BigQueryError;
use crate::bigquery::row::Row;
use crate::bigquery::schema::{Column, TableSchema};
use crate::bigquery::service::{AppendOutcome, RowError};
use crate::bigquery::value::Value;

/// The greatest request: BigQuery takes 10 MB; some room for the names of columns is left.
const REQUEST_BYTES: usize = 8 << 20;
/// The greatest number of rows of a request; BigQuery takes 50,000 and recommends 500.
const REQUEST_ROWS: usize = 500;
/// How often a row is tried that BigQuery does not find wrong and does not write either.
const ROW_ATTEMPTS: u32 = 5;

impl CloudBigQuery {
    /// Inserts rows; those that fail for good are reported, each in BigQuery's words.
    ///
    /// A row's id is its `insertId`: BigQuery drops one that came within about a minute, as far as it can. How many
    /// it dropped it does not say, so duplicates are not counted.
    pub(super) async fn insert_all(
        &self,
        table: &str,
        schema: &TableSchema,
        rows: &[&Row],
    ) -> Result<AppendOutcome, BigQueryError> {
        let name = self.table(table)?;
        let path = format!(
            "/bigquery/v2/projects/{}/datasets/{}/tables/{}/insertAll",
            name.project, name.dataset, name.table
        );
        let mut errors = BTreeMap::new();
        let mut waiting = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            match row.validate(schema) {
                Ok(()) => waiting.push(index),
                Err(reason) => {
                    errors.insert(index, reason);
                }
            }
        }
        let mut patience = self.patience();
        for attempt in 1.. {
            let mut again = BTreeMap::new();
            for chunk in chunks(&waiting, rows) {
                let body = body(chunk, rows, schema);
                let failures = self.insert(&path, &body).await;
                let failures = failures
                    .map_err(|failure| failed("tabledata.insertAll", &name.to_string(), failure))?;
                for (at, (is_final, reason)) in failures {
                    if let Some(index) = chunk.get(at) {
                        let kept = if is_final { &mut errors } else { &mut again };
                        kept.insert(*index, reason);
                    }
                }
            }
            if again.is_empty() {
                break;
            }
            if attempt == ROW_ATTEMPTS || !patience.wait().await {
                let tried = |reason| format!("{reason} (after {attempt} attempts)");
                errors.extend(again.into_iter().map(|(i, reason)| (i, tried(reason))));
                break;
            }
            waiting = again.into_keys().collect();
        }
        let inserted = rows.len() - errors.len();
        let errors = errors.into_iter();
        Ok(AppendOutcome {
            inserted,
            duplicates: 0,
            errors: errors
                .map(|(index, reason)| RowError { index, reason })
                .collect(),
        })
    }

    async fn insert(
        &self,
        path: &str,
        body: &[u8],
    ) -> Result<BTreeMap<usize, (bool, String)>, Failure> {
        let answer = self.call("tabledata.insertAll", move |clients| async move {
            let mut headers = HeaderMap::new();
            let json = HeaderValue::from_static("application/json");
            headers.insert(header::CONTENT_TYPE, json);
            let sent = clients.rest(reqwest::Method::POST, path, headers, body.to_vec());
            Ok(sent.await?.2)
        });
        let answer: Json = serde_json::from_slice(&answer.await?)
            .map_err(|error| Failure::new(Kind::Permanent, format!("no JSON: {error}")))?;
        let failures = answer.get("insertErrors").and_then(Json::as_array);
        let failures = failures.into_iter().flatten();
        Ok(failures.filter_map(row_failure).collect())
    }
}

/// Reads why a row was not inserted, and whether that is for good.
fn row_failure(json: &Json) -> Option<(usize, (bool, String))> {
    let index = usize::try_from(json.get("index")?.as_u64()?).ok()?;
    let errors = json.get("errors").and_then(Json::as_array);
    let errors: Vec<&Json> = errors.into_iter().flatten().collect();
    let text = |error: &Json, key: &str| {
        let text = error.get(key).and_then(Json::as_str);
        text.unwrap_or_default().to_owned()
    };
    // `stopped` says that the row is well and another is not.
    let passing = ["stopped", "timeout", "backendError", "internalError"];
    let is_final = errors.is_empty()
        || errors
            .iter()
            .any(|error| !passing.contains(&text(error, "reason").as_str()));
    let said = errors.iter().map(|error| {
        let (reason, message) = (text(error, "reason"), text(error, "message"));
        match text(error, "location").as_str() {
            "" => format!("{reason}: {message}"),
            column => format!("column `{column}`: {reason}: {message}"),
        }
    });
    Some((index, (is_final, said.collect::<Vec<_>>().join("; "))))
}

fn chunks<'a>(waiting: &'a [usize], rows: &[&Row]) -> Vec<&'a [usize]> {
    let mut chunks = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (at, index) in waiting.iter().enumerate() {
        let size = rows[*index].size() * 2;
        if at > from && (bytes + size > REQUEST_BYTES || at - from == REQUEST_ROWS) {
            chunks.push(&waiting[from..at]);
            (from, bytes) = (at, 0);
        }
        bytes += size;
    }
    if from < waiting.len() {
        chunks.push(&waiting[from..]);
    }
    chunks
}

fn body(chunk: &[usize], rows: &[&Row], schema: &TableSchema) -> Vec<u8> {
    let rows = chunk.iter().map(|index| {
        let row = rows[*index];
        let mut entry = json!({"json": object(row, schema)});
        if let Some(id) = &row.row_id {
            entry["insertId"] = json!(id);
        }
        entry
    });
    let rows: Vec<Json> = rows.collect();
    // The rows that are well are inserted though others are not.
    let body = json!({"skipInvalidRows": true, "ignoreUnknownValues": false, "rows": rows});
    body.to_string().into_bytes()
}

/// Writes a row as `insertAll` reads it: what is NULL is left out, and JSON is a text in a text.
fn object(row: &Row, schema: &TableSchema) -> Json {
    let fields = schema.columns.iter().zip(&row.values);
    let fields = fields.filter(|(_, value)| **value != Value::Null);
    let fields = fields.map(|(column, value)| (column.name.clone(), cell(column, value)));
    Json::Object(fields.collect::<Map<_, _>>())
}

fn cell(column: &Column, value: &Value) -> Json {
    match value {
        Value::Json(text) => text.as_str().into(),
        Value::Array(values) => values.iter().map(|value| cell(column, value)).collect(),
        Value::Struct(values) => {
            let fields = column.fields.iter().zip(values);
            let fields = fields.map(|(column, value)| (column.name.clone(), cell(column, value)));
            Json::Object(fields.collect())
        }
        other => other.to_json(),
    }
}
