//! Operators that keep state, driven by themselves.

mod changed;
mod resumed;
mod stage;
