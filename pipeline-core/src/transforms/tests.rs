//! Operators that keep state, driven by themselves.

mod changed;
mod remember;
mod resumed;
mod stage;
