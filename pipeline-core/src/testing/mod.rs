//! Testing pipelines: assertions on collections, and a stream under the test's control.

mod check;
mod test_stream;

pub use check::Timed;
pub use test_stream::{TestStream, TestStreamReader};
