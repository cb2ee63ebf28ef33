//! courier_chat, whole: the pipeline of the example, over its stand-ins.

mod acknowledgement;
mod disorder;
mod expected;
mod feed;
mod harness;
mod patience;
