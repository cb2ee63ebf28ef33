//! Queries: a job, asked until it has ended, and its rows, page by page.

use google_cloud_bigquery_v2::model;
use google_cloud_wkt as wkt;
use serde_json::{Value as Json, json};

use super::cell;
use super::client::{CloudBigQuery, failed};
use super::failure::{Failure, Kind};
use crate::bigquery::error::{BigQueryError, BigQueryErrorKind};
use crate::bigquery::result::{Page, PagePosition, QueryResult};
use crate::bigquery::schema::{Column, columns_of};

/// How long the service waits for the end of a query before it answers that there is none yet.
const WAIT_MILLIS: u64 = 10_000;
/// The greatest number of rows of a page; BigQuery gives fewer where they are long (10 MB).
const PAGE_ROWS: u32 = 10_000;

/// A query that runs or has ended.
struct Answer {
    complete: bool,
    columns: Vec<Column>,
    rows: Vec<Json>,
    page_token: String,
    total_rows: u64,
    job: Job,
}

/// Names a job: `project:location.id`.
#[derive(Clone, Default)]
struct Job {
    project: String,
    location: String,
    id: String,
}

impl Job {
    fn parse(text: &str) -> Option<Job> {
        // A project may have a colon, neither of the others.
        let (project, rest) = text.rsplit_once(':')?;
        let (location, id) = rest.split_once('.')?;
        Some(Job {
            project: project.to_owned(),
            location: location.to_owned(),
            id: id.to_owned(),
        })
    }

    fn name(&self) -> String {
        format!("{}:{}.{}", self.project, self.location, self.id)
    }
}

impl CloudBigQuery {
    /// Runs a statement and returns all its rows.
    pub(super) async fn run(&self, sql: &str) -> Result<QueryResult, BigQueryError> {
        let mut answer = self.ended(sql).await?;
        let columns = std::mem::take(&mut answer.columns);
        let mut rows = Vec::new();
        loop {
            for row in &answer.rows {
                rows.push(cell::row(row, &columns).map_err(unreadable)?);
            }
            if answer.page_token.is_empty() {
                break;
            }
            let from = From::Token(answer.page_token);
            answer = self.results(&answer.job, from, sql).await?;
        }
        Ok(QueryResult {
            columns: columns.into_iter().map(Into::into).collect(),
            rows,
        })
    }

    /// Returns the rows of a query from a position on.
    pub(super) async fn page(&self, sql: &str, from: &PagePosition) -> Result<Page, BigQueryError> {
        let answer = match Job::parse(&from.job) {
            Some(job) => self.results(&job, From::Row(from.row), sql).await?,
            None => self.ended(sql).await?,
        };
        let mut rows = Vec::with_capacity(answer.rows.len());
        for row in &answer.rows {
            rows.push(cell::row(row, &answer.columns).map_err(unreadable)?);
        }
        let job = answer.job.name();
        let row = from.row + rows.len() as u64;
        let next = (row < answer.total_rows && !rows.is_empty()).then(|| PagePosition {
            job: job.clone(),
            row,
        });
        if next.is_none() && row < answer.total_rows {
            return Err(unreadable(format!(
                "the result ends at row {row} of {}",
                answer.total_rows
            )));
        }
        let columns = answer.columns.into_iter().map(Into::into).collect();
        Ok(Page {
            result: QueryResult { columns, rows },
            job,
            next,
        })
    }

    /// Runs a statement as a job whose name is ours: the same call that is made again runs no second one.
    async fn start(&self, sql: &str) -> Result<Job, BigQueryError> {
        let inner = &self.inner;
        let id = format!("pipeline-{}", random_name());
        let mut job = json!({
            "jobReference": {"projectId": inner.project, "jobId": id},
            "configuration": {"query": {"query": sql, "useLegacySql": false}},
        });
        if let Some(dataset) = &inner.dataset {
            job["configuration"]["query"]["defaultDataset"] =
                json!({"projectId": inner.project, "datasetId": dataset});
        }
        if let Some(location) = &inner.location {
            job["jobReference"]["location"] = json!(location);
        }
        let (job, call) = (&job, "jobs.insert");
        let sent = self.call(call, move |clients| async move {
            let job: model::Job = serde_json::from_value(job.clone())
                .map_err(|error| Failure::new(Kind::Permanent, error.to_string()))?;
            let request = clients.jobs.insert_job().set_project_id(&inner.project);
            let sent = request.set_job(job).send().await;
            json_of(sent.map_err(|error| Failure::of_client(&error))?)
        });
        let sent = match sent.await {
            // An answer was lost.
            Err(failure) if failure.kind == Kind::AlreadyExists => job.clone(),
            sent => sent.map_err(|failure| refused(call, sql, failure))?,
        };
        if let Some(failure) = error_result(&sent) {
            return Err(refused(call, sql, failure));
        }
        let location = sent
            .pointer("/jobReference/location")
            .and_then(Json::as_str);
        let location = location.or(inner.location.as_deref());
        Ok(Job {
            project: inner.project.clone(),
            location: location.unwrap_or_default().to_owned(),
            id,
        })
    }

