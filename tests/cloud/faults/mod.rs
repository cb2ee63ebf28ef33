//! Servers of ours over Google's protocols, which keep the rules that emulators do not, and fail by script.

pub mod bigquery;
