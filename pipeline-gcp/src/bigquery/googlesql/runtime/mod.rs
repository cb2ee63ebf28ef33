//! Functions that are registered on a connection: GoogleSQL's semantics where SQLite's differ.
//!
//! Their names begin with `gs_`, so that they hide nothing. Every scalar gives NULL if an argument is NULL. The types of
//! the arguments are right by construction: the translation checked them.

mod arithmetic;
mod array_element;
mod cast;
mod register;
mod string;
mod timestamp;

pub(crate) use register::register;
