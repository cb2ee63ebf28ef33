//! Turns elements into bytes and back, from their serde shape alone.
//!
//! - [`Element`] and [`Key`] say what a pipeline can carry and group by: any type that derives serde's traits.
//! - [`encode_to`] and [`decode`] are the private coder: tagged, self-delimiting and self-describing, so that every
//!   serde attribute works (`flatten`, `untagged`, `tag`, `skip_serializing_if` …). `format.rs` is its specification.
//! - [`check_key`] refuses, when the pipeline is built, keys whose encoding is not a function of equality.
//!
//! The bytes are meant for the same program: for state, spill files and exchanges. They are no interchange format.

mod decoder;
mod element;
mod encoder;
mod error;
mod format;
mod key;
mod names;
mod samples;
mod shape;

pub use decoder::decode;
pub(crate) use decoder::decode_strictly;
pub use element::{Element, Key};
pub use encoder::encode_to;
pub use error::CoderError;
pub use format::{MAX_DEPTH, VERSION};
pub use key::{KeyRefusal, check_key};
pub(crate) use samples::{reads, reads_same, samples, short_name};

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
