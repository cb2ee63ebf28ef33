//! Where a reader is in its part, as a snapshot holds it.

use bytes::Bytes;
use serde::Serialize;

use crate::coder::encode_to;
use crate::error::{Error, Result};

/// Says where in its part a reader is: any value, in the library's own coding.
///
/// What is large and only grows goes into pieces: each is written once, however many snapshots
/// name it.
///
/// ```
/// use pipeline_core::source::Position;
///
/// // Two pieces that were in the snapshot before, and a new one.
/// let pieces = [(7, "seven"), (8, "eight"), (9, "nine")];
/// let position = Position::of(&9_u64)?
///     .with_pieces(pieces.map(|(number, text)| (number, text.into())));
/// # Ok::<(), pipeline_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Position {
    pub(crate) bytes: Vec<u8>,
    pub(crate) pieces: Vec<Piece>,
}

/// A piece of a position, with its number.
pub(crate) type Piece = (u64, Bytes);

impl Position {
    /// Makes a position of a value; [`ReadContext::position`](super::ReadContext::position) gives
    /// it back.
    ///
    /// # Errors
    /// When the value cannot be encoded.
    pub fn of<P: Serialize>(value: &P) -> Result<Position> {
        let mut bytes = Vec::new();
        encode_to(value, &mut bytes).map_err(|error| Error::connector(error.to_string()))?;
        Ok(Position {
            bytes,
            pieces: Vec::new(),
        })
    }

    /// Adds pieces, each under a number. The snapshot writes those whose numbers the one before did
    /// not have, so that a number stands for the same bytes as long as it is given again and again;
    /// what is not given again is let go. [`ReadContext::pieces`](super::ReadContext::pieces) gives
    /// them back. A piece has less than 4 GiB.
    pub fn with_pieces(mut self, pieces: impl IntoIterator<Item = (u64, Bytes)>) -> Position {
        self.pieces.extend(pieces);
        self
    }
}
