//! Gives the parts of a run that succeeded their names.

use super::TextSink;
use super::writer::Part;
use crate::files::{AtomicFile, FileError};

impl<T> TextSink<T> {
    /// Publishes the parts as shards or as one file.
    pub(super) fn publish(&self, mut parts: Vec<Part>) -> Result<(), FileError> {
        parts.sort_by_key(|part| part.worker);
        if self.sharded {
            self.publish_shards(parts)
        } else {
            // The others are appended to the first that has records; the header is in it.
            parts.sort_by_key(|part| part.records_at.is_none());
            publish_whole(parts)
        }
    }

    fn publish_shards(&self, parts: Vec<Part>) -> Result<(), FileError> {
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
            let path = self.path(&format!("-{number:05}-of-{count:05}"));
            if let Err(error) = file.commit_as(&path) {
                for path in published {
                    // The error to tell is that which made it necessary.
                    let _ = std::fs::remove_file(path);
                }
                return Err(error);
            }
            published.push(path);
        }
        Ok(())
    }
}

fn publish_whole(parts: Vec<Part>) -> Result<(), FileError> {
    let mut parts = parts.into_iter();
    let Some(first) = parts.next() else {
        return Ok(());
    };
    let mut whole = begun(first)?;
    for Part {
        file, records_at, ..
    } in parts
    {
        if let Some(records_at) = records_at {
            whole.append(file, records_at)?;
        }
    }
    whole.commit()
}

/// Returns the file of a part, with a header if it has no records.
fn begun(part: Part) -> Result<AtomicFile, FileError> {
    let mut file = part.file;
    if part.records_at.is_none() {
        file.write(&part.bare_header)?;
    }
    Ok(file)
}
