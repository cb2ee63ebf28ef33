//! Where a [`TextReader`](super::TextReader) is in its split.

use serde::{Deserialize, Serialize};

use super::plan::{Share, TextSplit};
use crate::error::{Error, Result};
use crate::files::Input;

/// What a snapshot holds of a split.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TextPosition {
    /// The number of the share that is being read, or comes next.
    pub(super) share: usize,
    /// Which share it is; `None` behind the last one.
    pub(super) of: Option<ShareName>,
    /// Where in the (decompressed) file the next line begins; `None` at the beginning of the share.
    pub(super) next_line: Option<u64>,
    /// What was taken off the share so far.
    pub(super) counted: Counted,
    /// What the files were like; what earlier programs saved has none.
    #[serde(default)]
    pub(super) stamps: Option<Stamps>,
    /// The checksum of the bytes before the next line, [`BEFORE`] at most, of a file that is not compressed.
    #[serde(default)]
    pub(super) before: Option<u32>,
}

/// How many bytes before the next line are compared.
pub(super) const BEFORE: u64 = 64 * 1024;

/// Tells whether files are what they were, as far as lengths and times tell.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamps {
    /// Of all files of the source.
    files: u32,
    /// Of each share that has not been read to its end.
    shares: Vec<u32>,
}

impl Stamps {
    /// Returns those of a split that is read from a share on.
    pub(super) fn of(split: &TextSplit, from: usize) -> Self {
        let shares = split.shares.iter().skip(from);
        Stamps {
            files: split.files,
            shares: shares.map(|share| share.stamp).collect(),
        }
    }
}

/// What was taken off a share, and counted.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Counted {
    pub(super) crs: u64,
    pub(super) bom: bool,
}

/// Tells a share from others.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ShareName {
    path: String,
    start: u64,
    end: u64,
}

impl ShareName {
    pub(super) fn of(Share { input, range, .. }: &Share) -> Self {
        ShareName {
            path: input.to_string(),
            start: range.start,
            end: range.end,
        }
    }
}

impl TextPosition {
    /// Checks that the files are shared out as they were, and are what they were.
    pub(super) fn check(&self, split: &TextSplit) -> Result<()> {
        let shares = &split.shares;
        let now = shares.get(self.share).map(ShareName::of);
        let there = self.share <= shares.len();
        if there && now == self.of {
            return self.check_stamps(split);
        }
        let words = |name: &Option<ShareName>| match name {
            Some(ShareName { path, start, .. }) => format!("{path} from byte {start} on"),
            None => "the end".to_owned(),
        };
        Err(Error::option(format!(
            "the files are not those of the snapshot: {} was being read, and in its place is {}; give the same files, or \
             begin anew with another folder for snapshots",
            words(&self.of),
            words(&now)
        )))
    }

    fn check_stamps(&self, split: &TextSplit) -> Result<()> {
        let Some(stamps) = &self.stamps else {
            return Ok(());
        };
        let left = split.shares.iter().skip(self.share);
        let mut pairs = left.zip(&stamps.shares);
        if let Some((share, _)) = pairs.find(|(share, stamp)| share.stamp != **stamp) {
            return Err(changed(
                &share.input,
                "it has another length, or was modified at another time",
            ));
        }
        if split.files != stamps.files {
            return Err(Error::option(
                "the files are not those of the snapshot: one that matches the pattern, in another part, is new, is \
                 gone, has another length, or was modified at another time; give the same files (with their times), or \
                 begin anew with another folder for snapshots",
            ));
        }
        Ok(())
    }

    /// Checks that what was read of the open share is what stands there now.
    pub(super) fn check_before(&self, input: &Input) -> Result<()> {
        let now = self.next_line.map(|at| input.checksum_before(at, BEFORE));
        match (self.before, now) {
            (Some(before), Some(now)) if now != Some(before) => {
                Err(changed(input, "what was read of it last is not there"))
            }
            _ => Ok(()),
        }
    }
}

fn changed(input: &Input, how: &str) -> Error {
    Error::option(format!(
        "the file {input} is not that of the snapshot: {how}; give the same file (with its time), or begin anew with \
         another folder for snapshots"
    ))
}
