//! Writes objects: small ones in one request, big ones in parts of a resumable upload.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use bytes::Bytes;
use http::StatusCode;
use reqwest::Url;
use serde::Serialize;
use tokio::time::sleep;

use super::client::{Answer, Fault};
use super::resource::Resource;
use super::{Call, CloudStorage, FIELDS};
use crate::storage::error::{StorageError, StorageErrorKind};
use crate::storage::service::Metadata;

/// The length of a part; a multiple of 256 KiB, as the service wants it.
const PART: u64 = 8 * 1024 * 1024;

/// How often an upload begins anew because the service has forgotten it.
const BEGINNINGS: u32 = 3;

/// How often a part may fail without any progress.
const FAILURES: u32 = 6;

/// A file to be written.
pub(super) enum Parts {
    Small(Bytes),
    Big(BigFile),
}

pub(super) struct BigFile {
    file: File,
    length: u64,
}

impl Parts {
    pub(super) fn open(path: &Path, call: &Call) -> Result<Parts, StorageError> {
        let failed = |error| unreadable(call, path, &error);
        let mut file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        if length > PART {
            return Ok(Parts::Big(BigFile { file, length }));
        }
        let mut bytes = Vec::with_capacity(length as usize);
        file.read_to_end(&mut bytes).map_err(failed)?;
        Ok(Parts::Small(bytes.into()))
    }
}

impl BigFile {
    /// Reads the part that begins at `start`.
    fn part(&mut self, start: u64) -> std::io::Result<Bytes> {
        let length = PART.min(self.length - start);
        let mut part = vec![0; length as usize];
        self.file.seek(SeekFrom::Start(start))?;
        self.file.read_exact(&mut part)?;
        Ok(part.into())
    }
}

fn unreadable(call: &Call, path: &Path, error: &std::io::Error) -> StorageError {
    let why = format!("the file {} cannot be read: {error}", path.display());
    call.error(StorageErrorKind::Other, why)
}

/// What the service is told of an object beside its bytes.
#[derive(Serialize)]
struct Told<'a> {
    name: &'a str,
    #[serde(rename = "contentType")]
    content_type: &'static str,
    metadata: &'a Metadata,
}

impl<'a> Told<'a> {
    fn new(name: &'a str, metadata: &'a Metadata) -> Self {
        Told {
            name,
            content_type: content_type(name),
            metadata,
        }
    }

    fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("names and values are JSON")
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("json" | "ndjson" | "jsonl") => "application/json",
        Some("csv") => "text/csv",
        Some("txt") => "text/plain",
        Some("gz") => "application/gzip",
        _ => "application/octet-stream",
    }
}

/// The body of an upload in one request: what is told of it, and its bytes.
pub(super) struct Multipart {
    boundary: String,
    body: Bytes,
}

impl Multipart {
    pub(super) fn new(name: &str, bytes: &[u8], metadata: &Metadata) -> Self {
        let told = Told::new(name, metadata);
        let mut boundary = "pipeline-object".to_owned();
        while contains(bytes, boundary.as_bytes()) {
            boundary.push('-');
            boundary.push_str(&bytes.len().to_string());
        }
        let mut body =
            format!("--{boundary}\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n")
                .into_bytes();
        body.reserve(bytes.len() + 512);
        body.extend(told.json());
        let kind = told.content_type;
        body.extend(format!("\r\n--{boundary}\r\ncontent-type: {kind}\r\n\r\n").into_bytes());
        body.extend_from_slice(bytes);
        body.extend(format!("\r\n--{boundary}--\r\n").into_bytes());
        Multipart {
            boundary,
            body: body.into(),
        }
    }

    pub(super) fn content_type(&self) -> String {
        format!("multipart/related; boundary={}", self.boundary)
    }

    pub(super) fn bytes(&self) -> Bytes {
        self.body.clone()
    }
}

