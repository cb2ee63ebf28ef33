//! Load jobs: a file is uploaded in pieces, and the job that reads it is waited for.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::{HeaderMap, HeaderValue, header};
use reqwest::Method;
use serde_json::{Value as Json, json};

use super::client::{CloudBigQuery, failed};
use super::failure::{Failure, Kind};
use super::name::TableName;
use crate::bigquery::error::{BigQueryError, BigQueryErrorKind};
use crate::bigquery::load::{LoadJob, LoadJobs};
use crate::bigquery::schema::fields;
use crate::bigquery::table_options::WriteDisposition;

/// The size of a piece: a multiple of 256 KiB, as resumable uploads want it.
const PIECE: usize = 8 << 20;
/// How long a job is waited for.
const JOB: Duration = Duration::from_secs(3_600);
const POLL: Duration = Duration::from_millis(250);
const LONGEST_POLL: Duration = Duration::from_secs(10);

#[async_trait]
impl LoadJobs for CloudBigQuery {
    async fn load(&self, job: &LoadJob, rows: &Path) -> Result<u64, BigQueryError> {
        let name = self.table(&job.table)?;
        let action = || format!("reading {}", rows.display());
        let storage = |error: std::io::Error| BigQueryErrorKind::Storage {
            action: action(),
            reason: error.to_string(),
        };
        // A job of that name may be there from before: an upload for nothing is spared.
        let job = match self.find_job(&name, &job.job_id).await? {
            Some(found) => found,
            None => {
                let mut file = File::open(rows).map_err(storage)?;
                let length = file.metadata().map_err(storage)?.len();
                self.upload(&name, job, &mut file, length).await?
            }
        };
        self.wait_for(&name, job).await
    }
}

impl CloudBigQuery {
    async fn find_job(&self, name: &TableName, id: &str) -> Result<Option<Json>, BigQueryError> {
        let call = "jobs.get";
        let project = &self.inner.project;
        let location = self.inner.location.as_deref();
        let location = location.map_or(String::new(), |location| format!("?location={location}"));
        let path = format!("/bigquery/v2/projects/{project}/jobs/{id}{location}");
        let path = path.as_str();
        let got = self.call(call, move |clients| async move {
            let got = clients.rest(Method::GET, path, HeaderMap::new(), Vec::new());
            parsed(&got.await?.2)
        });
        match got.await {
            Ok(job) => Ok(Some(job)),
            Err(failure) if failure.kind == Kind::NotFound => Ok(None),
            Err(failure) => Err(failed(call, &name.to_string(), failure)),
        }
    }

    async fn upload(
        &self,
        name: &TableName,
        job: &LoadJob,
        file: &mut File,
        length: u64,
    ) -> Result<Json, BigQueryError> {
        let call = "a load job's upload";
        let mut patience = self.patience();
        loop {
            let failure = match self.upload_once(name, job, file, length).await {
                Ok(job) => return Ok(job),
                Err(failure) => failure,
            };
            match failure.kind {
                // The answer to the last piece of an earlier attempt was lost.
                Kind::AlreadyExists => {
                    if let Some(found) = self.find_job(name, &job.job_id).await? {
                        return Ok(found);
                    }
                }
                // The session is gone: another one.
                Kind::Transient | Kind::NotFound => {}
                _ => return Err(failed(call, &name.to_string(), failure)),
            }
            if !patience.wait().await {
                let reason = format!("{} ({})", failure.reason, patience.said());
                let failure = Failure::new(Kind::Transient, reason);
                return Err(failed(call, &name.to_string(), failure));
            }
            if let Some(found) = self.find_job(name, &job.job_id).await? {
                return Ok(found);
            }
        }
    }

