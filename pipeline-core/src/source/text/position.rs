//! Where a [`TextReader`](super::TextReader) is in its split.

use serde::{Deserialize, Serialize};

use super::plan::Share;
use crate::error::{Error, Result};

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
    pub(super) fn of(Share { input, range }: &Share) -> Self {
        ShareName {
            path: input.to_string(),
            start: range.start,
            end: range.end,
        }
    }
}

impl TextPosition {
    /// Checks that the files are shared out as they were.
    pub(super) fn check(&self, shares: &[Share]) -> Result<()> {
        let now = shares.get(self.share).map(ShareName::of);
        let there = self.share <= shares.len();
        if there && now == self.of {
            return Ok(());
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
}
