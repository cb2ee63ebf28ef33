//! How the files of a [`FileSink`] go through lives: what is open stays in the spool folder, what is uploaded waits for
//! the commit of its epoch, and the snapshot names both.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pipeline_core::coder::{decode, encode_to};
use pipeline_core::sink::Recovery;
use pipeline_core::{Element, Error, Result};
use serde::{Deserialize, Serialize};

use super::FileSink;
use super::naming::FileKey;
use super::registry::Registry;
use super::spool::{SpoolFile, SpoolFolder};
use super::target::Uploaded;

/// What a sink and its writers share.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) registry: Arc<Registry>,
    state: Mutex<State>,
    /// The run without snapshots that has cleared away what others have left.
    pub(super) cleared: tokio::sync::Mutex<String>,
}

#[derive(Default)]
pub(super) struct State {
    /// Names the run among all others.
    pub(super) run: String,
    /// The next number of a file of this run.
    next: u64,
    pub(super) spool: Option<SpoolFolder>,
    /// Snapshots are taken.
    pub(super) in_epochs: bool,
    /// Files of the life before that no writer has gone on with.
    pub(super) waiting: BTreeMap<FileKey, SavedFile>,
    /// Files that are to be published when the run, without snapshots, ends.
    pub(super) closed: Vec<Uploaded>,
}

/// An open file in a snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SavedFile {
    pub(super) name: String,
    pub(super) length: u64,
    pub(super) records: u64,
    pub(super) fields: usize,
}

/// What a writer has prepared.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Prepared {
    pub(super) open: Vec<(FileKey, SavedFile)>,
    pub(super) uploaded: Vec<Uploaded>,
    /// The next part of what was written so far; one writer tells it for all.
    pub(super) parts: Vec<(FileKey, u32)>,
}

impl Prepared {
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        encode_to(self, &mut bytes).map_err(Error::connector)?;
        Ok(bytes)
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the id of a new file, and where it is spooled.
    pub(super) fn new_file(&self) -> Result<(String, PathBuf)> {
        let mut state = self.lock();
        let id = format!("{}-{}", state.run, state.next);
        state.next += 1;
        let path = self.spool_path(&state)?.join(format!("{id}.spool"));
        Ok((id, path))
    }

    pub(super) fn spool_path(&self, state: &State) -> Result<PathBuf> {
        match &state.spool {
            Some(folder) => Ok(folder.path().to_owned()),
            None => Err(Error::connector("the sink writes files and was not begun")),
        }
    }

    /// Begins a run with that spool folder.
    ///
    /// # Errors
    /// When it cannot be used, or another job uses it.
    pub(super) fn begin(&self, spool: PathBuf, in_epochs: bool) -> Result<()> {
        self.begin_in(&mut self.lock(), spool, in_epochs)
    }

    /// Begins a run without snapshots, unless another worker has.
    ///
    /// # Errors
    /// As those of `begin`.
    pub(super) fn begin_once(&self, spool: PathBuf) -> Result<()> {
        let mut state = self.lock();
        if state.spool.is_some() {
            return Ok(());
        }
        self.begin_in(&mut state, spool, false)?;
        match &state.spool {
            Some(folder) => folder.retain(&[]),
            None => Ok(()),
        }
    }

    fn begin_in(&self, state: &mut State, spool: PathBuf, in_epochs: bool) -> Result<()> {
        self.registry.clear();
        // Lets go of the folder of a run that failed.
        *state = State::default();
        *state = State {
            run: new_run(),
            spool: Some(SpoolFolder::open(spool)?),
            in_epochs,
            ..State::default()
        };
        Ok(())
    }

    /// Ends a run: returns what is still to be published, and where it is.
    pub(super) fn end(&self) -> (Vec<Uploaded>, Option<SpoolFolder>) {
        let state = std::mem::take(&mut *self.lock());
        (state.closed, state.spool)
    }

    /// Takes a file of the life before.
    pub(super) fn take_waiting(&self, key: &FileKey) -> Result<Option<(SpoolFile, SavedFile)>> {
        let mut state = self.lock();
        let Some(saved) = state.waiting.remove(key) else {
            return Ok(None);
        };
        let path = self.spool_path(&state)?.join(&saved.name);
        Ok(Some((SpoolFile::resume(path, saved.length)?, saved)))
    }
}

/// Returns a name that no other run has: what a dead one may still send must not meet what this one does.
pub(super) fn new_run() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let nanos = chrono::Utc::now().timestamp_nanos_opt().unwrap_or_default();
    format!("{nanos:x}.{:x}.{number}", std::process::id())
}

impl<T: Element> FileSink<T> {
    pub(super) fn decoded(&self, prepared: &[Vec<u8>]) -> Result<Vec<Prepared>> {
        let filled = prepared.iter().filter(|bytes| !bytes.is_empty());
        let decoded = filled.map(|bytes| {
            decode(&mut bytes.as_slice()).map_err(|error| {
                Error::connector(format!(
                    "what was prepared for {} cannot be read: {error}",
                    self.target.place.full_name()
                ))
            })
        });
        decoded.collect()
    }

    pub(super) async fn commit_epoch(&self, prepared: Vec<Vec<u8>>) -> Result<()> {
        let prepared = self.decoded(&prepared)?;
        let uploaded = prepared.into_iter().flat_map(|p| p.uploaded).collect();
        let spool = self.shared.spool_path(&self.shared.lock())?;
        self.target.publish_all(uploaded, &spool).await
    }

    /// Begins a run with snapshots, or goes on with one.
    pub(super) async fn recover_files(&self, last: Option<Recovery>) -> Result<()> {
        let Some(spool) = &self.spool else {
            return Err(Error::option(format!(
                "files for {} wait on this machine until their window is over, and a run with snapshots goes on \
                 with them: name a folder for them (FileSink::spool)",
                self.target.place.full_name()
            )));
        };
        self.shared.begin(spool.join(self.folder()), true)?;
        let epoch = last.as_ref().map_or(0, |last| last.epoch);
        let prepared = self.decoded(&last.map(|last| last.prepared).unwrap_or_default())?;
        let mut uploaded = Vec::new();
        {
            let mut state = self.shared.lock();
            for prepared in prepared {
                self.shared.registry.restore(prepared.parts);
                let parts = prepared
                    .uploaded
                    .iter()
                    .map(|u| (u.key.clone(), u.part + 1));
                self.shared.registry.restore(parts);
                uploaded.extend(prepared.uploaded);
                state.waiting.extend(prepared.open);
            }
            let open = state.waiting.values().map(|saved| saved.name.as_str());
            let files = uploaded
                .iter()
                .flat_map(|u| u.files.iter().map(String::as_str));
            let kept: Vec<&str> = open.chain(files).collect();
            if let Some(folder) = &state.spool {
                folder.retain(&kept)?;
                for saved in state.waiting.values() {
                    let resumed = SpoolFile::resume(folder.path().join(&saved.name), saved.length);
                    resumed.map_err(|error| {
                        Error::connector(format!(
                            "{error}; snapshot {epoch} goes on with it: give it back, or begin anew with another \
                             folder for snapshots"
                        ))
                    })?;
                }
            }
        }
        let spool = self.shared.spool_path(&self.shared.lock())?;
        self.target.publish_all(uploaded, &spool).await?;
        // What is left under the owner's name was of a run that died behind its last snapshot.
        self.target.clear(None).await
    }
}
