//! How keyed state is saved and taken back.
//!
//! Cells and timers are found by their names. Expiry, holds and the queue of timers follow from
//! what is saved.

use std::any::Any;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Stateful, StatefulDoFn};
use crate::coder::encode_to;
use crate::error::{Error, Result};
use crate::graph::snapshot::{NodeState, StateOut};
use crate::state::key_table::partition;
use crate::state::{CellSpec, Column, Entry, Weighed};
use crate::time::Timestamp;
use crate::window::Window;

/// The names under which it is saved.
const WATERMARK: &str = "watermark";
const PUT_OUT: &str = "put out";
const NAMES: &str = "names";
const STATES: &str = "states";

/// The names of cells and timers, in the order of what is saved of a key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Names {
    cells: Vec<String>,
    timers: Vec<String>,
}

/// When a timer fires, and the timestamp of what is emitted then.
type Timers = Vec<Option<(Timestamp, Timestamp)>>;

/// The state of a key and window.
type Saved<'a, K> = (&'a (K, Window), &'a Entry);

/// The state of some keys and windows.
#[derive(Serialize, Deserialize)]
struct Chunk<K> {
    keys: Vec<(K, Window, Timers)>,
    /// For each cell, what it holds for each key, as the cell has encoded it.
    cells: Vec<Bytes>,
}

impl<F: StatefulDoFn> Stateful<F> {
    pub(super) fn save_state(&self, out: &mut StateOut<'_>) -> Result<()> {
        let cells = &self.cells.cells;
        out.put(WATERMARK, &self.watermark)?;
        out.put(PUT_OUT, &self.progress.watermark)?;
        let names = Names {
            cells: cells.iter().map(|cell| cell.name.clone()).collect(),
            timers: self.cells.timers.clone(),
        };
        out.put(NAMES, &names)?;
        let encode = |entries: &[Saved<'_, F::Key>], payload: &mut Vec<u8>| {
            let column = |(index, cell): (usize, &CellSpec)| {
                let held = entries
                    .iter()
                    .map(|(_, entry)| entry.cells[index].as_deref());
                let held: Vec<Option<&dyn Any>> = held.collect();
                let mut column = Vec::new();
                (cell.encode)(&held, &mut column)?;
                Ok(column.into())
            };
            let keys = entries.iter().map(|&((key, window), entry)| {
                let timers = entry.timers.iter().map(|timer| timer.at).collect();
                (key, *window, timers)
            });
            let chunk = Chunk {
                keys: keys.collect(),
                cells: cells
                    .iter()
                    .enumerate()
                    .map(column)
                    .collect::<Result<_>>()?,
            };
            encode_to(&chunk, payload).map_err(|error| Error::connector(error.to_string()))
        };
        out.put_chunks(STATES, self.entries.iter(), encode)?;
        // What is in the store goes the same way, so that nobody has to know where it was.
        let mut failed = None;
        let away = self.away();
        let away = away.map_while(|entry| entry.map_err(|error| failed = Some(error)).ok());
        out.put_chunks(STATES, away, |entries, payload| {
            let entries: Vec<Saved<'_, F::Key>> = entries.iter().map(|(k, e)| (k, e)).collect();
            encode(&entries, payload)
        })?;
        failed.map_or(Ok(()), Err)
    }

    pub(super) fn load_state(&mut self, state: &NodeState) -> Result<()> {
        let Some(watermark) = state.common_watermark(WATERMARK)? else {
            return Ok(());
        };
        self.watermark = self.watermark.max(watermark);
        if let Some(watermark) = state.least_watermark(PUT_OUT)? {
            self.progress.watermark = watermark;
        }
        let names: Vec<Names> = state.values(NAMES)?;
        let Some(names) = names.first() else {
            return Err(state.misfit(NAMES, "they are missing"));
        };
        let places = Places {
            cells: places(state, &names.cells, |name| {
                self.cells.cells.iter().position(|cell| cell.name == name)
            })?,
            timers: places(state, &names.timers, |name| {
                self.cells.timers.iter().position(|timer| timer == name)
            })?,
        };
        state.chunks(STATES, |chunk: Chunk<F::Key>| {
            self.take_chunk(state, &places, chunk)
        })
    }

    fn take_chunk(
        &mut self,
        state: &NodeState,
        places: &Places,
        chunk: Chunk<F::Key>,
    ) -> Result<()> {
        let specs = &self.cells.cells;
        let column = |(bytes, &place): (&Bytes, &usize)| {
            let cell = &specs[place];
            let mut bytes = &bytes[..];
            let column = (cell.decode)(&mut bytes);
            let column = column.map_err(|why| state.misfit(STATES, in_cell(&cell.name, why)))?;
            if column.len() != chunk.keys.len() {
                return Err(state.misfit(STATES, in_cell(&cell.name, "values are missing")));
            }
            Ok(column.into_iter())
        };
        if chunk.cells.len() != places.cells.len() {
            return Err(state.misfit(STATES, "cells are missing"));
        }
        let columns = chunk.cells.iter().zip(&places.cells).map(column);
        let mut columns: Vec<<Column as IntoIterator>::IntoIter> =
            columns.collect::<Result<_>>()?;
        for (key, window, timers) in chunk.keys {
            let mut entry = Entry::new(self.cells.cells.len(), self.cells.timers.len());
            for (column, place) in columns.iter_mut().zip(&places.cells) {
                entry.cells[*place] = column.next().flatten();
            }
            if partition(&key, self.workers) != self.worker {
                continue;
            }
            for (at, place) in timers.into_iter().zip(&places.timers) {
                entry.timers[*place].at = at;
            }
            self.restore(key, window, entry)?;
        }
        self.relieve()
    }

    /// Puts the state of a key back, and all that follows from it.
    fn restore(&mut self, key: F::Key, window: Window, mut entry: Entry) -> Result<()> {
        for timer in &entry.timers {
            self.holds.replace(None, timer.hold());
        }
        if self.held.limited {
            let of = (key, window);
            entry.weighed = Weighed::came_back(self.held.weigh(&self.cells, &of, &entry));
            self.held.changed(0, entry.weighed.bytes());
            self.admit(of.0, window, entry)?;
            return self.relieve_early();
        }
        self.admit(key, window, entry)
    }
}

/// For each name that was saved, its place among those declared now.
struct Places {
    cells: Vec<usize>,
    timers: Vec<usize>,
}

fn places(
    state: &NodeState,
    saved: &[String],
    place: impl Fn(&str) -> Option<usize>,
) -> Result<Vec<usize>> {
    let find = |name: &String| {
        let gone = || state.misfit(NAMES, format!("it declares no '{name}'"));
        place(name).ok_or_else(gone)
    };
    saved.iter().map(find).collect()
}

fn in_cell(name: &str, why: impl std::fmt::Display) -> String {
    format!("cell '{name}': {why}")
}
