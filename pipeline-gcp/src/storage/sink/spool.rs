//! Files that wait on this machine until their window is over.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pipeline_core::files::{LockError, lock};
use pipeline_core::{Error, Result};

/// How much of a file is collected before it goes to disk.
pub(super) const BUFFER_BYTES: usize = 64 * 1024;

/// How long a folder is waited for that this process has itself: a run that failed may still be letting go of it.
const OWN_LOCK: Duration = Duration::from_secs(2);

/// The folder of one sink, which no other process uses while this lives.
pub(super) struct SpoolFolder {
    path: PathBuf,
    _lock: File,
}

impl SpoolFolder {
    /// Makes the folder if it is not there, and takes it.
    pub(super) fn open(path: PathBuf) -> Result<Self> {
        let failed = |error| failed("use the spool folder", &path, error);
        fs::create_dir_all(&path).map_err(failed)?;
        let mut held = lock(&path.join(".lock"));
        let until = std::time::Instant::now() + OWN_LOCK;
        let own = std::process::id().to_string();
        while matches!(&held, Err(LockError::Held { pid: Some(pid) }) if *pid == own)
            && std::time::Instant::now() < until
        {
            std::thread::sleep(Duration::from_millis(10));
            held = lock(&path.join(".lock"));
        }
        let lock = held.map_err(|error| match error {
            LockError::Held { pid } => Error::connector(format!(
                "the spool folder {} is in use{}: two jobs cannot have one owner's name; choose another \
                 name, or another spool folder",
                path.display(),
                pid.map(|pid| format!(" by process {pid}")).unwrap_or_default()
            )),
            LockError::Io(error) => failed(error),
        })?;
        Ok(SpoolFolder { path, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes all files but those named.
    pub(super) fn retain(&self, kept: &[&str]) -> Result<()> {
        let failed = |error| failed("clear the spool folder", &self.path, error);
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let is_kept = name
                .to_str()
                .is_some_and(|n| n == ".lock" || kept.contains(&n));
            if !is_kept {
                fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Makes the names in the folder durable.
    pub(super) fn sync(&self) -> Result<()> {
        if cfg!(unix) {
            let synced = File::open(&self.path).and_then(|folder| folder.sync_all());
            synced.map_err(|error| failed("sync the spool folder", &self.path, error))?;
        }
        Ok(())
    }
}

/// One file. It is open only while it is written to: there may be thousands.
pub(super) struct SpoolFile {
    pub(super) path: PathBuf,
    /// What comes behind the first `written` bytes of the file.
    pub(super) buffer: Vec<u8>,
    written: u64,
    /// What is known to be on disk.
    synced: Option<u64>,
}

impl SpoolFile {
    pub(super) fn new(path: PathBuf) -> Self {
        SpoolFile {
            path,
            buffer: Vec::new(),
            written: 0,
            synced: None,
        }
    }

    /// Goes on with a file that had so many bytes; what was written behind them is taken back.
    pub(super) fn resume(path: PathBuf, length: u64) -> Result<Self> {
        let failed = |error| failed("go on with the spool file", &path, error);
        let file = OpenOptions::new().write(true).open(&path).map_err(failed)?;
        let there = file.metadata().map_err(failed)?.len();
        if there < length {
            return Err(Error::connector(format!(
                "the spool file {} has {there} bytes, and had {length} when the snapshot was taken",
                path.display()
            )));
        }
        file.set_len(length).map_err(failed)?;
        Ok(SpoolFile {
            path,
            buffer: Vec::new(),
            written: length,
            synced: None,
        })
    }

    /// Returns the length, with what is not on disk yet.
    pub(super) fn len(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    pub(super) fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Gives the system what is collected.
    pub(super) fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.append().map(|_| ())
    }

    /// Waits until all of it is on disk; tells whether the file is new.
    pub(super) fn save(&mut self) -> Result<bool> {
        let length = self.len();
        if self.synced == Some(length) {
            return Ok(false);
        }
        let file = self.append()?;
        let synced = file.sync_data();
        synced.map_err(|error| failed("sync the spool file", &self.path, error))?;
        Ok(self.synced.replace(length).is_none())
    }

    fn append(&mut self) -> Result<File> {
        let appended = || -> io::Result<File> {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&self.path)?;
            file.seek(SeekFrom::Start(self.written))?;
            file.write_all(&self.buffer)?;
            Ok(file)
        };
        let file = appended().map_err(|error| failed("write the spool file", &self.path, error))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(file)
    }
}

pub(super) fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    let remedy = match error.kind() {
        io::ErrorKind::StorageFull => {
            "; free some space, or choose another folder (FileSink::spool)"
        }
        _ => "",
    };
    Error::connector(format!("cannot {what} {}: {error}{remedy}", path.display()))
}
