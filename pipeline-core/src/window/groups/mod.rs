//! The groups of a grouping stage: elements gathered by key and window until they are emitted.
//!
//! This is the model's heart, kept apart from operators, threads and types of transforms:
//! [`Groups`] takes (key, window, input) and watermarks, and emits (key, output, stamp).
//!
//! - An element is dropped when the stage's input watermark is past its own window's expiry,
//!   judged before any merging (RG, "late data"; Java's `LateDataDroppingDoFnRunner`).
//! - The default trigger: one on-time pane when the watermark passes the end of the window, if it
//!   holds an element; then a late pane for each bundle that brings late elements.
//! - A pane's timestamp is folded from its elements' by the strategy's timestamp combiner. (Beam
//!   leaves late elements out of the fold where it would lie before the output watermark; here the
//!   fold is the same whether or not elements were combined on the way.)
//! - The watermark behind the stage is held at the earliest timestamp still to be emitted.
//! - A window is forgotten at its expiry.

mod account;
mod aligned;
mod group;
mod merging;
#[cfg(test)]
#[allow(clippy::panic)]
mod tests;

use std::mem::take;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::batch::Stamp;
use crate::coder::Key;
use crate::error::Result;
use crate::graph::snapshot::{NodeState, StateOut};
use crate::state::holds::Holds;
use crate::state::spill::Share;
use crate::time::Timestamp;
use crate::user_code::Fault;
use crate::window::{
    AccumulationMode, PaneInfo, PaneTiming, TimestampCombiner, Window, WindowingStrategy,
};

use account::Account;
use aligned::AlignedGroups;
use group::Group;
use merging::MergingGroups;
use merging::evicted::Stored;

/// What a grouping does with the elements of a group.
pub(crate) trait Aggregate {
    /// What comes in for a key.
    type Input;
    /// What a group holds; it is saved in snapshots.
    type Accumulator: Serialize + DeserializeOwned;
    /// What a pane holds.
    type Output;

    /// Begins a group.
    fn create(&self) -> Self::Accumulator;
    /// Begins a group with its first input. Default: [`Aggregate::create`], then add.
    fn first(&self, input: Self::Input) -> Self::Accumulator {
        let mut accumulator = self.create();
        self.add(&mut accumulator, input);
        accumulator
    }
    /// Adds to a group.
    fn add(&self, accumulator: &mut Self::Accumulator, input: Self::Input);
    /// Adds all of `other` to a group.
    fn merge(&self, accumulator: &mut Self::Accumulator, other: Self::Accumulator);
    /// Writes the encoding of an input, where it stays in its group as it is; returns whether it
    /// does. Default: it does not, and what it adds is found by a look at the group.
    fn write_input(_input: &Self::Input, _out: &mut Vec<u8>) -> bool {
        false
    }
    /// Makes the output of a group that ends.
    fn extract(&self, accumulator: Self::Accumulator) -> Self::Output;
    /// Makes the output of a group that goes on.
    fn peek(&self, accumulator: &Self::Accumulator) -> Self::Output;
}

/// One element, or several combined, on the way into a group.
pub(crate) struct Arrival<I> {
    pub(crate) input: I,
    /// The element's window, before merging.
    pub(crate) window: Window,
    /// The output time of the element, or the fold over several.
    pub(crate) output_time: Timestamp,
}

/// Takes what groups emit.
pub(crate) trait Emit<K, O> {
    fn emit(&mut self, key: K, output: O, stamp: Stamp) -> Result<(), Fault>;
}

/// Whether an element was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Taken,
    DroppedLate,
}

/// The names under which groups are saved.
const WATERMARK: &str = "watermark";
const GROUPS: &str = "groups";

/// The groups of one worker at one stage.
pub(crate) struct Groups<K, A: Aggregate> {
    strategy: WindowingStrategy,
    watermark: Timestamp,
    kind: GroupsKind<K, A>,
    account: Account,
}

