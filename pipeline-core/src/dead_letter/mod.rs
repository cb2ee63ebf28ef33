//! Dead letters: records that could not be processed, kept as data with the reason.

mod bad_record;
mod failure;
mod ndjson;
mod outcome;

pub use bad_record::BadRecord;
pub use failure::Failure;
pub(crate) use ndjson::{read_ndjson, write_ndjson};
pub use outcome::Outcome;
