//! Cloud Storage itself, or an emulator (feature `gcp`).
//!
//! It speaks the [JSON API](https://cloud.google.com/storage/docs/json_api) over reqwest, with the same
//! account and the same TLS as the other services. The crate `object_store` would serve for reading and
//! writing, but its listings have no generations, its names no empty parts (the folders that the console
//! makes have), its errors no status (what may pass cannot be told from what may not), its big uploads
//! no precondition and no way to go on; `google-cloud-storage` lists, deletes and composes through gRPC,
//! which no emulator has.

mod client;
mod read;
mod resource;
mod upload;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use self::client::{Client, Patience};
use self::read::CloudReader;
use self::resource::{List, Resource, Rewrite};
use super::error::{StorageError, StorageErrorKind};
use super::service::{Metadata, ObjectInfo, ObjectReader, Storage, check_name};
use crate::cloud::Cloud;

/// The objects of a page of a listing at most.
const PAGE: &str = "1000";

/// What is asked for of an object.
const FIELDS: &str = "name,size,generation,updated,metadata";

/// A bucket of Cloud Storage.
///
/// - An attempt has 20 s, a call 60 s and 6 attempts; between them it waits 0.2 s, then twice as long each
///   time, with a random part. Reading and uploading have that for every chunk (8 MiB of an upload), so
///   they may take as long as they go on. What may pass is tried again: lost connections, 408, 429, 5xx,
///   and 403 where the reason is a rate.
/// - Generations pin what is read; [`put_if_absent`](Storage::put_if_absent) and
///   [`copy_if_absent`](Storage::copy_if_absent) have a generation precondition.
/// - An upload of more than 8 MiB is resumable: after a lost connection it goes on where the service says.
///   One that is given up leaves nothing; the service forgets its session after a week.
/// - An object with `Content-Encoding: gzip` is read as it is stored.
/// - Checksums are not computed; the length of what was written is compared.
#[derive(Clone)]
pub struct CloudStorage {
    client: Arc<Client>,
    bucket: String,
}

impl CloudStorage {
    /// Names a bucket. Nothing is called yet.
    pub fn new(cloud: &Cloud, bucket: impl Into<String>) -> Self {
        CloudStorage {
            client: Arc::new(Client::new(cloud, Patience::default())),
            bucket: bucket.into(),
        }
    }

    /// Gives a call so much time, and an attempt a third of it. Default: 60 s.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        let patience = Patience::within(deadline);
        self.client = Arc::new(self.client.with(patience));
        self
    }

    fn named(&self, call: &'static str, name: &str) -> Call {
        Call {
            call,
            object: self.full_name(name),
        }
    }

    fn checked(&self, call: &'static str, name: &str) -> Result<Call, StorageError> {
        let call = self.named(call, name);
        check_name(name).map_err(|why| call.error(StorageErrorKind::Invalid, why))?;
        Ok(call)
    }

    async fn put_with(
        &self,
        name: &str,
        bytes: Bytes,
        metadata: &Metadata,
        condition: &[(&'static str, &str)],
    ) -> Result<(), StorageError> {
        let call = self.checked("put", name)?;
        let length = bytes.len() as u64;
        let body = upload::Multipart::new(name, &bytes, metadata);
        let mut query = vec![("uploadType", "multipart"), ("fields", FIELDS)];
        query.extend(condition);
        let url = self.client.upload_url(&self.bucket, &query);
        let answer = self.client.call(&call, |http| {
            let request = http.post(url.clone());
            let request = request.header("content-type", body.content_type());
            request.body(body.bytes())
        });
        let written: Resource = answer.await?.json(&call)?;
        written.expect_size(&call, length)
    }
}

/// Shows the bucket and the addresses, and nothing of the account.
impl fmt::Debug for CloudStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudStorage")
            .field("bucket", &self.bucket)
            .field("client", &self.client)
            .finish()
    }
}

/// A call by its name and its object, for messages.
#[derive(Clone, Debug)]
struct Call {
    call: &'static str,
    object: String,
}

