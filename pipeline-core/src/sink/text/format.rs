//! How records are shown as text.

use serde::Serialize;

use crate::dead_letter::{BadRecord, Failure, write_ndjson};

/// Shows the records of one file as text.
///
/// ```
/// use pipeline_core::sink::format::{Csv, Format};
///
/// let mut csv = Csv::default();
/// let mut out = csv.header(&("Izmir".to_string(), 3))?;
/// csv.encode(&("Izmir".to_string(), 3), &mut out)?;
/// assert_eq!(out, b"Izmir,3\n");
/// # Ok::<(), pipeline_core::Failure>(())
/// ```
pub trait Format<T> {
    /// Appends a record with its end; after an error, what was appended is of no use.
    fn encode(&mut self, record: &T, out: &mut Vec<u8>) -> Result<(), Failure>;

    /// Returns what stands before the first record. Default: nothing.
    fn header(&mut self, _first: &T) -> Result<Vec<u8>, Failure> {
        Ok(Vec::new())
    }

    /// Returns what stands in a file without records. Default: nothing.
    fn bare_header(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Returns the number of fields that every record has; 0 while there was none, or where that is no matter.
    /// Default: 0.
    fn fields(&self) -> usize {
        0
    }

    /// Goes on behind records of so many fields. Default: that is no matter.
    fn resume(&mut self, _fields: usize) -> Result<(), Failure> {
        Ok(())
    }
}

/// Shows text or bytes as they are, each with `\n` behind it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lines;

impl<T: AsRef<[u8]>> Format<T> for Lines {
    fn encode(&mut self, record: &T, out: &mut Vec<u8>) -> Result<(), Failure> {
        out.extend_from_slice(record.as_ref());
        out.push(b'\n');
        Ok(())
    }
}

/// Shows records, by their serde, as newline-delimited JSON.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl<T: Serialize> Format<T> for Json {
    fn encode(&mut self, record: &T, out: &mut Vec<u8>) -> Result<(), Failure> {
        serde_json::to_writer(&mut *out, record)?;
        out.push(b'\n');
        Ok(())
    }
}

/// Shows dead letters as newline-delimited JSON.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeadLetters;

impl Format<BadRecord> for DeadLetters {
    fn encode(&mut self, record: &BadRecord, out: &mut Vec<u8>) -> Result<(), Failure> {
        Ok(write_ndjson(record, out)?)
    }
}
