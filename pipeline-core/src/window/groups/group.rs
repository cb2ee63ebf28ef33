//! A group: what one key gathers in one window.

use serde::{Deserialize, Serialize};

use super::{Aggregate, Stage};
use crate::batch::Stamp;
use crate::time::Timestamp;
use crate::window::{PaneTiming, Window};

/// What is gathered for one key in one window.
#[derive(Serialize, Deserialize)]
pub(super) struct Group<A> {
    /// `None` when there is nothing that a further pane would have to hold.
    pub(super) accumulator: Option<A>,
    /// There are elements that no pane has held.
    pub(super) dirty: bool,
    /// The output time folded over the elements since the last pane.
    pub(super) output_time: Timestamp,
    /// The number of panes emitted.
    pub(super) panes: u32,
}

impl<A> Group<A> {
    pub(super) const fn new() -> Self {
        Group {
            accumulator: None,
            dirty: false,
            output_time: Timestamp::MAX,
            panes: 0,
        }
    }

    /// Tells whether nothing has been added.
    pub(super) fn is_new(&self) -> bool {
        !self.dirty && self.panes == 0 && self.accumulator.is_none()
    }

    /// Adds an input; `window` is that of the group after merging.
    #[inline]
    pub(super) fn add<G: Aggregate<Accumulator = A>>(
        &mut self,
        stage: &Stage<'_, G>,
        window: Window,
        input: G::Input,
        output_time: Timestamp,
    ) {
        let combiner = stage.strategy.timestamp_combiner;
        self.output_time = if self.dirty {
            combiner.combine(window, self.output_time, output_time)
        } else {
            // Folded once, so that the end of a merged window counts.
            combiner.combine(window, output_time, output_time)
        };
        self.dirty = true;
        match &mut self.accumulator {
            Some(accumulator) => stage.aggregate.add(accumulator, input),
            none => *none = Some(stage.aggregate.first(input)),
        }
    }

    /// Takes in all of another group of the same window, of which at most one has emitted panes.
    pub(super) fn absorb<G: Aggregate<Accumulator = A>>(
        &mut self,
        stage: &Stage<'_, G>,
        window: Window,
        other: Group<A>,
    ) {
        let combiner = stage.strategy.timestamp_combiner;
        self.output_time = match (self.dirty, other.dirty) {
            (true, true) => combiner.combine(window, self.output_time, other.output_time),
            (false, true) => other.output_time,
            _ => self.output_time,
        };
        self.dirty |= other.dirty;
        self.panes = self.panes.max(other.panes);
        self.accumulator = match (self.accumulator.take(), other.accumulator) {
            (Some(mut a), Some(b)) => {
                stage.aggregate.merge(&mut a, b);
                Some(a)
            }
            (a, b) => a.or(b),
        };
    }

    /// Takes the pane that fires, if there is one: what it holds and its stamp.
    pub(super) fn fire<G: Aggregate<Accumulator = A>>(
        &mut self,
        stage: &Stage<'_, G>,
        window: Window,
        timing: PaneTiming,
    ) -> Option<(G::Output, Stamp)> {
        if !self.dirty {
            return None;
        }
        let output = if stage.accumulates() && !stage.has_expired(window) {
            stage.aggregate.peek(self.accumulator.as_ref()?)
        } else {
            stage.aggregate.extract(self.accumulator.take()?)
        };
        let stamp = Stamp {
            timestamp: self.output_time,
            window,
            pane: stage.pane(window, timing, self.panes),
        };
        self.dirty = false;
        self.panes += 1;
        Some((output, stamp))
    }
}
