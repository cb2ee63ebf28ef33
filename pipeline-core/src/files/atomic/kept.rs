//! Temporary files that outlive their process: the next one goes on with them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

use crc32fast::Hasher;

use super::{
    AtomicFile, FileError, FilePosition, create_new, short_name, sync_folder, target, unique_number,
};
use crate::files::Compression;

impl AtomicFile {
    /// Opens a temporary file under the name `.NAME.TAG-NUMBER.part`, with the next number that is free from `number`
    /// on, which is left behind it.
    ///
    /// # Errors
    /// As those of [`create`](AtomicFile::create).
    pub(crate) fn create_tagged(
        path: &Path,
        compression: Compression,
        tag: &str,
        number: &mut usize,
    ) -> Result<Self, FileError> {
        let (target, name) = target(path)?;
        loop {
            let temporary = format!("{}-{number}.part", short_name(&name, tag));
            let temporary = target.with_file_name(temporary);
            *number += 1;
            match create_new(&temporary) {
                Ok(file) => {
                    let gzip = compression.writes_gzip(path)?;
                    let mut file = AtomicFile::over(target, temporary, file, gzip);
                    file.checksum = Some(Hasher::new());
                    return Ok(file);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(FileError::new("write", path, error)),
            }
        }
    }

    /// Waits until all that was written is on disk, under the temporary name; returns that name, without the folder,
    /// and the place to go on from. From now on the temporary file stays when the value is dropped.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub(crate) fn save(&mut self) -> Result<SavedFile, FileError> {
        let position = self.position()?;
        if self.saved != Some(position) {
            self.flush()?;
            self.file.sync_data().map_err(|e| self.failed(e))?;
            if self.saved.is_none() {
                sync_folder(&self.path).map_err(|e| self.failed(e))?;
            }
            self.saved = Some(position);
        }
        let name = self.temporary.as_deref().and_then(Path::file_name);
        let name = name.unwrap_or_default().to_string_lossy().into_owned();
        let checksum = match &self.checksum {
            Some(checksum) => checksum.clone(),
            None => self.checksum_again()?,
        };
        Ok(SavedFile {
            name,
            position,
            checksum: Some(checksum.finalize()),
        })
    }

    /// Reads what was flushed, all of it, since bytes were taken back.
    fn checksum_again(&mut self) -> Result<Hasher, FileError> {
        let checksum = match &self.temporary {
            Some(temporary) => File::open(temporary)
                .and_then(|file| checksum_of(file, self.flushed))
                .map_err(|e| self.failed(e))?,
            None => Hasher::new(),
        };
        self.checksum = Some(checksum.clone());
        Ok(checksum)
    }

    /// Tells whether the temporary file stays when the value is dropped.
    pub(crate) fn is_saved(&self) -> bool {
        self.saved.is_some()
    }

    /// Goes on with a temporary file that was saved. What was written behind the position is taken back when something
    /// is written, or the file gets its name: until then it is as it was found.
    ///
    /// # Errors
    /// When it is not there, is shorter, has other bytes before the position than it had, or cannot be opened for
    /// writing.
    pub(crate) fn resume(
        path: &Path,
        compression: Compression,
        saved: &SavedFile,
    ) -> Result<Self, FileError> {
        let (target, _) = target(path)?;
        let temporary = target.with_file_name(&saved.name);
        let position = saved.position;
        let failed = |e| FileError::new("go on with", &temporary, e);
        let file = OpenOptions::new().read(true).write(true).open(&temporary);
        let file = file.map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        if length < position.0 {
            let why = format!(
                "it has {length} bytes, and had {} when the snapshot was taken",
                position.0
            );
            let kind = io::ErrorKind::InvalidData;
            return Err(FileError::because("go on with", &temporary, kind, why));
        }
        let checksum = checksum_of(&file, position.0).map_err(failed)?;
        if saved
            .checksum
            .is_some_and(|saved| saved != checksum.clone().finalize())
        {
            let why = format!(
                "its first {} bytes are not those that it had when the snapshot was taken",
                position.0
            );
            let kind = io::ErrorKind::InvalidData;
            return Err(FileError::because("go on with", &temporary, kind, why));
        }
        let gzip = compression.writes_gzip(path)?;
        let mut resumed = AtomicFile::over(target, temporary, file, gzip);
        resumed.checksum = Some(checksum);
        resumed.flushed = position.0;
        resumed.misplaced = true;
        resumed.saved = Some(position);
        Ok(resumed)
    }

    /// Removes the temporary file, saved or not.
    pub(crate) fn remove(mut self) {
        self.saved = None;
    }

    /// Tells whether there is a temporary file of that name, for `path`.
    pub(crate) fn is_there(path: &Path, name: &str) -> bool {
        target(path).is_ok_and(|(target, _)| target.with_file_name(name).exists())
    }

    /// Makes a tag that no temporary file for `path` has.
    ///
    /// # Errors
    /// When no file of that name can be written.
    pub(crate) fn new_tag(path: &Path) -> Result<String, FileError> {
        let (target, name) = target(path)?;
        loop {
            let tag = unique_number();
            let mut taken = false;
            for_each_tagged(&target, &name, &tag, |_| taken = true);
            if !taken {
                return Ok(tag);
            }
        }
    }

    /// Removes the temporary files for `path` that have the tag, but for those named.
    ///
    /// # Errors
    /// When no file of that name can be written.
    pub(crate) fn remove_tagged(path: &Path, tag: &str, but: &[&str]) -> Result<(), FileError> {
        let (target, name) = target(path)?;
        for_each_tagged(&target, &name, tag, |found| {
            if !but.contains(&found) {
                // It is rubbish: what cannot be removed does no harm.
                let _ = fs::remove_file(target.with_file_name(found));
            }
        });
        Ok(())
    }
}

/// Says which temporary file was saved, and what was in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SavedFile {
    /// The temporary name, without the folder.
    pub(crate) name: String,
    /// The place to go on from.
    pub(crate) position: FilePosition,
    /// The CRC-32 of all before that place; what earlier programs saved has none.
    pub(crate) checksum: Option<u32>,
}

/// Reads so many bytes, and returns their checksum.
fn checksum_of(file: impl Read, length: u64) -> io::Result<Hasher> {
    let mut checksum = Hasher::new();
    let mut file = file.take(length);
    let mut block = vec![0; 256 * 1024];
    loop {
        match file.read(&mut block) {
            Ok(0) => return Ok(checksum),
            Ok(read) => checksum.update(&block[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Names the temporary files with a tag. A folder that cannot be read has none that could be found.
fn for_each_tagged(target: &Path, name: &str, tag: &str, mut each: impl FnMut(&str)) {
    let beginning = format!("{}-", short_name(name, tag));
    let folder = target.parent().filter(|f| !f.as_os_str().is_empty());
    let Ok(entries) = fs::read_dir(folder.unwrap_or(Path::new("."))) else {
        return;
    };
    for entry in entries.flatten() {
        let found = entry.file_name();
        if let Some(found) = found.to_str()
            && found.starts_with(&beginning)
            && found.ends_with(".part")
        {
            each(found);
        }
    }
}