    async fn upload_once(
        &self,
        name: &TableName,
        job: &LoadJob,
        file: &mut File,
        length: u64,
    ) -> Result<Json, Failure> {
        let body = self.described(name, job).to_string().into_bytes();
        let path = format!(
            "/upload/bigquery/v2/projects/{}/jobs?uploadType=resumable",
            self.inner.project
        );
        let (body, path) = (&body, path.as_str());
        let begun = self.call("a load job's upload", move |clients| async move {
            let mut headers = HeaderMap::new();
            let json = HeaderValue::from_static("application/json; charset=UTF-8");
            headers.insert(header::CONTENT_TYPE, json);
            let length = HeaderValue::from(length);
            headers.insert("x-upload-content-length", length);
            let stream = HeaderValue::from_static("application/octet-stream");
            headers.insert("x-upload-content-type", stream);
            let (_, headers, _) = clients
                .rest(Method::POST, path, headers, body.clone())
                .await?;
            let location = headers.get(header::LOCATION).and_then(|l| l.to_str().ok());
            location.map(str::to_owned).ok_or_else(|| {
                Failure::new(Kind::Permanent, "the answer names no place to upload to")
            })
        });
        let location = begun.await?;
        let mut at = 0;
        loop {
            let piece = piece_of(file, at)?;
            let end = at + piece.len() as u64;
            let range = match piece.is_empty() {
                true => format!("bytes */{length}"),
                false => format!("bytes {at}-{}/{length}", end - 1),
            };
            // An answer that is lost ends this attempt: the next one asks what became of the job.
            let deadline = self.attempt_deadline();
            let clients = self.clients().await?;
            let mut headers = HeaderMap::new();
            if let Ok(range) = HeaderValue::from_str(&range) {
                headers.insert(header::CONTENT_RANGE, range);
            }
            let sent = clients.rest(Method::PUT, &location, headers, piece);
            let sent = crate::cloud::within(deadline, "a piece of a load job's upload", sent).await;
            let sent = sent.map_err(|slow| Failure::new(Kind::Transient, slow))?;
            let (status, headers, body) = sent?;
            if status != 308 {
                return parsed(&body);
            }
            let received = headers.get(header::RANGE).and_then(|range| {
                let (_, last) = range.to_str().ok()?.rsplit_once('-')?;
                last.parse::<u64>().ok()
            });
            let reached = received.map_or(0, |last| last + 1);
            if reached <= at && at > 0 || reached == length {
                let reason = format!("the upload stands still at {reached} of {length} bytes");
                return Err(Failure::new(Kind::Transient, reason));
            }
            at = reached;
        }
    }

    fn described(&self, name: &TableName, job: &LoadJob) -> Json {
        let write = match job.write {
            WriteDisposition::Append => "WRITE_APPEND",
            WriteDisposition::Truncate => "WRITE_TRUNCATE",
            WriteDisposition::Empty => "WRITE_EMPTY",
        };
        let mut described = json!({
            "jobReference": {"projectId": self.inner.project, "jobId": job.job_id},
            "configuration": {"load": {
                "destinationTable": {
                    "projectId": name.project,
                    "datasetId": name.dataset,
                    "tableId": name.table,
                },
                "schema": {"fields": fields(&job.schema.columns)},
                "sourceFormat": "NEWLINE_DELIMITED_JSON",
                "createDisposition": "CREATE_NEVER",
                "writeDisposition": write,
            }},
        });
        if let Some(location) = &self.inner.location {
            described["jobReference"]["location"] = json!(location);
        }
        described
    }

    async fn wait_for(&self, name: &TableName, mut job: Json) -> Result<u64, BigQueryError> {
        let text = |job: &Json, pointer: &str| {
            let text = job.pointer(pointer).and_then(Json::as_str);
            text.unwrap_or_default().to_owned()
        };
        let id = text(&job, "/jobReference/jobId");
        let since = Instant::now();
        let mut pause = POLL;
        while text(&job, "/status/state") != "DONE" {
            if since.elapsed() > JOB {
                let reason = format!("job {id} has not ended within {JOB:?}");
                let failure = Failure::new(Kind::Transient, reason);
                return Err(failed("a load job", &name.to_string(), failure));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_POLL);
            job = self.find_job(name, &id).await?.unwrap_or_default();
        }
        if let Some(error) = job.pointer("/status/errorResult") {
            let first = text(error, "/message");
            let more = job.pointer("/status/errors").and_then(Json::as_array);
            let more = more.into_iter().flatten().map(|e| text(e, "/message"));
            let more: Vec<String> = more.filter(|words| *words != first).take(3).collect();
            let reason = format!(
                "job {id} failed, and nothing of it was written: {}: {first} {}",
                text(error, "/reason"),
                more.join("; ")
            );
            let failure = Failure::new(Kind::Permanent, reason.trim_end());
            return Err(failed("a load job", &name.to_string(), failure));
        }
        let rows = text(&job, "/statistics/load/outputRows");
        Ok(rows.parse().unwrap_or(0))
    }
}

fn parsed(body: &[u8]) -> Result<Json, Failure> {
    serde_json::from_slice(body).map_err(|error| {
        Failure::new(
            Kind::Permanent,
            format!("an answer that is no JSON: {error}"),
        )
    })
}

fn piece_of(file: &mut File, at: u64) -> Result<Vec<u8>, Failure> {
    let mut piece = Vec::new();
    let read = file.seek(SeekFrom::Start(at)).and_then(|_| {
        let mut limited = file.take(PIECE as u64);
        limited.read_to_end(&mut piece)
    });
    match read {
        Ok(_) => Ok(piece),
        Err(error) => Err(Failure::new(Kind::Permanent, error.to_string())),
    }
}
