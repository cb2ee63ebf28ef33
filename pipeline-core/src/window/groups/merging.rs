//! Groups in windows that merge: each key has its own.
//!
//! What does not fit into memory is in the store, key by key (`evicted.rs`).

pub(super) mod evicted;

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{Aggregate, Arrival, Emit, Group, Stage, holds};
use crate::coder::Key;
use crate::error::Result;
use crate::state::holds::Holds;
use crate::state::key_table::{KeyTable, SlotId};
use crate::state::spill::Evicted;
use crate::time::Timestamp;
use crate::user_code::{Fault, panic_message};
use crate::window::{PaneTiming, Window, WindowingStrategy};

/// A merged window of a key, with its group.
#[derive(Serialize, Deserialize)]
pub(super) struct Session<A> {
    pub(super) window: Window,
    pub(super) group: Group<A>,
    /// The on-time pane has been emitted, or its time was over when the first element came.
    pub(super) ended: bool,
}

/// The windows of a key as they are saved.
pub(super) type Record<K, A> = (K, Vec<Session<A>>);

pub(super) struct Sessions<A> {
    /// In the order of their starts; they do not intersect under `Sessions`.
    pub(super) open: SmallVec<[Session<A>; 1]>,
    /// The time of this key's entry in the queue.
    pub(super) timer: Timestamp,
    /// The batch that brought the last element: see [`MergingGroups::batch`].
    pub(super) touched: u32,
}

/// A slot per key, and one timer per key in a queue: when it comes up and the key's windows have
/// grown meanwhile, it is queued again.
pub(super) struct MergingGroups<K, A: Aggregate> {
    keys: KeyTable<K, Sessions<A::Accumulator>>,
    current_slot: SlotId,
    timers: BinaryHeap<Reverse<(Timestamp, SlotId)>>,
    late: BTreeSet<SlotId>,
    pub(super) is_firing: bool,
    /// Those of keys in the store count as well.
    pub(super) holds: Holds,
    windows: Vec<Window>,
    /// The keys that do not fit into memory; a key is there or in `keys`.
    evicted: Evicted,
    /// The windows there whose elements have not been emitted.
    evicted_open: u64,
    /// The keys that came from there and stayed since somebody asked, and their bytes.
    pub(super) came_back: (u64, u64),
    /// Counts batches, to tell the keys that have not been touched for long.
    pub(super) batch: u32,
    scratch: Vec<u8>,
}

impl<K: Key, A: Aggregate> MergingGroups<K, A> {
    pub(super) fn new(strategy: &WindowingStrategy) -> Self {
        MergingGroups {
            keys: KeyTable::default(),
            current_slot: 0,
            timers: BinaryHeap::new(),
            late: BTreeSet::new(),
            is_firing: false,
            holds: holds(strategy),
            windows: Vec::new(),
            evicted: Evicted::default(),
            evicted_open: 0,
            came_back: (0, 0),
            batch: 0,
            scratch: Vec::new(),
        }
    }

    pub(super) fn add(
        &mut self,
        stage: &Stage<'_, A>,
        key: K,
        arrival: Arrival<A::Input>,
    ) -> Result<(), Fault> {
        if !self.evicted.is_empty() {
            self.bring_back(stage, &key)?;
        }
        let batch = self.batch;
        let slot = self.keys.entry(key, || Sessions {
            open: SmallVec::new(),
            timer: Timestamp::MAX,
            touched: batch,
        });
        self.current_slot = slot;
        let Some((_, sessions)) = self.keys.get_mut(slot) else {
            return Ok(());
        };
        sessions.touched = batch;
        let at = place(
            stage,
            sessions,
            arrival.window,
            &mut self.holds,
            &mut self.windows,
        )?;
        let session = &mut sessions.open[at];
        session.ended = session.ended || stage.has_ended(session.window);
        let before = hold_of(session);
        session
            .group
            .add(stage, session.window, arrival.input, arrival.output_time);
        self.holds.replace(before, hold_of(session));
        if session.ended {
            self.late.insert(slot);
        }
        // Merging may have moved windows besides the element's own.
        if let Some(due) = next_due(stage.strategy, &sessions.open)
            && due < sessions.timer
        {
            sessions.timer = due;
            self.timers.push(Reverse((due, slot)));
        }
        Ok(())
    }

