//! Walks the shape of a type without a value of it, by driving its `Deserialize` with made-up input.
//!
//! Wherever the input may differ (the value of a leaf, the variant of an enum, whether an option is there) the
//! [`Tracer`] makes a [`Choice`]. Running `Deserialize` again along the same trail of choices, with another end, is how
//! it gets past a validated leaf and how it comes to see every variant.

mod candidates;
mod deserializer;
mod knowledge;
mod tracer;

pub(super) use tracer::{Numbers, Problem, Stop, Tracer};
