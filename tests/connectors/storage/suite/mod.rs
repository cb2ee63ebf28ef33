//! One suite for every storage: a folder, an emulator, a server that fails by script.

#![allow(missing_docs)]

pub mod contract;
pub mod crash;
pub mod flaky;
pub mod life;
pub mod sink;
pub mod source;

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use flate2::read::MultiGzDecoder;
use pipeline_gcp::storage::{Metadata, Place, Storage};
use tokio::runtime::Runtime;

/// A storage under test, and a prefix of its own for each bench.
pub struct Bench {
    pub storage: Arc<dyn Storage>,
    pub keeps_metadata: bool,
    /// Of the calls at which it may crash, each so-many-th is tried.
    pub steps: usize,
    pub prefix: String,
    pub runtime: Runtime,
    pub folder: tempfile::TempDir,
}

impl Bench {
    pub fn new(storage: Arc<dyn Storage>, keeps_metadata: bool) -> Bench {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let runtime = tokio::runtime::Builder::new_multi_thread();
        Bench {
            storage,
            keeps_metadata,
            steps: 1,
            prefix: format!("bench-{number}/"),
            runtime: { runtime }.worker_threads(1).enable_all().build().unwrap(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Tries only every so-many-th call, where each takes its time.
    pub fn every(self, steps: usize) -> Bench {
        Bench { steps, ..self }
    }

    /// The same, with another prefix and folder.
    pub fn fresh(&self) -> Bench {
        Bench::new(Arc::clone(&self.storage), self.keeps_metadata).every(self.steps)
    }

    pub fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub fn place(&self, name: &str) -> Place {
        Place {
            storage: Arc::clone(&self.storage),
            name: self.name(name),
        }
    }

    pub fn run<R>(&self, call: impl Future<Output = R>) -> R {
        self.runtime.block_on(call)
    }

    pub fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref().to_vec().into();
        let (name, none) = (self.name(name), Metadata::new());
        let put = self.storage.put(&name, bytes, &none);
        self.run(put).unwrap();
    }

    pub fn names(&self, prefix: &str) -> Vec<String> {
        let listed = self.run(self.storage.list(&self.name(prefix))).unwrap();
        let cut = |name: String| name[self.prefix.len()..].to_owned();
        listed.into_iter().map(|object| cut(object.name)).collect()
    }

    pub fn get(&self, name: &str) -> Vec<u8> {
        self.run(async {
            let object = self.storage.stat(&self.name(name)).await.unwrap();
            read(&*self.storage, &object, 0..u64::MAX).await.unwrap()
        })
    }

    /// Returns the lines of each object, unpacked, but for temporary ones.
    pub fn lines(&self) -> BTreeMap<String, Vec<String>> {
        let mut found = BTreeMap::new();
        for name in self.names("") {
            if name.contains(".pipeline/") {
                continue;
            }
            let bytes = self.get(&name);
            let mut text = String::new();
            match name.ends_with(".gz") {
                true => MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text),
                false => (&bytes[..]).read_to_string(&mut text),
            }
            .unwrap();
            found.insert(name, text.lines().map(str::to_owned).collect());
        }
        found
    }

    /// Returns the lines of all objects, sorted.
    pub fn all_lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.lines().into_values().flatten().collect();
        lines.sort();
        lines
    }
}

pub async fn read(
    storage: &dyn Storage,
    object: &pipeline_gcp::storage::ObjectInfo,
    range: std::ops::Range<u64>,
) -> Result<Vec<u8>, pipeline_gcp::storage::StorageError> {
    let mut reader = storage.read(object, range).await?;
    let mut all = Vec::new();
    while let Some(bytes) = reader.next().await? {
        assert!(!bytes.is_empty());
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}
