//! Apache Beam's model in Rust: typed collections, event time, windows, state, dead letters, and
//! an engine embedded in the process.
//!
//! A program builds a [`Pipeline`] of transforms on [`PCollection`]s and hands it to a runner:
//!
//! ```
//! use pipeline_core::prelude::*;
//!
//! let pipeline = Pipeline::build(|p| {
//!     p.create("Lines", vec!["to be or not".to_string(), "to be".to_string()])
//!         .flat_map("Words", |line| {
//!             line.split(' ').map(str::to_owned).collect::<Vec<_>>()
//!         })
//!         .count_per_element("Count")
//!         .filter("Frequent", |(_, count)| *count > 1)
//!         .check("Twice", |words| assert_eq!(words.len(), 2));
//! })?;
//! let result = DirectRunner::new().run(&pipeline)?;
//! println!("{}", result.metrics());
//! # Ok::<(), Error>(())
//! ```
//!
//! # The map
//! - The words that programs use: [`Pipeline`], [`PCollection`] with a method per transform,
//!   [`DoFn`], [`StatefulDoFn`], [`CombineFn`], [`Outcome`] and [`BadRecord`], [`Timestamp`].
//! - [`window`]: window functions, lateness, panes. [`state`]: cells and timers.
//! - [`source`] and [`sink`]: connectors, and the traits for your own.
//! - [`runners`]: the embedded engine. [`testing`]: assertions and a stream under control.
//! - Inside: `graph` is the pipeline as data and the contract of operators, `exec` drives one
//!   worker's operators, `runners/direct` schedules workers.

mod batch;
mod clock;
pub mod coder;
mod dead_letter;
mod do_fn;
mod error;
mod event_log;
mod exec;
pub mod files;
mod graph;
mod metrics;
mod pcollection;
mod pipeline;
pub mod prelude;
pub mod runners;
pub mod sink;
pub mod source;
pub mod state;
pub mod testing;
mod time;
mod transforms;
mod user_code;
pub mod window;

pub use clock::{Clock, ManualClock, SystemClock};
pub use coder::{Element, Key};
pub use dead_letter::{BadRecord, Failure, Outcome};
pub use do_fn::{DoFn, ElementContext, Out, Outputs};
pub use error::{BoxError, Error, ErrorKind, Result};
pub use event_log::{Event, EventLog};
pub use metrics::{
    Counter, DEAD_LETTERS, DROPPED_LATE, ELEMENTS_IN, ELEMENTS_OUT, EXCHANGED, Metrics,
    MetricsSnapshot,
};
pub use pcollection::{PCollection, PTransform};
pub use pipeline::{BuiltPipeline, Pipeline};
pub use time::Timestamp;
pub use transforms::{CoGrouped, CombineFn, Count, Keyed, StatefulDoFn};
