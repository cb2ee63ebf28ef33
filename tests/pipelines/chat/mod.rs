//! The domain of courier_chat, without a pipeline.

mod conversation;
mod input;
mod publisher;
