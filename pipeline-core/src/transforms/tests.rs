//! Operators that keep state, driven by themselves.

mod resumed;
mod stage;
