//! courier_chat, whole: the pipeline of the example, over its stand-ins.

mod expected;
mod harness;
