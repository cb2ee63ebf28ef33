//! Which objects are read, and by whom.

use std::collections::BTreeMap;
use std::ops::Range;

use pipeline_core::files::{Compression, FileRange, HEAD_BYTES, NamePattern, Packing};
use pipeline_core::{Error, Result};

use crate::storage::error::{StorageError, StorageErrorKind};
use crate::storage::location::Place;
use crate::storage::service::ObjectInfo;

/// What it costs to open an object, in bytes that could be read meanwhile.
const BYTES_PER_OBJECT: u64 = 256 * 1024;

/// A range of an object.
#[derive(Clone, Debug)]
pub(super) struct Share {
    pub(super) object: ObjectInfo,
    pub(super) range: FileRange,
}

impl Share {
    /// Returns the bytes that hold the lines of the range, but for the end of the last one.
    pub(super) fn bytes(&self) -> Range<u64> {
        let end = self.range.end.min(self.object.size);
        self.range.start.saturating_sub(1)..end
    }
}

/// Lists the objects that a pattern names, sorted by name; folders of the console's are passed over.
///
/// # Errors
/// Where there is no pattern, when the object is not there.
pub(super) async fn find(place: &Place) -> Result<Vec<ObjectInfo>, StorageError> {
    let storage = &place.storage;
    let invalid =
        |why: String| StorageError::new("read", place.full_name(), StorageErrorKind::Invalid, why);
    if place.name.is_empty() || place.name.ends_with('/') {
        let why = "it is a folder; name its objects, for example with a pattern that ends in /**";
        return Err(invalid(why.to_owned()));
    }
    let pattern = NamePattern::new(&place.name).map_err(|error| invalid(error.to_string()))?;
    if pattern.is_literal() {
        return Ok(vec![storage.stat(&place.name).await?]);
    }
    let mut found = storage.list(pattern.prefix()).await?;
    found.retain(|object| !object.name.ends_with('/') && pattern.matches(&object.name));
    Ok(found)
}

/// Makes about `desired` splits of about the same size: large objects are divided, small ones put together.
pub(super) async fn plan(
    place: &Place,
    objects: Vec<ObjectInfo>,
    compression: Compression,
    desired: usize,
    min_bytes: u64,
) -> Result<Vec<Vec<Share>>> {
    let cost = |bytes: u64| bytes.max(BYTES_PER_OBJECT);
    let total: u64 = objects.iter().map(|object| cost(object.size)).sum();
    let target = total.div_ceil(desired.max(1) as u64).max(min_bytes).max(1);
    let mut splits = Vec::new();
    let (mut split, mut split_cost) = (Vec::new(), 0);
    for object in objects {
        let ranges = match object.size.div_ceil(target) {
            0 | 1 => vec![FileRange::ALL],
            parts if is_plain(place, &object, compression).await? => {
                FileRange::split(object.size, parts, min_bytes)
            }
            _ => vec![FileRange::ALL],
        };
        let part_cost = cost(object.size / ranges.len() as u64);
        for range in ranges {
            if !split.is_empty() && split_cost + part_cost > target {
                splits.push(std::mem::take(&mut split));
                split_cost = 0;
            }
            let object = object.clone();
            split.push(Share { object, range });
            split_cost += part_cost;
        }
    }
    splits.extend((!split.is_empty()).then_some(split));
    Ok(splits)
}

async fn is_plain(place: &Place, object: &ObjectInfo, compression: Compression) -> Result<bool> {
    let mut head = Vec::new();
    let mut reader = place.storage.read(object, 0..HEAD_BYTES as u64).await?;
    while let Some(bytes) = reader.next().await? {
        head.extend_from_slice(&bytes);
    }
    let name = place.storage.full_name(&object.name);
    Ok(compression.packing(name.as_ref(), &head)? == Packing::Plain)
}

/// What a watch has read.
pub(super) struct Seen {
    /// The generation that was read last, and when it was written.
    objects: BTreeMap<String, (u64, i64)>,
    /// What was written before that was read, or never will be.
    horizon: i64,
    newest: i64,
}

impl Seen {
    pub(super) fn nothing() -> Self {
        Seen::restore(Vec::new(), i64::MIN)
    }

    pub(super) fn restore(objects: Vec<(String, u64, i64)>, horizon: i64) -> Self {
        Seen {
            newest: objects
                .iter()
                .map(|(.., written)| *written)
                .max()
                .unwrap_or(i64::MIN),
            objects: objects.into_iter().map(|(n, g, w)| (n, (g, w))).collect(),
            horizon,
        }
    }

    pub(super) fn save(&self) -> (Vec<(String, u64, i64)>, i64) {
        let objects = self.objects.iter().map(|(n, (g, w))| (n.clone(), *g, *w));
        (objects.collect(), self.horizon)
    }

    pub(super) fn has(&self, object: &ObjectInfo) -> bool {
        match self.objects.get(&object.name) {
            Some((generation, _)) => *generation == object.generation.0,
            None => object.updated.millis() < self.horizon,
        }
    }

    pub(super) fn add(&mut self, object: &ObjectInfo, forget_after: Option<i64>) {
        let written = object.updated.millis();
        let entry = (object.generation.0, written);
        self.objects.insert(object.name.clone(), entry);
        self.newest = self.newest.max(written);
        if let Some(time) = forget_after {
            let horizon = self.newest.saturating_sub(time);
            if horizon > self.horizon {
                self.horizon = horizon;
                self.objects.retain(|_, (_, written)| *written >= horizon);
            }
        }
    }
}

/// Says that no object is there, as a bounded source must.
pub(super) fn none_found(place: &Place) -> Error {
    StorageError::new(
        "read",
        place.full_name(),
        StorageErrorKind::NotFound,
        "no object has such a name; check the pattern and the bucket (or folder)",
    )
    .into()
}

#[cfg(test)]
mod tests {
    use pipeline_core::Timestamp;

    use super::*;
    use crate::storage::{Generation, Metadata};

    fn object(name: &str, generation: u64, written: i64) -> ObjectInfo {
        ObjectInfo {
            name: name.to_owned(),
            size: 1,
            generation: Generation(generation),
            updated: Timestamp::from_millis(written),
            metadata: Metadata::new(),
        }
    }

    #[test]
    fn each_generation_is_seen_once_and_old_ones_are_forgotten_safely() {
        let mut seen = Seen::nothing();
        seen.add(&object("a", 1, 1_000), Some(500));
        assert!(seen.has(&object("a", 1, 1_000)) && !seen.has(&object("a", 2, 1_100)));
        seen.add(&object("b", 1, 2_000), Some(500));
        let (saved, horizon) = seen.save();
        assert_eq!((saved.len(), horizon), (1, 1_500));
        let seen = Seen::restore(saved, horizon);
        assert!(seen.has(&object("a", 1, 1_000)), "it is behind the horizon");
        assert!(seen.has(&object("b", 1, 2_000)));
        assert!(!seen.has(&object("c", 1, 1_500)));
    }
}