enum GroupsKind<K, A: Aggregate> {
    /// Windows do not merge: keys of one window fire together, the window is the timer.
    Aligned(AlignedGroups<K, A>),
    /// Windows merge per key: each key has a timer.
    Merging(MergingGroups<K, A>),
}

/// What is shared by both kinds: the aggregate and the present state of the stage.
pub(crate) struct Stage<'a, A> {
    pub(crate) aggregate: &'a A,
    pub(crate) strategy: &'a WindowingStrategy,
    pub(crate) watermark: Timestamp,
}

impl<A> Stage<'_, A> {
    /// Tells whether the watermark is past the end of the window.
    fn has_ended(&self, window: Window) -> bool {
        self.watermark > window.max_timestamp()
    }

    fn has_expired(&self, window: Window) -> bool {
        self.watermark > self.strategy.expiry(window)
    }

    fn accumulates(&self) -> bool {
        self.strategy.accumulation == AccumulationMode::Accumulating
    }

    /// Describes the firing number `index` of a window.
    fn pane(&self, window: Window, timing: PaneTiming, index: u32) -> PaneInfo {
        // Without early firings every firing is on time or late, so both indexes count alike.
        let on_time_index = i32::try_from(index).unwrap_or(i32::MAX);
        PaneInfo::new(timing, self.has_expired(window), index, on_time_index)
    }
}

impl<K: Key, A: Aggregate> Groups<K, A> {
    pub(crate) fn new(strategy: WindowingStrategy) -> Self {
        let kind = if strategy.merges() {
            GroupsKind::Merging(MergingGroups::new(&strategy))
        } else {
            GroupsKind::Aligned(AlignedGroups::new(&strategy))
        };
        Groups {
            strategy,
            watermark: Timestamp::MIN,
            kind,
            account: Account::new(),
        }
    }

    /// Keeps to a share of the memory; see [`Groups::relieve`].
    pub(crate) fn sharing(mut self, share: Share) -> Self {
        self.account.share = share;
        self
    }

    /// Returns the input watermark as of the last [`Groups::advance`].
    pub(crate) fn watermark(&self) -> Timestamp {
        self.watermark
    }

    /// Adds an element to its group, unless its window has expired.
    #[inline]
    pub(crate) fn add(
        &mut self,
        aggregate: &A,
        key: K,
        arrival: Arrival<A::Input>,
    ) -> Result<Admission, Fault> {
        let stage = Stage {
            aggregate,
            strategy: &self.strategy,
            watermark: self.watermark,
        };
        if stage.has_expired(arrival.window) {
            return Ok(Admission::DroppedLate);
        }
        if self.account.is_sample() {
            return self.add_sample(aggregate, key, arrival);
        }
        match &mut self.kind {
            GroupsKind::Aligned(groups) => groups.add(&stage, key, arrival)?,
            GroupsKind::Merging(groups) => groups.add(&stage, key, arrival)?,
        }
        Ok(Admission::Taken)
    }

    /// Adds as [`Groups::add`] does, and weighs what that adds.
    #[cold]
    fn add_sample(
        &mut self,
        aggregate: &A,
        key: K,
        arrival: Arrival<A::Input>,
    ) -> Result<Admission, Fault> {
        let stage = Stage {
            aggregate,
            strategy: &self.strategy,
            watermark: self.watermark,
        };
        // What comes back is no insertion.
        match &mut self.kind {
            GroupsKind::Aligned(groups) => groups.bring_back(&stage, arrival.window, &key)?,
            GroupsKind::Merging(groups) => groups.bring_back(&stage, &key)?,
        }
        let (account, window, entries) = (&mut self.account, arrival.window, self.kind.entries());
        let mut input = Vec::new();
        let stays = A::write_input(&arrival.input, &mut input);
        let mut weight = (input.len() + size_of::<A::Input>()) as u64;
        let mut effort = weight;
        let entry = (size_of::<(K, Group<A::Accumulator>)>() + ENTRY) as u64 + account.weigh(&key);
        let looked_up = (!stays).then(|| key.clone());
        let mut weigh_group = |groups: &AlignedGroups<K, A>| {
            let group = groups.accumulator(looked_up.as_ref()?, window)?;
            Some(account.weigh(group))
        };
        match &mut self.kind {
            GroupsKind::Aligned(groups) => {
                let before = weigh_group(groups).unwrap_or(0);
                groups.add(&stage, key, arrival)?;
                if !stays {
                    let after = weigh_group(groups).unwrap_or(0);
                    weight = after.saturating_sub(before);
                    effort = before + after;
                }
            }
            GroupsKind::Merging(groups) => {
                let mut weigh = |groups: &MergingGroups<K, A>| match &looked_up {
                    Some(key) => account.weigh(&Stored(groups.windows_of(key))),
                    None => 0,
                };
                let before = weigh(groups);
                groups.add(&stage, key, arrival)?;
                if !stays {
                    let after = weigh(groups);
                    weight = after.saturating_sub(before);
                    effort = before + after;
                }
            }
        }
        if self.kind.entries() > entries {
            weight += entry;
        }
        self.account.sampled(weight, effort);
        Ok(Admission::Taken)
    }

