//! Reads a range of an object, over as many connections as it takes.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::Response;
use tokio::time::sleep;

use super::client::Fault;
use super::{Call, CloudStorage};
use crate::cloud::within;
use crate::storage::error::{StorageError, StorageErrorKind};
use crate::storage::service::{ObjectInfo, ObjectReader, Storage};

/// How often a connection may be cut before it has given anything.
const CUTS: u32 = 6;

/// Gives the bytes that are still wanted.
pub(super) struct CloudReader {
    storage: CloudStorage,
    call: Call,
    object: ObjectInfo,
    /// What is still to be read.
    range: Range<u64>,
    response: Option<Response>,
    /// The connections that were cut since the last bytes.
    cuts: u32,
}

impl CloudReader {
    pub(super) fn new(storage: CloudStorage, object: &ObjectInfo, range: Range<u64>) -> Self {
        CloudReader {
            call: storage.named("read", &object.name),
            storage,
            range: range.start..range.end.min(object.size),
            object: object.clone(),
            response: None,
            cuts: 0,
        }
    }

    /// Asks for what is still to be read, if there is anything.
    pub(super) async fn open(&mut self) -> Result<(), StorageError> {
        if self.range.is_empty() {
            return Ok(());
        }
        let CloudStorage { client, bucket } = &self.storage;
        let generation = self.object.generation.0.to_string();
        let query = [("alt", "media"), ("generation", &generation)];
        let url = client.url(&["b", bucket, "o", &self.object.name], &query);
        let range = format!("bytes={}-{}", self.range.start, self.range.end - 1);
        let request = |http: &reqwest::Client| {
            // What is stored as gzip is to come as it is stored.
            let request = http.get(url.clone()).header("accept-encoding", "gzip");
            request.header("range", range.clone())
        };
        let response = client.retried(&self.call, || client.send(&request)).await;
        match response {
            Ok(response) => {
                self.check(&response)?;
                self.response = Some(response);
                Ok(())
            }
            Err(error) if error.kind() == StorageErrorKind::NotFound => Err(self.gone().await),
            Err(error) => Err(error),
        }
    }

    /// Holds an answer to what was asked: the range, and the generation if it says one.
    fn check(&self, response: &Response) -> Result<(), StorageError> {
        let header = |name| response.headers().get(name).and_then(|v| v.to_str().ok());
        let generation = header("x-goog-generation");
        if generation.is_some_and(|got| got != self.object.generation.0.to_string()) {
            return Err(self.replaced());
        }
        let Range { start, end } = self.range;
        let expected = format!("bytes {start}-{}/", end - 1);
        let is_range = header("content-range").is_some_and(|got| got.starts_with(&expected));
        let is_whole = response.status() == 200 && start == 0 && end == self.object.size;
        if is_range || is_whole {
            return Ok(());
        }
        let why = format!(
            "the service answers {} with the range {:?} where {expected:?} was asked for",
            response.status(),
            header("content-range")
        );
        Err(self.call.error(StorageErrorKind::Other, why))
    }

    /// Says what became of a generation that is not there.
    async fn gone(&self) -> StorageError {
        match self.storage.stat(&self.object.name).await {
            Ok(now) if now.generation != self.object.generation => self.replaced(),
            Err(error) if error.kind() != StorageErrorKind::NotFound => error,
            _ => {
                let why =
                    "it is not there; if it was, it has been deleted since it was first looked at";
                self.call.error(StorageErrorKind::NotFound, why)
            }
        }
    }

    fn replaced(&self) -> StorageError {
        let why = format!(
            "it was replaced since it was first looked at: generation {} is gone",
            self.object.generation.0
        );
        self.call.error(StorageErrorKind::Replaced, why)
    }
}

#[async_trait]
impl ObjectReader for CloudReader {
    async fn next(&mut self) -> Result<Option<Bytes>, StorageError> {
        while !self.range.is_empty() {
            let Some(response) = &mut self.response else {
                self.open().await?;
                continue;
            };
            let patience = self.storage.client.chunk_patience();
            let fault = match within(patience, "the next bytes", response.chunk()).await {
                Ok(Ok(Some(bytes))) if bytes.is_empty() => continue,
                Ok(Ok(Some(bytes))) => {
                    self.cuts = 0;
                    let left = self.range.end - self.range.start;
                    if bytes.len() as u64 > left {
                        let why = "the service sends more than was asked for";
                        return Err(self.call.error(StorageErrorKind::Other, why));
                    }
                    self.range.start += bytes.len() as u64;
                    return Ok(Some(bytes));
                }
                Ok(Ok(None)) => Fault {
                    kind: StorageErrorKind::Transient,
                    reason: "the answer ended too early".to_owned(),
                },
                Ok(Err(error)) => Fault::of(&error),
                Err(silence) => Fault {
                    kind: StorageErrorKind::TimedOut,
                    reason: silence,
                },
            };
            self.response = None;
            self.cuts += 1;
            if self.cuts == CUTS {
                let reason = format!(
                    "{} at byte {} ({CUTS} connections in a row were cut)",
                    fault.reason, self.range.start
                );
                return Err(self.call.error(fault.kind, reason));
            }
            sleep(self.storage.client.pause(self.cuts)).await;
        }
        Ok(None)
    }
}
