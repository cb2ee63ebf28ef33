//! A part of the REST interface, version 2.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value as Json, json};

use super::script::{Action, Call};
use super::world::{Table, World};
use super::{Kept, lock};

#[derive(Clone)]
struct Site {
    kept: Arc<Kept>,
    port: u16,
}

type Answer = Result<Response, (u16, String, String)>;
type Arguments = Query<HashMap<String, String>>;

pub(super) fn routes(kept: Arc<Kept>, port: u16) -> Router {
    let table = "/bigquery/v2/projects/{p}/datasets/{d}/tables/{t}";
    Router::new()
        .route(
            "/bigquery/v2/projects/{p}/datasets/{d}/tables",
            post(insert_table),
        )
        .route(table, get(get_table).patch(patch_table))
        .route(&format!("{table}/insertAll"), post(insert_all))
        .route("/bigquery/v2/projects/{p}/jobs", post(query))
        .route("/bigquery/v2/projects/{p}/queries/{id}", get(results))
        .route("/bigquery/v2/projects/{p}/jobs/{id}", get(get_job))
        .route(
            "/upload/bigquery/v2/projects/{p}/jobs",
            post(begin_upload).put(upload),
        )
        .layer(DefaultBodyLimit::max(32 << 20))
        .with_state(Site { kept, port })
}

/// Makes a call, and ends it as the script says.
async fn scripted(site: &Site, call: Call, effect: impl FnOnce(&mut World) -> Answer) -> Response {
    let action = lock(&site.kept.script).next(call);
    match action {
        Some(Action::Http(status, reason)) => {
            return refusal(status, reason, "as the script says");
        }
        Some(Action::Silence) => std::future::pending().await,
        Some(Action::Delay(delay)) => tokio::time::sleep(delay).await,
        _ => {}
    }
    let answer = effect(&mut lock(&site.kept.world));
    if let Some(Action::LoseAnswer) = action {
        return refusal(503, "backendError", "the answer was lost");
    }
    answer.unwrap_or_else(|(status, reason, message)| refusal(status, &reason, &message))
}

fn refusal(status: u16, reason: &str, message: &str) -> Response {
    let body = json!({"error": {
        "code": status,
        "message": message,
        "errors": [{"reason": reason, "message": message, "domain": "global"}],
    }});
    let status = StatusCode::from_u16(status).expect("a status");
    (status, axum::Json(body)).into_response()
}

fn said<T>(
    status: u16,
    reason: &str,
    message: impl Into<String>,
) -> Result<T, (u16, String, String)> {
    Err((status, reason.to_owned(), message.into()))
}

fn ok(body: Json) -> Answer {
    Ok(axum::Json(body).into_response())
}

async fn insert_table(
    State(site): State<Site>,
    Path((_, dataset)): Path<(String, String)>,
    axum::Json(meta): axum::Json<Json>,
) -> Response {
    scripted(&site, Call::InsertTable, |world| {
        if dataset != "d" {
            return said(404, "notFound", format!("Not found: Dataset p:{dataset}"));
        }
        let table = meta["tableReference"]["tableId"]
            .as_str()
            .unwrap_or_default();
        let key = format!("{dataset}.{table}");
        if world.tables.contains_key(&key) {
            return said(409, "duplicate", format!("Already Exists: Table p:{key}"));
        }
        let table = Table {
            meta: meta.clone(),
            ..Table::default()
        };
        world.tables.insert(key, table);
        ok(meta)
    })
    .await
}

async fn get_table(
    State(site): State<Site>,
    Path((_, dataset, table)): Path<(String, String, String)>,
) -> Response {
    scripted(&site, Call::GetTable, |world| {
        match world.tables.get(&format!("{dataset}.{table}")) {
            Some(table) => ok(table.meta.clone()),
            None => said(
                404,
                "notFound",
                format!("Not found: Table p:{dataset}.{table}"),
            ),
        }
    })
    .await
}

async fn patch_table(
    State(site): State<Site>,
    Path((_, dataset, table)): Path<(String, String, String)>,
    axum::Json(patch): axum::Json<Json>,
) -> Response {
    scripted(&site, Call::PatchTable, |world| {
        let table = world.tables.get_mut(&format!("{dataset}.{table}"));
        let table = table.expect("a table");
        let fields = |meta: &Json| {
            meta["schema"]["fields"]
                .as_array()
                .cloned()
                .unwrap_or_default()
        };
        let (old, new) = (fields(&table.meta), fields(&patch));
        if new[..old.len().min(new.len())] != old[..] {
            return said(400, "invalid", "Provided Schema does not match Table");
        }
        if new[old.len()..]
            .iter()
            .any(|field| field["mode"] == "REQUIRED")
        {
            return said(
                400,
                "invalid",
                "Cannot add required fields to an existing schema",
            );
        }
        table.meta["schema"] = patch["schema"].clone();
        ok(table.meta.clone())
    })
    .await
}

