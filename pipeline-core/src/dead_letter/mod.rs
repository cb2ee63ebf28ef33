//! Dead letters: records that could not be processed, kept as data with the reason.

mod bad_record;
mod failure;
mod outcome;

pub use bad_record::BadRecord;
pub use failure::Failure;
pub use outcome::Outcome;
