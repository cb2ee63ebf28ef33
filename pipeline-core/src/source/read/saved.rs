//! What a snapshot holds of a source: where each part is, and how far the watermark.

use std::collections::HashMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::graph::{NodeState, StateOut};
use crate::source::position::Piece;
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
    /// The pieces of the position, which have frames of their own.
    #[serde(skip)]
    pieces: Vec<Piece>,
}

/// The name of the frames with pieces of positions.
const PIECES: &str = "pieces";

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
        state: &NodeState,
    ) -> Result<Vec<(usize, S, Option<SavedPart>)>> {
        if splits.len() != self.splits.given {
            return Err(Error::option(format!(
                "the source has {} parts now, and had {} when the snapshot was taken: its input \
                 has changed",
                splits.len(),
                self.splits.given
            )));
        }
        let mut pieces: HashMap<u64, Vec<Piece>> = HashMap::new();
        state.pieces(PIECES, |of, number, bytes| {
            pieces.entry(of).or_default().push((number, bytes));
        })?;
        let numbered = splits.into_iter().enumerate();
        let remaining = numbered.filter_map(|(number, split)| {
            let part = self.parts.iter().find(|part| part.number == number);
            let remains = part.is_some() || self.splits.untaken.contains(&number);
            let part = part.map(|part| SavedPart {
                pieces: pieces.remove(&(number as u64)).unwrap_or_default(),
                ..part.clone()
            });
            remains.then_some((number, split, part))
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
        let Position { bytes, pieces } = reader.position()?;
        Ok(SavedPart {
            number,
            position: bytes.into(),
            watermark,
            quiet,
            pieces,
        })
    }

    /// Writes parts, and the pieces of their positions.
    pub(super) fn save(parts: &[SavedPart], out: &mut StateOut<'_>) -> Result<()> {
        out.put("parts", parts)?;
        for part in parts {
            for (number, bytes) in &part.pieces {
                out.put_piece(PIECES, part.number as u64, *number, bytes)?;
            }
        }
        Ok(())
    }

    pub(super) fn position(&self) -> Position {
        Position {
            bytes: self.position.to_vec(),
            pieces: self.pieces.clone(),
        }
    }
}
