//! A folder as a bucket.

use std::fs::{self, File, Metadata as FileMetadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use pipeline_core::Timestamp;

use super::error::{StorageError, StorageErrorKind};
use super::service::{Generation, Metadata, ObjectInfo, ObjectReader, Storage, check_name};

/// The bytes that are read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// How often a folder that somebody removes at the same time is made again.
const FOLDER_ATTEMPTS: u32 = 5;

/// Keeps objects as files of a folder: what is between slashes is a folder.
///
/// - A file is written under a hidden name beside its own (`.NAME.PROCESS-NUMBER.part`, which is never
///   listed), synced to disk and renamed, or linked where nothing may be there yet; then its folder is
///   synced. The file system must know hard links for that.
/// - A generation is made of the file's number, its length and the time of its last change: a file that
///   is written in place while it is read, by others, is told by that.
/// - Metadata is not kept. Links to files are followed, links to folders are not.
/// - An empty folder is removed with its last object if its name, or that of one above, begins with a dot.
///
/// Files are read and written on the thread that calls.
#[derive(Clone, Debug)]
pub struct LocalStorage {
    root: PathBuf,
}

impl LocalStorage {
    /// Takes a folder for a bucket; it is made when something is written.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        LocalStorage { root: root.into() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn failed(&self, call: &'static str, name: &str, error: &io::Error) -> StorageError {
        let kind = match error.kind() {
            ErrorKind::NotFound => StorageErrorKind::NotFound,
            ErrorKind::AlreadyExists => StorageErrorKind::Exists,
            ErrorKind::PermissionDenied => StorageErrorKind::Denied,
            _ => StorageErrorKind::Other,
        };
        let reason = match error.kind() {
            ErrorKind::StorageFull => format!("{error}; free some space or choose another disk"),
            ErrorKind::Unsupported if call != "read" => {
                format!("{error}; the file system must know hard links")
            }
            // The remedy of this kind speaks of a bucket.
            ErrorKind::PermissionDenied => {
                let kind = StorageErrorKind::Other;
                let reason = format!("{error}; check its permissions and those of its folder");
                return StorageError::new(call, self.full_name(name), kind, reason);
            }
            _ => error.to_string(),
        };
        StorageError::new(call, self.full_name(name), kind, reason)
    }

    fn checked(&self, call: &'static str, name: &str) -> Result<PathBuf, StorageError> {
        check_name(name).map_err(|why| {
            StorageError::new(call, self.full_name(name), StorageErrorKind::Invalid, why)
        })?;
        Ok(self.path(name))
    }

    /// Writes under a hidden name; `publish` then gives the file its own.
    fn write(
        &self,
        call: &'static str,
        name: &str,
        fill: impl Fn(&mut File) -> io::Result<()>,
        publish: impl Fn(&Path, &Path) -> io::Result<()>,
    ) -> Result<(), StorageError> {
        let path = self.checked(call, name)?;
        let written = || -> io::Result<()> {
            let (hidden, mut file) = create_hidden(&path)?;
            let done = fill(&mut file)
                .and_then(|()| file.sync_all())
                .and_then(|()| publish(&hidden, &path));
            // Gone if it was renamed; else it is rubbish, and its name says so.
            let _ = fs::remove_file(&hidden);
            done.and_then(|()| sync_folder(&path))
        };
        written().map_err(|error| self.failed(call, name, &error))
    }

    /// Adds the files below a folder whose names begin with the prefix.
    fn walk(&self, folder: &str, prefix: &str, found: &mut Vec<ObjectInfo>) -> io::Result<()> {
        let entries = match fs::read_dir(self.path(folder)) {
            Ok(entries) => entries,
            // Gone in the meantime, or never there: it has no objects.
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let Ok(file_name) = entry.file_name().into_string() else {
                continue;
            };
            let name = format!("{folder}{file_name}");
            let is_hidden_part = file_name.starts_with('.') && file_name.ends_with(".part");
            if entry.file_type()?.is_dir() {
                let below = format!("{name}/");
                if below.starts_with(prefix) || prefix.starts_with(&below) {
                    self.walk(&below, prefix, found)?;
                }
            } else if name.starts_with(prefix) && !is_hidden_part {
                match fs::metadata(entry.path()) {
                    Ok(metadata) if metadata.is_file() => found.push(info(name, &metadata)),
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    fn metadata(&self, call: &'static str, name: &str) -> Result<FileMetadata, StorageError> {
        let metadata = fs::metadata(self.path(name));
        let metadata = metadata.map_err(|error| self.failed(call, name, &error))?;
        if !metadata.is_file() {
            let kind = StorageErrorKind::NotFound;
            return Err(StorageError::new(
                call,
                self.full_name(name),
                kind,
                "it is no file",
            ));
        }
        Ok(metadata)
    }
}

#[async_trait]
impl Storage for LocalStorage {
    fn full_name(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StorageError> {
        let folder = prefix.rfind('/').map_or("", |slash| &prefix[..=slash]);
        let mut found = Vec::new();
        let walked = self.walk(folder, prefix, &mut found);
        walked.map_err(|error| self.failed("list", prefix, &error))?;
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    async fn stat(&self, name: &str) -> Result<ObjectInfo, StorageError> {
        let metadata = self.metadata("look at", name)?;
        Ok(info(name.to_owned(), &metadata))
    }

    async fn read(
        &self,
        object: &ObjectInfo,
        range: Range<u64>,
    ) -> Result<Box<dyn ObjectReader>, StorageError> {
        let name = &object.name;
        self.metadata("read", name)?;
        let opened = File::open(self.path(name)).and_then(|mut file| {
            file.seek(SeekFrom::Start(range.start))?;
            let metadata = file.metadata()?;
            Ok((file, metadata))
        });
        let (file, metadata) = opened.map_err(|error| self.failed("read", name, &error))?;
        let reader = LocalReader {
            storage: self.clone(),
            file,
            at: range.start,
            end: range.end.min(object.size),
            info: object.clone(),
        };
        if info(String::new(), &metadata).generation != object.generation {
            return Err(reader.replaced());
        }
        Ok(Box::new(reader))
    }

    async fn put(&self, name: &str, bytes: Bytes, _: &Metadata) -> Result<(), StorageError> {
        let fill = |file: &mut File| file.write_all(&bytes);
        self.write("put", name, fill, |from, to| fs::rename(from, to))
    }

    async fn put_if_absent(
        &self,
        name: &str,
        bytes: Bytes,
        _: &Metadata,
    ) -> Result<(), StorageError> {
        let fill = |file: &mut File| file.write_all(&bytes);
        self.write("put", name, fill, |from, to| fs::hard_link(from, to))
    }

    async fn upload(&self, name: &str, file: &Path, _: &Metadata) -> Result<(), StorageError> {
        let fill = |to: &mut File| io::copy(&mut File::open(file)?, to).map(|_| ());
        self.write("upload", name, fill, |from, to| fs::rename(from, to))
    }

    async fn copy_if_absent(&self, from: &str, to: &str) -> Result<(), StorageError> {
        let path = self.checked("copy to", to)?;
        self.metadata("copy", from)?;
        let linked = in_folder(&path, || fs::hard_link(self.path(from), &path));
        match linked.and_then(|()| sync_folder(&path)) {
            Ok(()) => Ok(()),
            // A link of an earlier attempt.
            Err(error)
                if error.kind() == ErrorKind::AlreadyExists && is_same(&self.path(from), &path) =>
            {
                Ok(())
            }
            Err(error) => Err(self.failed("copy to", to, &error)),
        }
    }

    async fn delete(&self, name: &str) -> Result<(), StorageError> {
        let path = self.checked("delete", name)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(self.failed("delete", name, &error));
            }
            _ => {}
        }
        let mut name = name;
        while let Some((folder, _)) = name.rsplit_once('/') {
            let is_hidden = folder.split('/').any(|part| part.starts_with('.'));
            // One that has files stays, and is no error.
            if !is_hidden || fs::remove_dir(self.path(folder)).is_err() {
                break;
            }
            name = folder;
        }
        Ok(())
    }
}

/// Reads a file that is open: of what took its name since it sees nothing.
struct LocalReader {
    storage: LocalStorage,
    file: File,
    info: ObjectInfo,
    at: u64,
    end: u64,
}

impl LocalReader {
    fn replaced(&self) -> StorageError {
        let name = self.storage.full_name(&self.info.name);
        let why = "it was replaced, or written to, since it was first looked at";
        StorageError::new("read", name, StorageErrorKind::Replaced, why)
    }
}

#[async_trait]
impl ObjectReader for LocalReader {
    async fn next(&mut self) -> Result<Option<Bytes>, StorageError> {
        let failed = |error| self.storage.failed("read", &self.info.name, &error);
        if self.at >= self.end {
            let now = self.file.metadata().map_err(failed)?;
            if info(String::new(), &now).generation != self.info.generation {
                return Err(self.replaced());
            }
            return Ok(None);
        }
        let length = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let mut chunk = BytesMut::zeroed(length.min(CHUNK_BYTES));
        let read = loop {
            match self.file.read(&mut chunk) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.map_err(failed)?,
            }
        };
        if read == 0 {
            return Err(self.replaced());
        }
        chunk.truncate(read);
        self.at += read as u64;
        Ok(Some(chunk.freeze()))
    }
}

fn info(name: String, metadata: &FileMetadata) -> ObjectInfo {
    let changed = metadata.modified().ok();
    let changed = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let changed = changed.unwrap_or_default();
    let millis = i64::try_from(changed.as_millis()).unwrap_or(i64::MAX);
    let nanos = changed.as_nanos() as u64;
    ObjectInfo {
        name,
        size: metadata.len(),
        generation: Generation(mixed([nanos, number(metadata), metadata.len()])),
        updated: Timestamp::from_millis(millis),
        metadata: Metadata::new(),
    }
}

/// Makes one number of several (FNV-1a).
fn mixed(numbers: [u64; 3]) -> u64 {
    let bytes = numbers.into_iter().flat_map(u64::to_le_bytes);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(unix)]
fn number(metadata: &FileMetadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn number(_: &FileMetadata) -> u64 {
    0
}

/// Tells whether two names are links to one file.
#[cfg(unix)]
fn is_same(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |path: &Path| fs::metadata(path).map(|m| (m.dev(), m.ino())).ok();
    place(one).is_some_and(|at| place(other) == Some(at))
}

#[cfg(not(unix))]
fn is_same(_: &Path, _: &Path) -> bool {
    false
}

/// Makes a new file beside `path`, under a hidden name.
fn create_hidden(path: &Path) -> io::Result<(PathBuf, File)> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let short: String = name.chars().take(50).collect();
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let hidden = format!(".{short}.{}-{number}.part", std::process::id());
        let hidden = path.with_file_name(hidden);
        let create = || {
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&hidden)
        };
        match in_folder(path, create) {
            Ok(file) => return Ok((hidden, file)),
            // Left behind by a process that had the same number.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// Does something in the folder of a file, which is made if it is not there.
fn in_folder<R>(path: &Path, act: impl Fn() -> io::Result<R>) -> io::Result<R> {
    for _ in 0..FOLDER_ATTEMPTS {
        match act() {
            Err(error) if error.kind() == ErrorKind::NotFound => make_folder(path.parent())?,
            done => return done,
        }
    }
    act()
}

/// Makes a folder and those above it, durably.
fn make_folder(folder: Option<&Path>) -> io::Result<()> {
    let Some(folder) = folder.filter(|folder| !folder.as_os_str().is_empty()) else {
        return Ok(());
    };
    match fs::create_dir(folder) {
        Ok(()) => sync_folder(folder),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make_folder(folder.parent())?;
            match fs::create_dir(folder) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
                _ => sync_folder(folder),
            }
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes the entry of a file in its folder durable, where folders can be opened.
fn sync_folder(path: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty());
    let synced = File::open(folder.unwrap_or(Path::new("."))).and_then(|f| f.sync_all());
    match synced {
        // A file system that cannot, or a folder that may be written but not read.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::InvalidInput | ErrorKind::PermissionDenied
            ) =>
        {
            Ok(())
        }
        synced => synced,
    }
}