impl Call {
    fn error(&self, kind: StorageErrorKind, reason: impl Into<String>) -> StorageError {
        StorageError::new(self.call, &self.object, kind, reason)
    }
}

#[async_trait]
impl Storage for CloudStorage {
    fn full_name(&self, name: &str) -> String {
        format!("gs://{}/{name}", self.bucket)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StorageError> {
        let call = self.named("list", prefix);
        let fields = format!("items({FIELDS}),nextPageToken");
        // Pages that follow one another may show an object twice when it is replaced meanwhile.
        let mut found = BTreeMap::new();
        let mut token: Option<String> = None;
        loop {
            let mut query = vec![
                ("prefix", prefix),
                ("maxResults", PAGE),
                ("fields", &fields),
            ];
            query.extend(token.as_deref().map(|token| ("pageToken", token)));
            let url = self.client.url(&["b", &self.bucket, "o"], &query);
            let answer = self.client.call(&call, |http| http.get(url.clone()));
            let page: List = answer.await?.json(&call)?;
            for resource in page.items {
                let info = resource.info(&call)?;
                found.insert(info.name.clone(), info);
            }
            token = page.next_page_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(found.into_values().collect());
            }
        }
    }

    async fn stat(&self, name: &str) -> Result<ObjectInfo, StorageError> {
        let call = self.named("look at", name);
        let query = [("fields", FIELDS)];
        let url = self.client.url(&["b", &self.bucket, "o", name], &query);
        let answer = self.client.call(&call, |http| http.get(url.clone()));
        let resource: Resource = answer.await?.json(&call)?;
        resource.info(&call)
    }

    async fn read(
        &self,
        object: &ObjectInfo,
        range: Range<u64>,
    ) -> Result<Box<dyn ObjectReader>, StorageError> {
        let mut reader = CloudReader::new(self.clone(), object, range);
        reader.open().await?;
        Ok(Box::new(reader))
    }

    async fn put(&self, name: &str, bytes: Bytes, metadata: &Metadata) -> Result<(), StorageError> {
        self.put_with(name, bytes, metadata, &[]).await
    }

    async fn put_if_absent(
        &self,
        name: &str,
        bytes: Bytes,
        metadata: &Metadata,
    ) -> Result<(), StorageError> {
        let absent = [("ifGenerationMatch", "0")];
        self.put_with(name, bytes, metadata, &absent).await
    }

    async fn upload(
        &self,
        name: &str,
        file: &Path,
        metadata: &Metadata,
    ) -> Result<(), StorageError> {
        let call = self.checked("upload", name)?;
        match upload::Parts::open(file, &call)? {
            upload::Parts::Small(bytes) => self.put(name, bytes, metadata).await,
            upload::Parts::Big(file) => self.upload_parts(&call, name, file, metadata).await,
        }
    }

    async fn copy_if_absent(&self, from: &str, to: &str) -> Result<(), StorageError> {
        let call = self.checked("copy to", to)?;
        let path = [
            "b",
            &self.bucket,
            "o",
            from,
            "rewriteTo",
            "b",
            &self.bucket,
            "o",
            to,
        ];
        let mut token: Option<String> = None;
        loop {
            let mut query = vec![("ifGenerationMatch", "0")];
            query.extend(token.as_deref().map(|token| ("rewriteToken", token)));
            let url = self.client.url(&path, &query);
            let answer = self.client.call(&call, |http| {
                http.post(url.clone()).header("content-length", 0)
            });
            let rewrite: Rewrite = answer.await?.json(&call)?;
            token = rewrite.rewrite_token;
            if rewrite.done || token.is_none() {
                return Ok(());
            }
        }
    }

    async fn delete(&self, name: &str) -> Result<(), StorageError> {
        let call = self.checked("delete", name)?;
        let url = self.client.url(&["b", &self.bucket, "o", name], &[]);
        let answer = self.client.call(&call, |http| http.delete(url.clone()));
        match answer.await {
            Err(error) if error.kind() != StorageErrorKind::NotFound => Err(error),
            // What an attempt deleted whose answer was lost is not there either.
            _ => Ok(()),
        }
    }
}
