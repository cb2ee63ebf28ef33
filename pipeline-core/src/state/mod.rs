//! State kept per key and window: cells, event-time timers, and the tables that hold them.
//!
//! A [`StatefulDoFn`](crate::StatefulDoFn) declares its cells and timers once, through
//! [`StateCells`], and gets handles: [`ValueCell`], [`BagCell`] and [`EventTimer`]. A handle finds
//! the state of the key and window in process through the [`StateContext`].

mod cell_spec;
mod cells;
pub(crate) mod fold_table;
pub(crate) mod holds;
pub(crate) mod key_table;
pub(crate) mod spill;
mod timers;
mod weighed;

pub(crate) use cell_spec::{CellSpec, Column};
pub use cells::{BagCell, StateCells, StateContext, ValueCell};
pub(crate) use cells::{Entry, TimerRequest};
pub use timers::EventTimer;
pub(crate) use timers::TimerQueue;
pub(crate) use weighed::Weighed;
