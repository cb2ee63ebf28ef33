//! From a spool file to an object: it is uploaded under a temporary name, and copied to its own when its epoch is
//! committed.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pipeline_core::files::{AtomicFile, Compression};
use pipeline_core::{Error, Result, Timestamp};
use serde::{Deserialize, Serialize};

use super::naming::{FileKey, FileName};
use super::registry::Registry;
use crate::storage::error::StorageErrorKind;
use crate::storage::location::Place;
use crate::storage::service::{Metadata, ObjectInfo, Storage, check_name};

/// The metadata that tells whose an object is.
const OWNER: &str = "pipeline-owner";
const FILE: &str = "pipeline-file";

/// The objects that a sink publishes at once.
const AT_ONCE: usize = 16;

/// What to do where an object is there already that this job has not written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// End the job with an error; nothing is overwritten.
    #[default]
    Refuse,
    /// Take the name of the next part that is free.
    NextPart,
}

pub(super) type Naming = Arc<dyn Fn(&FileName<'_>) -> String + Send + Sync>;

/// Where a sink's files go, and how they are named.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) place: Place,
    pub(super) owner: String,
    /// The beginning of temporary names, with a slash at the end.
    pub(super) temporary: String,
    pub(super) naming: Naming,
    pub(super) extension: String,
    pub(super) gzip: bool,
    pub(super) shards: u32,
    pub(super) existing: Existing,
    pub(super) remember: Duration,
}

/// A file whose window is over, in its spool file.
pub(super) struct Over {
    pub(super) key: FileKey,
    /// Names the file among all of all runs.
    pub(super) id: String,
    pub(super) path: PathBuf,
    /// The part that it is, unless its name is taken.
    pub(super) part: u32,
    /// Its window was so long over when it was opened that what had been written of it is not known any more.
    pub(super) is_forgotten: bool,
}

/// A file that was uploaded, and has its name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Uploaded {
    id: String,
    temporary: String,
    name: String,
    size: u64,
    /// The uploaded bytes, on this machine, until the object has its name.
    pub(super) files: Vec<String>,
    pub(super) key: FileKey,
    pub(super) part: u32,
}

impl Target {
    fn storage(&self) -> &dyn Storage {
        &*self.place.storage
    }