    /// Spills groups, if the operator holds more than its share and they can be spilled.
    pub(crate) fn relieve(&mut self) -> Result<()> {
        let (_, came_back) = match &mut self.kind {
            GroupsKind::Aligned(groups) => take(&mut groups.came_back),
            GroupsKind::Merging(groups) => {
                groups.batch = groups.batch.wrapping_add(1);
                take(&mut groups.came_back)
            }
        };
        self.account.came_back(came_back);
        if !self.account.is_over() {
            return Ok(());
        }
        let (strategy, account) = (&self.strategy, &mut self.account);
        match &mut self.kind {
            GroupsKind::Aligned(groups) => groups.relieve(strategy, account),
            GroupsKind::Merging(groups) => groups.relieve(strategy, account),
        }
    }

    /// Ends a bundle: emits the late panes that it made, then, as the input watermark becomes
    /// `watermark`, what that lets fire, up to about `room` elements. Returns whether that is all;
    /// if not, [`Groups::fire_on`] must have it all out before anything else is done.
    pub(crate) fn advance(
        &mut self,
        aggregate: &A,
        watermark: Timestamp,
        out: &mut impl Emit<K, A::Output>,
        room: usize,
    ) -> Result<bool, Fault> {
        let stage = Stage {
            aggregate,
            strategy: &self.strategy,
            watermark: self.watermark,
        };
        match &mut self.kind {
            GroupsKind::Aligned(groups) => groups.fire_late(&stage, out)?,
            GroupsKind::Merging(groups) => groups.fire_late(&stage, out)?,
        }
        if watermark <= self.watermark {
            return Ok(true);
        }
        self.watermark = watermark;
        self.fire_on(aggregate, out, room)
    }

    /// Goes on with what the last [`Groups::advance`] lets fire; returns whether that is all.
    pub(crate) fn fire_on(
        &mut self,
        aggregate: &A,
        out: &mut impl Emit<K, A::Output>,
        room: usize,
    ) -> Result<bool, Fault> {
        let stage = Stage {
            aggregate,
            strategy: &self.strategy,
            watermark: self.watermark,
        };
        let before = self.kind.entries();
        let (done, came_back) = match &mut self.kind {
            GroupsKind::Aligned(groups) => {
                let done = groups.fire_ended(&stage, out, room);
                (done, take(&mut groups.came_back))
            }
            GroupsKind::Merging(groups) => {
                let done = groups.fire_ended(&stage, out, room);
                (done, take(&mut groups.came_back))
            }
        };
        let (entries, bytes) = came_back;
        self.account
            .left(before, self.kind.entries().saturating_sub(entries));
        self.account.came_back(bytes);
        done
    }

    /// Tells whether a firing is under way.
    pub(crate) fn is_firing(&self) -> bool {
        match &self.kind {
            GroupsKind::Aligned(groups) => groups.is_firing(),
            GroupsKind::Merging(groups) => groups.is_firing,
        }
    }