    /// Emits a late pane for each group that took late elements.
    pub(super) fn fire_late(
        &mut self,
        stage: &Stage<'_, A>,
        out: &mut impl Emit<K, A::Output>,
    ) -> Result<(), Fault> {
        for slot in std::mem::take(&mut self.late) {
            self.current_slot = slot;
            let Some((key, sessions)) = self.keys.get_mut(slot) else {
                continue;
            };
            for session in sessions.open.iter_mut().filter(|s| s.ended) {
                let fired = session.group.fire(stage, session.window, PaneTiming::Late);
                if let Some((output, stamp)) = fired {
                    out.emit(key.clone(), output, stamp)?;
                }
            }
        }
        Ok(())
    }

    /// Emits the on-time panes of the windows that the watermark has passed, in the order of
    /// their ends, and forgets those that have expired. Returns whether that is done: when `room`
    /// elements are emitted, the next call goes on. Nothing may be added meanwhile.
    pub(super) fn fire_ended(
        &mut self,
        stage: &Stage<'_, A>,
        out: &mut impl Emit<K, A::Output>,
        mut room: usize,
    ) -> Result<bool, Fault> {
        self.is_firing = false;
        loop {
            let first = self.timers.peek().map(|Reverse(first)| *first);
            let in_memory = first.map_or(Timestamp::MAX, |(time, _)| time);
            let evicted = self.evicted.earliest_due();
            if stage.watermark <= in_memory.min(evicted) {
                return Ok(true);
            }
            if room == 0 {
                self.is_firing = true;
                return Ok(false);
            }
            if evicted <= in_memory {
                self.fire_evicted(stage, in_memory, out, &mut room)?;
                continue;
            }
            self.timers.pop();
            let Some((time, slot)) = first else {
                continue;
            };
            if self.keys.get(slot).is_some_and(|s| s.timer == time) {
                self.fire_key(stage, slot, out, &mut room)?;
            }
        }
    }

    /// Emits the on-time panes of a key's windows that are due at its time, and forgets those that
    /// have expired, and the key with its last window. The timer has come up.
    pub(super) fn fire_key(
        &mut self,
        stage: &Stage<'_, A>,
        slot: SlotId,
        out: &mut impl Emit<K, A::Output>,
        room: &mut usize,
    ) -> Result<(), Fault> {
        self.current_slot = slot;
        let Some((key, sessions)) = self.keys.get_mut(slot) else {
            return Ok(());
        };
        for session in &mut sessions.open {
            // One window at a time, at its own time: keys fire in the order of their ends.
            if session.ended || due(stage.strategy, session) > sessions.timer {
                continue;
            }
            let before = hold_of(session);
            let fired = session
                .group
                .fire(stage, session.window, PaneTiming::OnTime);
            session.ended = true;
            self.holds.replace(before, None);
            if let Some((output, stamp)) = fired {
                *room = room.saturating_sub(1);
                out.emit(key.clone(), output, stamp)?;
            }
        }
        sessions
            .open
            .retain(|s| !(s.ended && stage.has_expired(s.window)));
        match next_due(stage.strategy, &sessions.open) {
            Some(next) => {
                sessions.timer = next;
                self.timers.push(Reverse((next, slot)));
            }
            None => {
                self.keys.remove(slot);
            }
        }
        Ok(())
    }