/// Tells whether `text` stands in `bytes`.
fn contains(bytes: &[u8], text: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == text[0]) {
        if rest[at..].starts_with(text) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// How far an upload has come.
enum Progress {
    Written(Resource),
    /// So many bytes are there.
    At(u64),
}

impl CloudStorage {
    pub(super) async fn upload_parts(
        &self,
        call: &Call,
        name: &str,
        mut file: BigFile,
        metadata: &Metadata,
    ) -> Result<(), StorageError> {
        for _ in 0..BEGINNINGS {
            let session = self.begin_upload(call, name, &file, metadata).await?;
            if let Some(written) = self.go_on(call, &session, &mut file).await? {
                return written.expect_size(call, file.length);
            }
        }
        let why = format!("the service forgot the upload {BEGINNINGS} times");
        Err(call.error(StorageErrorKind::Transient, why))
    }

    /// Begins an upload; returns its address, which is a key to it.
    async fn begin_upload(
        &self,
        call: &Call,
        name: &str,
        file: &BigFile,
        metadata: &Metadata,
    ) -> Result<Url, StorageError> {
        let told = Told::new(name, metadata);
        let query = [
            ("uploadType", "resumable"),
            ("name", name),
            ("fields", FIELDS),
        ];
        let url = self.client.upload_url(&self.bucket, &query);
        let body = Bytes::from(told.json());
        let begun = self.client.call(call, |http| {
            http.post(url.clone())
                .header("content-type", "application/json; charset=UTF-8")
                .header("x-upload-content-type", told.content_type)
                .header("x-upload-content-length", file.length)
                .body(body.clone())
        });
        let begun = begun.await?;
        let location = begun.headers.get("location").and_then(|l| l.to_str().ok());
        location.and_then(|l| Url::parse(l).ok()).ok_or_else(|| {
            let why = "the service begins an upload without an address for it";
            call.error(StorageErrorKind::Other, why)
        })
    }

    /// Sends the parts of an upload; `None` if the service has forgotten it.
    async fn go_on(
        &self,
        call: &Call,
        session: &Url,
        file: &mut BigFile,
    ) -> Result<Option<Resource>, StorageError> {
        let length = file.length;
        let mut at = 0;
        let mut failures = 0;
        let mut lost = false;
        loop {
            let sent = if lost {
                // Nothing is known of the part that was under way: the service says how much is there.
                self.put_range(session, format!("bytes */{length}"), Bytes::new())
                    .await
            } else {
                let part = file.part(at).map_err(|error| {
                    let why = format!("its file cannot be read: {error}");
                    call.error(StorageErrorKind::Other, why)
                })?;
                let last = at + part.len() as u64 - 1;
                self.put_range(session, format!("bytes {at}-{last}/{length}"), part)
                    .await
            };
            let fault = match sent.map(|answer| progress(&answer, call)) {
                Ok(progress) => match progress? {
                    Progress::Written(written) => return Ok(Some(written)),
                    Progress::At(there) if there > at || lost => {
                        failures = if there > at { 0 } else { failures };
                        (at, lost) = (there, false);
                        continue;
                    }
                    Progress::At(there) => {
                        at = there;
                        Fault {
                            kind: StorageErrorKind::Transient,
                            reason: format!("the service keeps {there} bytes of it and no more"),
                        }
                    }
                },
                Err(fault) if matches!(fault.kind, StorageErrorKind::NotFound) => return Ok(None),
                Err(fault) => fault,
            };
            failures += 1;
            if !fault.may_pass() || failures == FAILURES {
                let reason = format!("{} (at byte {at} of {length})", fault.reason);
                return Err(call.error(fault.kind, reason));
            }
            lost = true;
            sleep(self.client.pause(failures)).await;
        }
    }

    async fn put_range(&self, session: &Url, range: String, part: Bytes) -> Result<Answer, Fault> {
        let request = |http: &reqwest::Client| {
            let request = http.put(session.clone());
            let request = request.header("content-range", range.clone());
            request
                .header("content-length", part.len())
                .body(part.clone())
        };
        self.client.timely(self.client.attempt(&request)).await
    }
}

fn progress(answer: &Answer, call: &Call) -> Result<Progress, StorageError> {
    match answer.status {
        StatusCode::PERMANENT_REDIRECT => {
            // Without a range nothing is there yet.
            let range = answer.headers.get("range").and_then(|r| r.to_str().ok());
            let last = range.and_then(|r| r.rsplit_once('-')?.1.parse::<u64>().ok());
            Ok(Progress::At(last.map_or(0, |last| last + 1)))
        }
        _ => Ok(Progress::Written(answer.json(call)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boundary_does_not_stand_in_the_bytes() {
        let bytes = b"--pipeline-object and --pipeline-object-7";
        let multipart = Multipart::new("n", bytes, &Metadata::new());
        assert!(!contains(bytes, multipart.boundary.as_bytes()));
        assert!(contains(&multipart.body, bytes));
    }
}