    /// Waits for the end of a statement, and gives its first rows. It may take as long as it likes: BigQuery itself ends
    /// it after six hours.
    async fn ended(&self, sql: &str) -> Result<Answer, BigQueryError> {
        let job = self.start(sql).await?;
        loop {
            let answer = self.results(&job, From::Row(0), sql).await?;
            if answer.complete && answer.columns.is_empty() {
                // A statement that gives no rows; or one that has failed, where that is said of the job only.
                self.check(&job, sql).await?;
            }
            if answer.complete {
                return Ok(answer);
            }
        }
    }

    async fn check(&self, job: &Job, sql: &str) -> Result<(), BigQueryError> {
        let call = "jobs.get";
        let got = self.call(call, move |clients| async move {
            let request = clients.jobs.get_job().set_project_id(&job.project);
            let request = request.set_job_id(&job.id).set_location(&job.location);
            let sent = request.send().await;
            json_of(sent.map_err(|error| Failure::of_client(&error))?)
        });
        let got = got.await.map_err(|failure| refused(call, sql, failure))?;
        match error_result(&got) {
            Some(failure) => Err(refused("the query", sql, failure)),
            None => Ok(()),
        }
    }

    async fn results(&self, job: &Job, from: From, sql: &str) -> Result<Answer, BigQueryError> {
        let from = &from;
        let call = "jobs.getQueryResults";
        let got = self.call(call, move |clients| async move {
            let mut request = clients
                .jobs
                .get_query_results()
                .set_project_id(&job.project)
                .set_job_id(&job.id)
                .set_location(&job.location)
                .set_max_results(wkt::UInt32Value::from(PAGE_ROWS))
                .set_timeout_ms(wkt::UInt32Value::from(
                    u32::try_from(WAIT_MILLIS.min(millis(self.attempt_deadline()) / 2))
                        .unwrap_or(u32::MAX),
                ))
                .set_format_options(model::DataFormatOptions::new().set_use_int64_timestamp(true));
            request = match from {
                From::Token(token) => request.set_page_token(token),
                From::Row(0) => request,
                From::Row(row) => request.set_start_index(wkt::UInt64Value::from(*row)),
            };
            let sent = request.send().await;
            json_of(sent.map_err(|error| Failure::of_client(&error))?)
        });
        let got = got.await.map_err(|failure| match failure.kind {
            Kind::NotFound if failure.reason.contains("Job") => {
                let (job, said) = (job.name(), failure.reason);
                let reason = format!(
                    "the result of job {job} is gone: {said}; BigQuery keeps it for 24 hours"
                );
                failed(call, "", Failure::new(Kind::Permanent, reason))
            }
            _ => refused(call, sql, failure),
        })?;
        answer(&got, job)
    }
}

enum From {
    Token(String),
    Row(u64),
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn json_of(response: impl serde::Serialize) -> Result<Json, Failure> {
    serde_json::to_value(response).map_err(|error| Failure::new(Kind::Permanent, error.to_string()))
}

/// Reads why a job has failed, if it has.
fn error_result(job: &Json) -> Option<Failure> {
    let error = job.pointer("/status/errorResult")?;
    let text = |key: &str| error.get(key).and_then(Json::as_str).unwrap_or_default();
    let kind = match text("reason") {
        "notFound" => Kind::NotFound,
        _ => Kind::Invalid,
    };
    let said = format!("{}: {}", text("reason"), text("message"));
    (!text("message").is_empty()).then(|| Failure::new(kind, said))
}

fn answer(json: &Json, job: &Job) -> Result<Answer, BigQueryError> {
    let text = |pointer: &str| json.pointer(pointer).and_then(Json::as_str);
    let complete = json.get("jobComplete").and_then(Json::as_bool) == Some(true);
    // A statement that is no query has none.
    let schema = json.get("schema").filter(|s| s.get("fields").is_some());
    let columns = match schema {
        Some(schema) => columns_of(schema).map_err(unreadable)?,
        None => Vec::new(),
    };
    let total = json.get("totalRows").map(|total| match total {
        Json::String(text) => text.parse().unwrap_or(0),
        other => other.as_u64().unwrap_or(0),
    });
    Ok(Answer {
        complete,
        columns,
        rows: json
            .get("rows")
            .and_then(Json::as_array)
            .cloned()
            .unwrap_or_default(),
        page_token: text("/pageToken").unwrap_or_default().to_owned(),
        total_rows: total.unwrap_or(0),
        job: job.clone(),
    })
}

fn unreadable(reason: String) -> BigQueryError {
    BigQueryErrorKind::Call {
        call: "the result of a query".to_owned(),
        reason,
        transient: false,
    }
    .into()
}

/// Says what is wrong with a statement, in BigQuery's words, which have line and column.
fn refused(call: &str, sql: &str, failure: Failure) -> BigQueryError {
    let statement: String = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    let statement = crate::bigquery::timestamp::shorten(&statement);
    let call = match statement.as_str() {
        "" => call.to_owned(),
        statement => format!("{call} of `{statement}`"),
    };
    match failure.kind {
        Kind::NotFound => BigQueryErrorKind::TableNotFound {
            table: failure.reason,
        }
        .into(),
        _ => failed(&call, "", failure),
    }
}

/// Makes a name that nothing else has.
fn random_name() -> String {
    use std::hash::{BuildHasher, RandomState};
    let random = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", random(), random())
}