    /// Takes back the windows of a key.
    pub(super) fn restore(
        &mut self,
        strategy: &WindowingStrategy,
        (key, windows): Record<K, A::Accumulator>,
    ) {
        for session in &windows {
            self.holds.replace(None, hold_of(session));
        }
        let timer = next_due(strategy, &windows).unwrap_or(Timestamp::MAX);
        let slot = self.keys.entry(key, || Sessions {
            open: windows.into(),
            timer,
            touched: 0,
        });
        self.timers.push(Reverse((timer, slot)));
    }

    /// Returns what is gathered in memory for a key.
    pub(super) fn windows_of(&self, key: &K) -> &[Session<A::Accumulator>] {
        let sessions = self.keys.find(key).and_then(|slot| self.keys.get(slot));
        sessions.map_or(&[], |sessions| sessions.open.as_slice())
    }

    /// Returns the number of keys in memory.
    pub(super) fn entries(&self) -> u64 {
        self.keys.len() as u64
    }

    pub(super) fn open_groups(&self) -> u64 {
        let keys = self.keys.iter();
        let in_memory: u64 = keys.map(|(_, sessions)| open_in(&sessions.open)).sum();
        in_memory + self.evicted_open
    }

    pub(super) fn current_key(&self) -> Option<&K> {
        self.keys.key(self.current_slot)
    }
}

/// Returns the number of windows whose elements have not been emitted.
fn open_in<A>(windows: &[Session<A>]) -> u64 {
    windows.iter().filter(|s| s.group.dirty).count() as u64
}

/// Returns when the first of some windows is due.
fn next_due<A>(strategy: &WindowingStrategy, windows: &[Session<A>]) -> Option<Timestamp> {
    windows.iter().map(|s| due(strategy, s)).min()
}

/// Returns when a window fires, or, after that, is forgotten.
fn due<A>(strategy: &WindowingStrategy, session: &Session<A>) -> Timestamp {
    if session.ended {
        strategy.expiry(session.window)
    } else {
        session.window.max_timestamp()
    }
}

/// Returns the time at which a group holds the watermark: late elements hold nothing.
fn hold_of<A>(session: &Session<A>) -> Option<Timestamp> {
    (session.group.dirty && !session.ended).then_some(session.group.output_time)
}

/// Merges `window` into the key's windows, and returns the place of the one that it is now in.
fn place<A: Aggregate>(
    stage: &Stage<'_, A>,
    sessions: &mut Sessions<A::Accumulator>,
    window: Window,
    holds: &mut Holds,
    windows: &mut Vec<Window>,
) -> Result<usize, Fault> {
    let open = &mut sessions.open;
    if let Some(at) = open.iter().position(|s| s.window == window) {
        return Ok(at);
    }
    windows.clear();
    windows.extend(open.iter().map(|s| s.window));
    windows.push(window);
    windows.sort_unstable_by_key(|w| (w.start(), w.end()));
    let window_fn = &stage.strategy.window_fn;
    let merged = catch_unwind(AssertUnwindSafe(|| window_fn.merge(windows)));
    let mut merged =
        merged.map_err(|panic| Fault::In("merge", format!("panic: {}", panic_message(&*panic))))?;
    merged.sort_unstable_by_key(|w| (w.start(), w.end()));
    let target_of = |window: Window| {
        let has = |m: &&Window| m.start() <= window.start() && window.end() <= m.end();
        let behind = merged.partition_point(|m| m.start() <= window.start());
        // Where merged windows do not overlap it is the last that begins in time.
        let mut candidates = merged[..behind].iter().rev();
        candidates.find(has).copied()
    };
    let lost = |window: Window| {
        let cause = format!("the WindowFn returned no window that holds {window}: {merged:?}");
        Fault::In("merge", cause)
    };
    let target = target_of(window).ok_or_else(|| lost(window))?;
    // What was in several windows that are one now moves into one group. A window that stays as
    // it is keeps its panes' count; a new one begins at 0.
    let mut at = 0;
    let mut moved = false;
    while at < open.len() {
        let now = target_of(open[at].window).ok_or_else(|| lost(open[at].window))?;
        if now != open[at].window {
            moved = true;
            let session = &mut open[at];
            let before = hold_of(session);
            session.window = now;
            session.group.panes = 0;
            session.ended = stage.has_ended(now);
            refold(stage, &mut session.group, now);
            holds.replace(before, hold_of(session));
        }
        // While no window has moved, no two are the same.
        let same = || open[..at].iter().position(|s| s.window == now);
        if let Some(first) = moved.then(same).flatten() {
            let other = open.remove(at);
            let before = (hold_of(&open[first]), hold_of(&other));
            holds.replace(before.1, None);
            join(stage, &mut open[first], other);
            holds.replace(before.0, hold_of(&open[first]));
            continue;
        }
        at += 1;
    }
    if let Some(at) = open.iter().position(|s| s.window == target) {
        return Ok(at);
    }
    let at = open.partition_point(|s| s.window.start() <= target.start());
    open.insert(
        at,
        Session {
            window: target,
            group: Group::new(),
            ended: false,
        },
    );
    Ok(at)
}

