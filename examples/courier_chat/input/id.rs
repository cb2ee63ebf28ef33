//! Names a line by its number and what the input held up to it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Names a line; written as text it is the attribute `id` of the message that carries the line.
///
/// The text is the number in twelve digits, `-`, and the hash in sixteen hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct LineId {
    number: u64,
    hash: u64,
}

impl LineId {
    pub(super) fn new(number: u64, hash: u64) -> Self {
        Self { number, hash }
    }

    /// Gives the number of the line in the input, from 1, blank lines counted.
    pub fn number(self) -> u64 {
        self.number
    }
}

impl fmt::Display for LineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}-{:016x}", self.number, self.hash)
    }
}

impl FromStr for LineId {
    type Err = NotALineId;

    fn from_str(text: &str) -> Result<Self, NotALineId> {
        let parse = || {
            let (number, hash) = text.split_once('-')?;
            let number = number.parse().ok()?;
            let hash = u64::from_str_radix(hash, 16).ok()?;
            Some(LineId { number, hash })
        };
        let id = parse().filter(|id| id.to_string() == text);
        id.ok_or_else(|| NotALineId(text.to_owned()))
    }
}

impl From<LineId> for String {
    fn from(id: LineId) -> String {
        id.to_string()
    }
}

impl TryFrom<String> for LineId {
    type Error = NotALineId;

    fn try_from(text: String) -> Result<Self, NotALineId> {
        text.parse()
    }
}

/// Says that a text is no [`LineId`].
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not the id of a line")]
pub struct NotALineId(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_text_is_read_back_and_no_other_text_is() {
        let id = LineId::new(12, 0xab);
        assert_eq!(id.to_string().parse::<LineId>().unwrap(), id);
        for text in ["", "12", "12-ab", "000000000012-00000000000000AB", "-1-0"] {
            assert!(text.parse::<LineId>().is_err(), "{text}");
        }
    }
}
