//! Describes the chat between couriers and customers: what comes in, what is summarised, what goes out.
//!
//! The domain, which knows no pipeline and no threads:
//!
//! | module | what it holds |
//! |---|---|
//! | [`event`] | the two kinds of event on the wire |
//! | [`mod@parse`] | bytes to event, strict by one table |
//! | [`event_time`] | the time of a message, in microseconds |
//! | [`conversation`] | the mergeable summary of an order and the row made of it |
//! | [`csv`] | the final table as a file |
//! | [`input`] | lines of NDJSON and their ids |
//! | [`generate`] | seeded conversations of any number |
//!
//! The pipeline and the program:
//!
//! | module | what it holds |
//! |---|---|
//! | [`mod@pipeline`] | the pipeline, from records to tables |
//! | [`record`] | records, events with their ids |
//! | [`summary`] | the messages of an order, combined |
//! | [`join`] | conversations meet the city of their order |
//! | [`tables`] | the tables' columns and rows |
//! | [`file_source`] | the input as a bounded source |
//! | [`publisher`] | the lines of a file onto a topic |
//! | [`feed`] | the topic, and the publisher at work |
//! | [`google`] | Google's services instead of the stand-ins |
//! | [`position`] | how far the input has been taken in |
//! | [`state`] | the folder of snapshots: going on, and draining |
//! | [`options`], [`program`] | the flags; warehouse, publisher, pipeline, results |
//! | [`places`] | input and result files, tried before any work |
//! | [`mod@draw`] | the pipeline as a flow chart |
//! | [`generated`] | generated conversations as an input |
//! | [`stop`] | Ctrl-C, SIGTERM and SIGUSR1 |
//! | [`progress`], [`report`] | what a person sees meanwhile and at the end |

pub mod conversation;
pub mod csv;
pub mod draw;
pub mod event;
pub mod event_time;
pub mod feed;
pub mod file_source;
pub mod generate;
pub mod generated;
pub mod google;
pub mod input;
pub mod join;
pub mod options;
pub mod parse;
pub mod pipeline;
pub mod places;
pub mod position;
pub mod program;
pub mod progress;
pub mod publisher;
pub mod record;
pub mod report;
pub mod state;
pub mod stop;
pub mod summary;
pub mod tables;

pub use conversation::{Conversation, ConversationRow};
pub use event::{ChatEvent, ChatMessage, OrderEvent, Sender};
pub use event_time::{EventTime, InvalidTime};
pub use generate::Generator;
pub use input::{Line, LineCounts, LineId, LineReader};
pub use parse::{ParseError, ParseErrorKind, parse};