/// Folds a group's output time again, for the end of its window may have moved.
fn refold<A: Aggregate>(stage: &Stage<'_, A>, group: &mut Group<A::Accumulator>, window: Window) {
    let combiner = stage.strategy.timestamp_combiner;
    group.output_time = combiner.combine(window, group.output_time, group.output_time);
}

/// Moves a group into another of the same window. Both are new to that window, since no window of
/// a key is inside another, so neither has emitted a pane of it.
fn join<A: Aggregate>(
    stage: &Stage<'_, A>,
    into: &mut Session<A::Accumulator>,
    other: Session<A::Accumulator>,
) {
    into.group.absorb(stage, into.window, other.group);
}

#[cfg(test)]
impl<K: Key, A: Aggregate> MergingGroups<K, A> {
    /// No key is without a window or a timer that comes in time, and no window is past its
    /// expiry; returns the earliest time still to be emitted on time.
    pub(super) fn assert_sound(&self, stage: &Stage<'_, A>) -> Option<Timestamp> {
        let timers = self.timers.iter().map(|Reverse((time, _))| *time);
        assert!(timers.min().is_none_or(|first| stage.watermark <= first));
        for (_, sessions) in self.keys.iter() {
            let due = next_due(stage.strategy, &sessions.open);
            assert!(due.is_some_and(|due| sessions.timer <= due));
            let mut queued = self.timers.iter().map(|Reverse((time, _))| *time);
            assert!(queued.any(|time| time == sessions.timer));
        }
        let mut open = 0;
        let evicted: Vec<_> = self.evicted_keys().collect();
        for (key, due, windows) in &evicted {
            assert!(self.keys.find(key).is_none());
            assert_eq!(next_due(stage.strategy, windows), Some(*due));
            open += open_in(windows);
        }
        assert_eq!(open, self.evicted_open);
        let in_memory = self.keys.iter().map(|(_, sessions)| &sessions.open[..]);
        let evicted = evicted.iter().map(|(_, _, windows)| &windows[..]);
        let mut earliest = None;
        for windows in in_memory.chain(evicted) {
            for (at, session) in windows.iter().enumerate() {
                let mut before = windows[..at].iter();
                assert!(before.all(|other| other.window != session.window));
                assert!(!stage.has_expired(session.window));
                assert_eq!(session.ended, stage.has_ended(session.window));
                let held = (session.group.dirty && !session.ended).then_some(session);
                let held = held.map(|session| session.group.output_time);
                earliest = earliest.into_iter().chain(held).min();
            }
        }
        earliest
    }

    /// Returns the numbers of (key, window) and of timers that are kept.
    pub(super) fn kept(&self) -> (usize, usize) {
        let windows: usize = self.keys.iter().map(|(_, s)| s.open.len()).sum();
        let evicted: usize = self
            .evicted_keys()
            .map(|(_, _, windows)| windows.len())
            .sum();
        (windows + evicted, self.timers.len())
    }
}
