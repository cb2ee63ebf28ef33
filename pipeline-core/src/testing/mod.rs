//! Testing pipelines: assertions on collections, a stream and a part of a source under the test's control.

mod check;
mod part;
mod test_stream;

pub use check::Timed;
pub use part::{TestPart, TestRead};
pub use test_stream::{TestStream, TestStreamReader};