async fn insert_all(
    State(site): State<Site>,
    Path((_, dataset, table)): Path<(String, String, String)>,
    axum::Json(body): axum::Json<Json>,
) -> Response {
    scripted(&site, Call::InsertAll, |world| {
        let key = format!("{dataset}.{table}");
        if !world.tables.contains_key(&key) {
            return said(404, "notFound", format!("Not found: Table p:{key}"));
        }
        let mut errors = Vec::new();
        for (index, row) in body["rows"].as_array().into_iter().flatten().enumerate() {
            if let Some(message) = world.wrong(&key, &row["json"]) {
                errors.push(json!({"index": index, "errors": [
                    {"reason": "invalid", "location": "", "debugInfo": "", "message": message},
                ]}));
                continue;
            }
            let table = world.tables.get_mut(&key).expect("it is there");
            let is_new = row["insertId"]
                .as_str()
                .is_none_or(|id| table.insert_ids.insert(id.to_owned()));
            if is_new {
                table.rows.push(row["json"].clone());
            }
        }
        ok(json!({"kind": "bigquery#tableDataInsertAllResponse", "insertErrors": errors}))
    })
    .await
}

async fn query(
    State(site): State<Site>,
    Path(_): Path<String>,
    axum::Json(request): axum::Json<Json>,
) -> Response {
    scripted(&site, Call::Query, |world| {
        let job = request["jobReference"]["jobId"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if world.results.contains_key(&job) {
            return said(409, "duplicate", format!("Already Exists: Job p:{job}"));
        }
        let sql = request["configuration"]["query"]["query"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let words: Vec<&str> = sql.split_whitespace().collect();
        let named = |after: &str| {
            let at = words.iter().position(|word| *word == after)?;
            let name = words
                .get(at + 1)?
                .trim_matches('`')
                .replace("p.d.", "")
                .replace("d.", "");
            Some(format!("d.{name}"))
        };
        let result = if sql.starts_with("TRUNCATE TABLE") {
            let table = named("TABLE").and_then(|key| world.tables.get_mut(&key));
            table.expect("a table").rows.clear();
            (json!([]), Vec::new())
        } else if sql.starts_with("CREATE") {
            (json!([]), Vec::new())
        } else {
            let table = named("FROM").and_then(|key| world.tables.get(&key));
            let Some(table) = table else {
                return said(404, "notFound", format!("Not found: Table in {sql}"));
            };
            let fields = table.meta["schema"]["fields"].clone();
            let rows = table.rows.iter().map(|row| cells(&fields, row)).collect();
            (fields.clone(), rows)
        };
        world.results.insert(job.clone(), result);
        let described = json!({
            "jobReference": {"projectId": "p", "jobId": job, "location": "US"},
            "status": {"state": "RUNNING"},
        });
        world.jobs.insert(job, described.clone());
        ok(described)
    })
    .await
}

/// Writes a row, or a STRUCT, as results have it.
fn cells(fields: &Json, row: &Json) -> Json {
    let cells = fields.as_array().into_iter().flatten().map(|field| {
        let value = &row[field["name"].as_str().unwrap_or_default()];
        json!({"v": cell(&field["fields"], value)})
    });
    json!({"f": cells.collect::<Vec<_>>()})
}

fn cell(fields: &Json, value: &Json) -> Json {
    match value {
        Json::Null => Json::Null,
        Json::String(text) => json!(text),
        Json::Array(values) => values
            .iter()
            .map(|v| json!({"v": cell(fields, v)}))
            .collect(),
        Json::Object(_) => cells(fields, value),
        other => json!(other.to_string()),
    }
}

/// The rows of a page.
const PAGE: usize = 100;

fn page(world: &World, job: &str, from: usize) -> Json {
    let (fields, rows) = &world.results[job];
    let end = (from + PAGE).min(rows.len());
    let mut page = json!({
        "jobReference": {"projectId": "p", "jobId": job, "location": "US"},
        "jobComplete": true,
        "schema": {"fields": fields},
        "rows": rows[from.min(end)..end],
        "totalRows": rows.len().to_string(),
    });
    if end < rows.len() {
        page["pageToken"] = json!(end.to_string());
    }
    page
}

async fn results(
    State(site): State<Site>,
    Path((_, job)): Path<(String, String)>,
    Query(arguments): Arguments,
) -> Response {
    scripted(&site, Call::QueryResults, |world| {
        let number = |key: &str| arguments.get(key).and_then(|text| text.parse().ok());
        let from = number("pageToken").or(number("startIndex")).unwrap_or(0);
        match world.results.contains_key(&job) {
            // The first answer comes before the job has ended.
            true if world.asked.insert(job.clone()) => {
                let reference = json!({"projectId": "p", "jobId": job, "location": "US"});
                ok(json!({"jobReference": reference, "jobComplete": false}))
            }
            true => ok(page(world, &job, from)),
            false => said(404, "notFound", format!("Not found: Job {job}")),
        }
    })
    .await
}

async fn get_job(State(site): State<Site>, Path((_, job)): Path<(String, String)>) -> Response {
    scripted(&site, Call::GetJob, |world| {
        match world.jobs.get_mut(&job) {
            Some(job) => {
                let now = job.clone();
                // It has ended when it is asked for again.
                job["status"]["state"] = json!("DONE");
                ok(now)
            }
            None => said(404, "notFound", format!("Not found: Job {job}")),
        }
    })
    .await
}

async fn begin_upload(State(site): State<Site>, body: Bytes) -> Response {
    let port = site.port;
    scripted(&site, Call::BeginUpload, |world| {
        let job: Json = serde_json::from_slice(&body).expect("JSON");
        let id = format!("u{}", world.number());
        world.uploads.insert(id.clone(), (job, Vec::new()));
        let location =
            format!("http://127.0.0.1:{port}/upload/bigquery/v2/projects/p/jobs?upload_id={id}");
        Ok(([(header::LOCATION, location)], "").into_response())
    })
    .await
}

async fn upload(
    State(site): State<Site>,
    Query(arguments): Arguments,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    scripted(&site, Call::Upload, |world| {
        let id = &arguments["upload_id"];
        let Some((job, bytes)) = world.uploads.get_mut(id) else {
            return said(404, "notFound", "no such upload");
        };
        let range = headers[header::CONTENT_RANGE]
            .to_str()
            .expect("a text")
            .to_owned();
        let total: usize = range
            .rsplit('/')
            .next()
            .and_then(|n| n.parse().ok())
            .expect("a number");
        bytes.extend_from_slice(&body);
        if bytes.len() < total {
            let range = format!("bytes=0-{}", bytes.len() - 1);
            let status = StatusCode::PERMANENT_REDIRECT;
            return Ok((status, [(header::RANGE, range)]).into_response());
        }
        let (job, bytes) = (job.clone(), std::mem::take(bytes));
        world.uploads.remove(id);
        load(world, job, &bytes)
    })
    .await
}

fn load(world: &mut World, mut job: Json, bytes: &[u8]) -> Answer {
    let id = job["jobReference"]["jobId"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    if world.jobs.contains_key(&id) {
        return said(409, "duplicate", format!("Already Exists: Job p:{id}"));
    }
    let load = &job["configuration"]["load"];
    let table = load["destinationTable"]["tableId"]
        .as_str()
        .unwrap_or_default();
    let key = format!("d.{table}");
    let rows: Vec<Json> = bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).expect("JSON"))
        .collect();
    let wrong = rows.iter().find_map(|row| world.wrong(&key, row));
    let there = world.tables.get_mut(&key).expect("a table");
    let write = load["writeDisposition"].as_str().unwrap_or_default();
    job["status"] = match (wrong, write) {
        (Some(message), _) => {
            json!({"state": "DONE", "errorResult": {"reason": "invalid", "message": message}})
        }
        (None, "WRITE_EMPTY") if !there.rows.is_empty() => {
            json!({"state": "DONE", "errorResult": {"reason": "duplicate", "message": "Already Exists: rows"}})
        }
        (None, write) => {
            if write == "WRITE_TRUNCATE" {
                there.rows.clear();
            }
            job["statistics"] = json!({"load": {"outputRows": rows.len().to_string()}});
            there.rows.extend(rows);
            json!({"state": "RUNNING"})
        }
    };
    world.jobs.insert(id, job.clone());
    ok(job)
}
