//! How files are named.

use chrono::{DateTime, Utc};
use pipeline_core::window::Window;
use serde::{Deserialize, Serialize};

/// What a file is for: the records of one destination, window and shard.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct FileKey {
    pub(super) destination: String,
    pub(super) window: Window,
    pub(super) shard: u32,
}

/// Says which file is to be named, for [`FileSink::named`](super::FileSink::named).
#[derive(Clone, Copy, Debug)]
pub struct FileName<'a> {
    pub(super) key: &'a FileKey,
    pub(super) shards: u32,
    pub(super) part: u32,
    pub(super) extension: &'a str,
}

impl FileName<'_> {
    /// Returns the destination of the records; empty without a
    /// [destination function](super::FileSink::destination).
    pub fn destination(&self) -> &str {
        &self.key.destination
    }

    /// Returns the window of the records.
    pub fn window(&self) -> Window {
        self.key.window
    }

    /// Returns the number of the shard, from 0.
    pub fn shard(&self) -> u32 {
        self.key.shard
    }

    /// Returns the number of shards.
    pub fn shards(&self) -> u32 {
        self.shards
    }

    /// Counts the files of the destination, window and shard, from 0: there is a further one for late
    /// records, and when one has become too long.
    pub fn part(&self) -> u32 {
        self.part
    }

    /// Returns a number that no other file of the destination and window has: the shard, and for
    /// further parts the numbers behind the last shard.
    pub fn number(&self) -> u64 {
        u64::from(self.part) * u64::from(self.shards) + u64::from(self.key.shard)
    }

    /// Returns the ending, with its dot: `.ndjson`, `.csv.gz`.
    pub fn extension(&self) -> &str {
        self.extension
    }

    /// Writes the beginning of the window in UTC, by a format of `strftime`: `%Y/%m/%d/%H/%M`. Of the
    /// global window, and of times that no calendar has, it is `global`.
    pub fn time(&self, format: &str) -> String {
        time(self.key.window.start(), format)
    }

    /// The default name: `[DESTINATION/]BEGINNING-END-SSSSS-of-NNNNN[-PART].EXTENSION` with times like
    /// `20240201T100000Z`, as Beam's `FileIO`; in the global window without the times.
    pub fn default_name(&self) -> String {
        use std::fmt::Write;
        let mut name = String::new();
        if !self.destination().is_empty() {
            name.push_str(self.destination());
            name.push('/');
        }
        let compact = "%Y%m%dT%H%M%SZ";
        if self.window().is_global() {
            name.push_str("output");
        } else {
            name.push_str(&self.time(compact));
            name.push('-');
            name.push_str(&time(self.window().end(), compact));
        }
        // Writing into a string does not fail.
        let _ = write!(name, "-{:05}-of-{:05}", self.shard(), self.shards);
        if self.part > 0 {
            let _ = write!(name, "-{}", self.part);
        }
        name.push_str(self.extension);
        name
    }
}

fn time(timestamp: pipeline_core::Timestamp, format: &str) -> String {
    match DateTime::<Utc>::from_timestamp_millis(timestamp.millis()) {
        Some(time) if timestamp > pipeline_core::Timestamp::MIN => time.format(format).to_string(),
        _ => "global".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use pipeline_core::Timestamp;

    use super::*;

    #[test]
    fn a_name_tells_destination_window_shard_and_part() {
        let at = |minute: i64| Timestamp::from_millis(1_706_781_600_000 + minute * 60_000);
        let mut key = FileKey {
            destination: "order".into(),
            window: Window::interval(at(0), at(1)),
            shard: 2,
        };
        let named = |key: &FileKey, part| {
            let name = FileName {
                key,
                shards: 4,
                part,
                extension: ".ndjson",
            };
            (
                name.default_name(),
                name.number(),
                name.time("%Y/%m/%d/%H/%M"),
            )
        };
        let (name, number, folders) = named(&key, 0);
        assert_eq!(
            name,
            "order/20240201T100000Z-20240201T100100Z-00002-of-00004.ndjson"
        );
        assert_eq!((number, folders.as_str()), (2, "2024/02/01/10/00"));
        let (name, number, _) = named(&key, 3);
        assert!(name.ends_with("-00002-of-00004-3.ndjson"), "{name}");
        assert_eq!(number, 14);
        key.window = Window::GLOBAL;
        key.destination.clear();
        let (name, _, time) = named(&key, 0);
        assert_eq!(
            (name.as_str(), time.as_str()),
            ("output-00002-of-00004.ndjson", "global")
        );
    }
}
