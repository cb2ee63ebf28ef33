//! Whole pipelines: each example is a folder, with its program in `main.rs` and its parts here, so
//! that tests run the very same ones.

pub mod courier_chat;
