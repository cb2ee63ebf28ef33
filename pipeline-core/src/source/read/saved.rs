//! What a snapshot holds of a source: where each part is, and how far the watermark.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::graph::NodeState;
use crate::source::{Position, Reader};
use crate::time::Timestamp;

/// A part that is open, or one that had ended and was not acknowledged to its end: what comes
/// again of it must be known.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SavedPart {
    pub(super) number: usize,
    pub(super) position: Bytes,
    pub(super) watermark: Timestamp,
    /// How long, in milliseconds, the part had given nothing. The time between two runs does not
    /// count: nobody could have heard it.
    pub(super) quiet: i64,
}

/// How the source was divided, and which parts nobody had begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedSplits {
    /// The number of parts that the source was asked for, and that it gave.
    pub(super) desired: usize,
    pub(super) given: usize,
    pub(super) untaken: Vec<usize>,
}

/// What all workers have saved.
pub(super) struct Restored {
    pub(super) splits: SavedSplits,
    parts: Vec<SavedPart>,
    pub(super) watermark: Timestamp,
}

impl Restored {
    /// Reads what was saved of a source; `None` if nothing was.
    pub(super) fn of(state: &NodeState) -> Result<Option<Restored>> {
        let Some(splits) = state.values::<SavedSplits>("splits")?.into_iter().next() else {
            return Ok(None);
        };
        let parts = state.values::<Vec<SavedPart>>("parts")?;
        let watermarks = state.values::<Timestamp>("watermark")?;
        Ok(Some(Restored {
            splits,
            parts: parts.into_iter().flatten().collect(),
            watermark: watermarks.into_iter().min().unwrap_or(Timestamp::MIN),
        }))
    }

    /// Keeps the splits that are not read to their end, each with where it goes on.
    pub(super) fn remaining<S>(
        &self,
        splits: Vec<S>,
    ) -> Result<Vec<(usize, S, Option<SavedPart>)>> {
        if splits.len() != self.splits.given {
            return Err(Error::option(format!(
                "the source has {} parts now, and had {} when the snapshot was taken: its input \
                 has changed",
                splits.len(),
                self.splits.given
            )));
        }
        let numbered = splits.into_iter().enumerate();
        let remaining = numbered.filter_map(|(number, split)| {
            let part = self.parts.iter().find(|part| part.number == number);
            let remains = part.is_some() || self.splits.untaken.contains(&number);
            remains.then(|| (number, split, part.cloned()))
        });
        Ok(remaining.collect())
    }
}

impl SavedPart {
    pub(super) fn of<T, A>(
        reader: &mut impl Reader<T, A>,
        number: usize,
        watermark: Timestamp,
        quiet: i64,
    ) -> Result<SavedPart> {
        Ok(SavedPart {
            number,
            position: reader.position()?.0.into(),
            watermark,
            quiet,
        })
    }

    pub(super) fn position(&self) -> Position {
        Position(self.position.to_vec())
    }
}