    /// Saves the groups and the watermark that elements are judged late by.
    pub(crate) fn save(&self, out: &mut StateOut<'_>) -> Result<()> {
        out.put(WATERMARK, &self.watermark)?;
        match &self.kind {
            GroupsKind::Aligned(groups) => groups.save(GROUPS, out),
            GroupsKind::Merging(groups) => groups.save(GROUPS, out),
        }
    }

    /// Takes back the groups of the keys that `is_mine` says.
    pub(crate) fn load(
        &mut self,
        aggregate: &A,
        state: &NodeState,
        is_mine: impl Fn(&K) -> bool,
    ) -> Result<()> {
        let Some(watermark) = state.common_watermark(WATERMARK)? else {
            return Ok(());
        };
        self.watermark = self.watermark.max(watermark);
        match &mut self.kind {
            GroupsKind::Aligned(groups) => {
                let stage = Stage {
                    aggregate,
                    strategy: &self.strategy,
                    watermark,
                };
                state.records(GROUPS, |record: aligned::Record<_, _>| {
                    if !is_mine(&record.0) {
                        return Ok(());
                    }
                    let account = &mut self.account;
                    if account.is_sample() {
                        let weight =
                            account.weigh(&record.0) + account.weigh(&record.2.accumulator);
                        let entry = size_of::<(K, Group<A::Accumulator>)>() + ENTRY;
                        account.sampled(weight + entry as u64, weight);
                    }
                    groups.restore(&stage, record)?;
                    match account.is_over() {
                        true => groups.relieve(&self.strategy, account),
                        false => Ok(()),
                    }
                })
            }
            GroupsKind::Merging(groups) => {
                state.records(GROUPS, |record: merging::Record<_, _>| {
                    if !is_mine(&record.0) {
                        return Ok(());
                    }
                    let (strategy, account) = (&self.strategy, &mut self.account);
                    if account.is_sample() {
                        let weight = account.weigh(&record.0) + account.weigh(&Stored(&record.1));
                        account.sampled(weight + MergingGroups::<K, A>::ENTRY, weight);
                    }
                    groups.restore(strategy, record);
                    match account.is_over() {
                        true => groups.relieve(strategy, account),
                        false => Ok(()),
                    }
                })
            }
        }
    }

    /// Returns the earliest timestamp that is still to be emitted on time.
    pub(crate) fn hold(&self) -> Timestamp {
        match &self.kind {
            GroupsKind::Aligned(groups) => groups.holds.earliest(),
            GroupsKind::Merging(groups) => groups.holds.earliest(),
        }
    }

    /// Returns the number of (key, window) whose elements have not been emitted.
    pub(crate) fn open_groups(&self) -> u64 {
        match &self.kind {
            GroupsKind::Aligned(groups) => groups.open_groups(),
            GroupsKind::Merging(groups) => groups.open_groups(),
        }
    }

    /// Returns the key that was worked on last, to name it when user code panics.
    pub(crate) fn current_key(&self) -> Option<&K> {
        match &self.kind {
            GroupsKind::Aligned(groups) => groups.current_key(),
            GroupsKind::Merging(groups) => groups.current_key(),
        }
    }
}

/// What a table adds to an entry: its place in the index, and room for more.
const ENTRY: usize = 24;

impl<K: Key, A: Aggregate> GroupsKind<K, A> {
    /// Returns the number of entries in memory.
    fn entries(&self) -> u64 {
        match self {
            GroupsKind::Aligned(groups) => groups.entries,
            GroupsKind::Merging(groups) => groups.entries(),
        }
    }
}

/// Returns the holds of a stage. With [`TimestampCombiner::EndOfWindow`] there is nothing to
/// count: a group that has not been emitted is in a window that has not ended, so its output is
/// never before the input watermark.
fn holds(strategy: &WindowingStrategy) -> Holds {
    if strategy.timestamp_combiner == TimestampCombiner::EndOfWindow {
        Holds::none()
    } else {
        Holds::counting()
    }
}