    /// Returns the name of a file in the bucket.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn name(&self, key: &FileKey, part: u32) -> Result<String, String> {
        let extension = match self.gzip {
            true => format!("{}.gz", self.extension),
            false => self.extension.clone(),
        };
        let name = (self.naming)(&FileName {
            key,
            shards: self.shards,
            part,
            extension: &extension,
        });
        let name = match self.place.name.trim_end_matches('/') {
            "" => name,
            root => format!("{root}/{name}"),
        };
        check_name(&name)?;
        Ok(name)
    }

    fn metadata(&self, id: &str) -> Metadata {
        Metadata::from([
            (OWNER.to_owned(), self.owner.clone()),
            (FILE.to_owned(), id.to_owned()),
        ])
    }

    /// Uploads a file under a temporary name, and finds its own.
    pub(super) async fn upload(&self, over: Over, registry: &Registry) -> Result<Uploaded> {
        let Over {
            key,
            id,
            path,
            part,
            is_forgotten,
        } = over;
        let mut files = vec![file_name(&path)];
        let path = match self.gzip {
            false => path,
            true => {
                let packed = packed(path).await?;
                files.push(file_name(&packed));
                packed
            }
        };
        let size = std::fs::metadata(&path);
        let size = size
            .map_err(|error| super::spool::failed("read", &path, error))?
            .len();
        let (name, part) = self.free_name(&key, part, is_forgotten, registry).await?;
        let temporary = format!("{}{id}", self.temporary);
        let metadata = self.metadata(&id);
        self.storage().upload(&temporary, &path, &metadata).await?;
        Ok(Uploaded {
            id,
            temporary,
            name,
            size,
            files,
            key,
            part,
        })
    }

    /// Takes the name of a part, or of the next that is free.
    async fn free_name(
        &self,
        key: &FileKey,
        mut part: u32,
        is_forgotten: bool,
        registry: &Registry,
    ) -> Result<(String, u32)> {
        loop {
            let name = self.name(key, part).map_err(Error::connector)?;
            registry.take_name(&name, key)?;
            match self.storage().stat(&name).await {
                Err(error) if error.kind() == StorageErrorKind::NotFound => {
                    return Ok((name, part));
                }
                Err(error) => return Err(error.into()),
                Ok(_) => {}
            }
            if self.existing == Existing::Refuse && !is_forgotten {
                let name = self.storage().full_name(&name);
                return Err(Error::connector(format!(
                    "{name} is there already, and this job has not written it: nothing is overwritten; name \
                     another place, take it away, or have a further part written beside it (Existing::NextPart)"
                )));
            }
            part = registry.take(key);
        }
    }

    /// Tells whether what was written of a window is not remembered at a time.
    pub(super) fn is_forgotten(&self, key: &FileKey, registry: &Registry, at: Timestamp) -> bool {
        !registry.knows(key) && key.window.end() + self.remember <= at
    }

    /// Publishes files, several at once; what was published before is left as it is.
    pub(super) async fn publish_all(
        self: &Arc<Self>,
        uploaded: Vec<Uploaded>,
        spool: &Path,
    ) -> Result<()> {
        let mut tasks = tokio::task::JoinSet::new();
        let mut uploaded = uploaded.into_iter();
        loop {
            while tasks.len() < AT_ONCE
                && let Some(next) = uploaded.next()
            {
                let (target, spool) = (Arc::clone(self), spool.to_owned());
                tasks.spawn(async move { target.publish(&next, &spool).await });
            }
            match tasks.join_next().await {
                None => return Ok(()),
                Some(Ok(published)) => published?,
                Some(Err(error)) => return Err(Error::connector(error)),
            }
        }
    }

    /// Gives a file its name. It may be repeated from where it broke off.
    async fn publish(&self, uploaded: &Uploaded, spool: &Path) -> Result<()> {
        let Uploaded {
            temporary, name, ..
        } = uploaded;
        let mut copied = self.storage().copy_if_absent(temporary, name).await;
        if let Err(error) = &copied
            && error.kind() == StorageErrorKind::NotFound
        {
            // The temporary object is gone: the file has its name, or somebody has cleared it away.
            match self.storage().stat(name).await {
                Ok(there) if self.may_be(&there, uploaded) => copied = Ok(()),
                Ok(_) => return Err(self.taken(name)),
                Err(error) if error.kind() != StorageErrorKind::NotFound => {
                    return Err(error.into());
                }
                Err(_) => {
                    self.upload_again(uploaded, spool).await?;
                    copied = self.storage().copy_if_absent(temporary, name).await;
                }
            }
        }
        match copied {
            Err(error) if error.kind() == StorageErrorKind::Exists => {
                if !self.is_ours(uploaded).await? {
                    return Err(self.taken(name));
                }
            }
            copied => copied?,
        }
        self.storage().delete(temporary).await?;
        for file in &uploaded.files {
            // Gone if this is repeated; what stays is removed with the next run's beginning.
            let _ = std::fs::remove_file(spool.join(file));
        }
        Ok(())
    }

    async fn upload_again(&self, uploaded: &Uploaded, spool: &Path) -> Result<()> {
        let file = uploaded.files.last().map(|file| spool.join(file));
        let Some(file) = file.filter(|file| file.exists()) else {
            let (from, to) = (&uploaded.temporary, &uploaded.name);
            return Err(Error::connector(format!(
                "{} is not there, nor {}, which it should become, nor its file in the spool folder: somebody has \
                 taken them away, and their records are lost; begin anew with another folder for snapshots",
                self.storage().full_name(from),
                self.storage().full_name(to)
            )));
        };
        let metadata = self.metadata(&uploaded.id);
        let again = self.storage().upload(&uploaded.temporary, &file, &metadata);
        Ok(again.await?)
    }

    /// Tells whether an object may be the file: by its mark, or where none are kept by its length.
    fn may_be(&self, there: &ObjectInfo, uploaded: &Uploaded) -> bool {
        match there.metadata.get(FILE) {
            Some(id) => *id == uploaded.id,
            None => there.size == uploaded.size,
        }
    }

    /// Tells whether the object that has the name is the file: by its mark, or where none are kept by its bytes.
    async fn is_ours(&self, uploaded: &Uploaded) -> Result<bool> {
        let there = self.storage().stat(&uploaded.name).await?;
        if there.metadata.contains_key(FILE) || !self.may_be(&there, uploaded) {
            return Ok(self.may_be(&there, uploaded));
        }
        let ours = self.storage().stat(&uploaded.temporary).await?;
        if ours.size != there.size {
            return Ok(false);
        }
        let mut one = self.storage().read(&ours, 0..ours.size).await?;
        let mut other = self.storage().read(&there, 0..there.size).await?;
        let (mut left, mut right) = (bytes::Bytes::new(), bytes::Bytes::new());
        loop {
            if left.is_empty() {
                left = one.next().await?.unwrap_or_default();
            }
            if right.is_empty() {
                right = other.next().await?.unwrap_or_default();
            }
            let common = left.len().min(right.len());
            if common == 0 {
                return Ok(left.is_empty() && right.is_empty());
            }
            if left.split_to(common) != right.split_to(common) {
                return Ok(false);
            }
        }
    }

    fn taken(&self, name: &str) -> Error {
        Error::connector(format!(
            "{} was written by somebody else meanwhile: nothing is overwritten; take it away, and the next run \
             goes on",
            self.storage().full_name(name)
        ))
    }

    /// Deletes what runs that died have left of this owner, but for the temporary objects of the run named.
    pub(super) async fn clear(&self, but: Option<&str>) -> Result<()> {
        for object in self.storage().list(&self.temporary).await? {
            let of_run = object.name[self.temporary.len()..].split('-').next();
            if but.is_none() || of_run != but {
                self.storage().delete(&object.name).await?;
            }
        }
        Ok(())
    }

    /// Deletes temporary objects that will not be published; what cannot be deleted is left to the next run.
    pub(super) async fn forget(&self, uploaded: &[Uploaded]) {
        for uploaded in uploaded {
            let _ = self.storage().delete(&uploaded.temporary).await;
        }
    }
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Packs a file beside itself, on a thread that may take its time.
async fn packed(path: PathBuf) -> Result<PathBuf> {
    let packing = tokio::task::spawn_blocking(move || {
        let to = path.with_extension("gz");
        let failed = |error| super::spool::failed("read", &path, error);
        let mut from = std::fs::File::open(&path).map_err(failed)?;
        let mut file = AtomicFile::create(&to, Compression::Gzip)?;
        let mut chunk = vec![0; 64 * 1024];
        loop {
            match from.read(&mut chunk).map_err(failed)? {
                0 => break,
                read => file.write(&chunk[..read])?,
            }
        }
        file.commit()?;
        Ok(to)
    });
    packing.await.map_err(Error::connector)?
}
