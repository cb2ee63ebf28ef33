//! Cells: what a stateful function keeps per key and window.

use std::any::Any;
use std::marker::PhantomData;

use smallvec::SmallVec;

use super::cell_spec::CellSpec;
use super::timers::{EventTimer, TimerState};
use super::weighed::Weighed;
use crate::batch::Stamp;
use crate::coder::Element;
use crate::error::Error;
use crate::graph::Kept;
use crate::time::Timestamp;
use crate::window::Window;

/// Declares the cells and timers of a stateful function, each under a name of its own.
///
/// What a cell holds is in the snapshots of a run, found by its name when a later run takes it
/// back: a cell may be added, and a type may get a field with a default, but neither a cell nor a
/// timer may be renamed or taken away while its state is needed.
#[derive(Debug, Default)]
pub struct StateCells {
    pub(crate) cells: Vec<CellSpec>,
    pub(crate) timers: Vec<String>,
}

impl StateCells {
    /// Declares a cell with one value or none.
    pub fn value<T: Element>(&mut self, name: &str) -> ValueCell<T> {
        self.cells.push(CellSpec::value::<T>(name));
        ValueCell {
            index: self.cells.len() - 1,
            value: PhantomData,
        }
    }

    /// Declares a cell with any number of values, in the order in which they were added.
    pub fn bag<T: Element>(&mut self, name: &str) -> BagCell<T> {
        self.cells.push(CellSpec::bag::<T>(name));
        BagCell {
            index: self.cells.len() - 1,
            value: PhantomData,
        }
    }

    /// Declares an event-time timer.
    pub fn event_timer(&mut self, name: &str) -> EventTimer {
        self.timers.push(name.to_owned());
        EventTimer {
            index: self.timers.len() - 1,
        }
    }

    /// Returns what a snapshot says of the cells and timers.
    pub(crate) fn kept(&self) -> Kept {
        let cells = self.cells.iter();
        Kept {
            cells: cells.map(|c| (c.name.clone(), c.kind.name())).collect(),
            timers: self.timers.clone(),
            combiner: None,
            types: self.cells.iter().map(|c| c.held.clone()).collect(),
        }
    }

    /// Returns a name that was declared twice.
    pub(crate) fn repeated(&self) -> Option<&str> {
        let cells = self.cells.iter().map(|cell| &cell.name);
        let mut names: Vec<&String> = cells.chain(&self.timers).collect();
        names.sort();
        let pair = names.windows(2).find(|pair| pair[0] == pair[1])?;
        Some(pair[0])
    }
}

/// The state of one key and window.
pub(crate) struct Entry {
    pub(crate) cells: SmallVec<[Option<Box<dyn Any>>; 2]>,
    pub(crate) timers: SmallVec<[TimerState; 1]>,
    pub(crate) weighed: Weighed,
}

impl Entry {
    pub(crate) fn new(cells: usize, timers: usize) -> Self {
        Entry {
            cells: (0..cells).map(|_| None).collect(),
            timers: (0..timers).map(|_| TimerState::default()).collect(),
            weighed: Weighed::default(),
        }
    }

    /// Tells whether nothing is kept, so that the key can be forgotten.
    pub(crate) fn is_empty(&self) -> bool {
        self.cells.iter().all(Option::is_none) && self.timers.iter().all(|t| t.at.is_none())
    }
}

/// What a function asked of a timer.
pub(crate) struct TimerRequest {
    pub(crate) timer: usize,
    /// The time to fire and the timestamp of what is emitted then; `None` clears the timer.
    pub(crate) set: Option<(Timestamp, Timestamp)>,
}

/// Leads a stateful function to the state of the key and window in process, and tells it about
/// the element or timer.
pub struct StateContext<'a> {
    pub(crate) entry: &'a mut Entry,
    pub(crate) requests: &'a mut Vec<TimerRequest>,
    pub(crate) stamp: Stamp,
    pub(crate) watermark: Timestamp,
    pub(crate) expiry: Timestamp,
    pub(crate) failed: Option<Error>,
}

impl StateContext<'_> {
    /// Returns the timestamp of the element, or of what the timer emits.
    pub fn timestamp(&self) -> Timestamp {
        self.stamp.timestamp
    }

    /// Returns the window of the element and of the state.
    pub fn window(&self) -> Window {
        self.stamp.window
    }

    /// Returns the input watermark of this stage, as of the bundle's beginning.
    pub fn input_watermark(&self) -> Timestamp {
        self.watermark
    }

    fn cell<T: 'static>(&self, index: usize) -> Option<&T> {
        self.entry.cells.get(index)?.as_ref()?.downcast_ref()
    }

    fn cell_mut<T: 'static>(&mut self, index: usize) -> Option<&mut T> {
        self.entry.cells.get_mut(index)?.as_mut()?.downcast_mut()
    }

    fn take<T: 'static>(&mut self, index: usize) -> Option<T> {
        let cell = self.entry.cells.get_mut(index)?.take()?;
        cell.downcast().ok().map(|value| *value)
    }

    fn put<T: 'static>(&mut self, index: usize, value: T) {
        if let Some(cell) = self.entry.cells.get_mut(index) {
            *cell = Some(Box::new(value));
        }
    }
}

/// Keeps one value or none per key and window (Beam's `ValueState`).
#[derive(Debug)]
pub struct ValueCell<T> {
    index: usize,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for ValueCell<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for ValueCell<T> {}

impl<T: Element> ValueCell<T> {
    /// Returns the value.
    pub fn read<'a>(&self, context: &'a StateContext<'_>) -> Option<&'a T> {
        context.cell(self.index)
    }

    /// Replaces the value.
    pub fn write(&self, context: &mut StateContext<'_>, value: T) {
        match context.cell_mut(self.index) {
            Some(cell) => *cell = value,
            None => context.put(self.index, value),
        }
    }

    /// Returns the value and leaves none.
    pub fn take(&self, context: &mut StateContext<'_>) -> Option<T> {
        context.take(self.index)
    }

    /// Leaves no value.
    pub fn clear(&self, context: &mut StateContext<'_>) {
        drop(self.take(context));
    }
}

/// Keeps any number of values per key and window (Beam's `BagState`).
#[derive(Debug)]
pub struct BagCell<T> {
    index: usize,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for BagCell<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for BagCell<T> {}

impl<T: Element> BagCell<T> {
    /// Adds a value.
    pub fn add(&self, context: &mut StateContext<'_>, value: T) {
        match context.cell_mut::<Vec<T>>(self.index) {
            Some(bag) => bag.push(value),
            None => context.put(self.index, vec![value]),
        }
    }

    /// Returns the values.
    pub fn read<'a>(&self, context: &'a StateContext<'_>) -> &'a [T] {
        context
            .cell::<Vec<T>>(self.index)
            .map_or(&[], Vec::as_slice)
    }

    /// Returns the values and leaves none.
    pub fn take(&self, context: &mut StateContext<'_>) -> Vec<T> {
        context.take(self.index).unwrap_or_default()
    }

    /// Leaves no value.
    pub fn clear(&self, context: &mut StateContext<'_>) {
        drop(self.take(context));
    }
}
