//! Describes the chat between couriers and customers: what comes in, what is summarised, what goes out.
//!
//! Pure domain code: it knows no pipeline, no threads and, but for the publisher, no service.
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
//! | [`publisher`] | the lines of a file onto a topic |

pub mod conversation;
pub mod csv;
pub mod event;
pub mod event_time;
pub mod generate;
pub mod input;
pub mod parse;
pub mod publisher;

pub use conversation::{Conversation, ConversationRow};
pub use event::{ChatEvent, ChatMessage, OrderEvent, Sender};
pub use event_time::{EventTime, InvalidTime};
pub use generate::Generator;
pub use input::{Line, LineCounts, LineId, LineReader};
pub use parse::{ParseError, ParseErrorKind, parse};
