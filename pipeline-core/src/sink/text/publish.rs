//! Gives the parts of a run that succeeded their names.

use std::path::{Path, PathBuf};

use super::TextSink;
use super::writer::Part;
use crate::files::{AtomicFile, FileError, FilePosition};

impl<T> TextSink<T> {
    /// Publishes the parts as shards or as one file. Those that a snapshot names can be published
    /// again from where it broke off; of others all are published or none.
    pub(super) fn publish(&self, parts: Vec<Part>) -> Result<(), FileError> {
        if self.sharded {
            self.publish_shards(parts)
        } else {
            publish_whole(parts)
        }
    }

    fn publish_shards(&self, mut parts: Vec<Part>) -> Result<(), FileError> {
        parts.sort_by_key(|part| part.worker);
        let count = parts.len();
        let mut shards = Vec::new();
        for part in parts {
            let mut file = begun(part)?;
            // What is most likely to fail comes before the first name is given.
            file.sync()?;
            shards.push(file);
        }
        let mut published = Vec::new();
        for (number, file) in shards.into_iter().enumerate() {
            let path = self.shard(number, count);
            let is_saved = file.is_saved();
            if let Err(error) = file.commit_as(&path) {
                for path in published {
                    // The error to tell is that which made it necessary.
                    let _ = std::fs::remove_file(path);
                }
                return Err(error);
            }
            // Where the parts are those of a snapshot, the next attempt goes on behind it.
            published.extend((!is_saved).then_some(path));
        }
        Ok(())
    }

    /// Publishes one shard.
    pub(super) fn publish_shard(&self, part: Part, path: &Path) -> Result<(), FileError> {
        begun(part)?.commit_as(path)
    }

    /// Returns the name of a shard.
    pub(super) fn shard(&self, number: usize, count: usize) -> PathBuf {
        self.path(&format!("-{number:05}-of-{count:05}"))
    }

    /// Publishes copies of the parts, which stay as they are.
    pub(super) fn publish_copies(&self, mut parts: Vec<Part>) -> Result<(), FileError> {
        parts.sort_by_key(|part| part.worker);
        if self.sharded {
            let count = parts.len();
            for (number, part) in parts.iter_mut().enumerate() {
                let mut copy = self.copy()?;
                add(&mut copy, part, true)?;
                copy.commit_as(&self.shard(number, count))?;
            }
            return Ok(());
        }
        if parts.is_empty() {
            return Ok(());
        }
        in_order(&mut parts);
        let mut whole = self.copy()?;
        for (number, part) in parts.iter_mut().enumerate() {
            add(&mut whole, part, number == 0)?;
        }
        whole.commit()
    }

    fn copy(&self) -> Result<AtomicFile, FileError> {
        AtomicFile::create(self.path(""), self.compression)
    }
}

/// Sorts the parts of one file: the others are appended to the first that has records; the header
/// is in it.
fn in_order(parts: &mut [Part]) {
    parts.sort_by_key(|part| (part.records_at.is_none(), part.worker));
}

fn publish_whole(mut parts: Vec<Part>) -> Result<(), FileError> {
    in_order(&mut parts);
    let mut parts = parts.into_iter();
    let Some(first) = parts.next() else {
        return Ok(());
    };
    let mut whole = begun(first)?;
    let mut saved = Vec::new();
    for mut part in parts {
        add(&mut whole, &mut part, false)?;
        // What a snapshot names is needed until the whole is there.
        saved.extend(part.file.is_saved().then_some(part.file));
    }
    whole.commit()?;
    saved.into_iter().for_each(AtomicFile::remove);
    Ok(())
}

/// Appends a part, with its header if it comes `first`.
fn add(whole: &mut AtomicFile, part: &mut Part, first: bool) -> Result<(), FileError> {
    match part.records_at {
        Some(_) if first => whole.append(&mut part.file, FilePosition::default()),
        Some(records_at) => whole.append(&mut part.file, records_at),
        None if first => whole.write(&part.bare_header),
        None => Ok(()),
    }
}

/// Returns the file of a part, with a header if it has no records.
fn begun(part: Part) -> Result<AtomicFile, FileError> {
    let mut file = part.file;
    if part.records_at.is_none() {
        file.write(&part.bare_header)?;
    }
    Ok(file)
}
