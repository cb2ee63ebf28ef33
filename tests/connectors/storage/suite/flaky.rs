//! A storage that dies at a call: that one, before or after it has taken effect, and all behind it fail.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use pipeline_gcp::storage::{
    Metadata, ObjectInfo, ObjectReader, Storage, StorageError, StorageErrorKind,
};

#[derive(Debug)]
pub struct Dying {
    storage: Arc<dyn Storage>,
    /// The calls that still go well.
    left: AtomicU32,
    /// The last of them takes effect, and nobody hears of it.
    takes_effect: bool,
}

impl Dying {
    pub fn after(storage: &Arc<dyn Storage>, calls: u32, takes_effect: bool) -> Arc<Dying> {
        Arc::new(Dying {
            storage: Arc::clone(storage),
            left: AtomicU32::new(calls),
            takes_effect,
        })
    }

    pub fn is_dead(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }

    fn dead(&self) -> StorageError {
        StorageError::new(
            "reach",
            "the storage",
            StorageErrorKind::Other,
            "it has crashed",
        )
    }

    async fn call<R>(
        &self,
        call: impl Future<Output = Result<R, StorageError>>,
    ) -> Result<R, StorageError> {
        let left = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        match left {
            Err(_) => Err(self.dead()),
            Ok(1) if self.takes_effect => {
                let _ = call.await;
                Err(self.dead())
            }
            Ok(1) => Err(self.dead()),
            Ok(_) => call.await,
        }
    }
}

#[async_trait]
impl Storage for Dying {
    fn full_name(&self, name: &str) -> String {
        self.storage.full_name(name)
    }
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StorageError> {
        self.call(self.storage.list(prefix)).await
    }
    async fn stat(&self, name: &str) -> Result<ObjectInfo, StorageError> {
        self.call(self.storage.stat(name)).await
    }
    async fn read(
        &self,
        object: &ObjectInfo,
        range: Range<u64>,
    ) -> Result<Box<dyn ObjectReader>, StorageError> {
        self.call(self.storage.read(object, range)).await
    }
    async fn put(&self, name: &str, bytes: Bytes, metadata: &Metadata) -> Result<(), StorageError> {
        self.call(self.storage.put(name, bytes, metadata)).await
    }
    async fn put_if_absent(
        &self,
        name: &str,
        bytes: Bytes,
        metadata: &Metadata,
    ) -> Result<(), StorageError> {
        self.call(self.storage.put_if_absent(name, bytes, metadata))
            .await
    }
    async fn upload(
        &self,
        name: &str,
        file: &Path,
        metadata: &Metadata,
    ) -> Result<(), StorageError> {
        self.call(self.storage.upload(name, file, metadata)).await
    }
    async fn copy_if_absent(&self, from: &str, to: &str) -> Result<(), StorageError> {
        self.call(self.storage.copy_if_absent(from, to)).await
    }
    async fn delete(&self, name: &str) -> Result<(), StorageError> {
        self.call(self.storage.delete(name)).await
    }
}
