//! Groups in windows that merge: each key has its own.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{Aggregate, Arrival, Emit, Group, Stage, holds};
use crate::coder::Key;
use crate::state::holds::Holds;
use crate::state::key_table::{KeyTable, SlotId};
use crate::time::Timestamp;
use crate::user_code::{Fault, panic_message};
use crate::window::{PaneTiming, Window, WindowingStrategy};

/// A merged window of a key, with its group.
#[derive(Serialize, Deserialize)]
pub(super) struct Session<A> {
    window: Window,
    group: Group<A>,
    /// The on-time pane has been emitted, or its time was over when the first element came.
    ended: bool,
}

/// The windows of a key as they are saved.
pub(super) type Record<K, A> = (K, Vec<Session<A>>);

struct Sessions<A> {
    /// In the order of their starts; they do not intersect under `Sessions`.
    open: SmallVec<[Session<A>; 1]>,
    /// The time of this key's entry in the queue.
    timer: Timestamp,
}

/// A slot per key, and one timer per key in a queue: when it comes up and the key's windows have
/// grown meanwhile, it is queued again.
pub(super) struct MergingGroups<K, A: Aggregate> {
    keys: KeyTable<K, Sessions<A::Accumulator>>,
    current_slot: SlotId,
    timers: BinaryHeap<Reverse<(Timestamp, SlotId)>>,
    late: BTreeSet<SlotId>,
    pub(super) is_firing: bool,
    pub(super) holds: Holds,
    windows: Vec<Window>,
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
        }
    }

    pub(super) fn add(
        &mut self,
        stage: &Stage<'_, A>,
        key: K,
        arrival: Arrival<A::Input>,
    ) -> Result<(), Fault> {
        let slot = self.keys.entry(key, || Sessions {
            open: SmallVec::new(),
            timer: Timestamp::MAX,
        });
        self.current_slot = slot;
        let Some((_, sessions)) = self.keys.get_mut(slot) else {
            return Ok(());
        };
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
        let due = sessions.open.iter().map(|s| due(stage.strategy, s)).min();
        if let Some(due) = due
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
        while let Some(&Reverse((time, slot))) = self.timers.peek() {
            if stage.watermark <= time {
                break;
            }
            if room == 0 {
                self.is_firing = true;
                return Ok(false);
            }
            self.timers.pop();
            self.current_slot = slot;
            let Some((key, sessions)) = self.keys.get_mut(slot) else {
                continue;
            };
            if sessions.timer != time {
                continue;
            }
            for session in &mut sessions.open {
                // One window at a time, at its own time: keys fire in the order of their ends.
                if session.ended || due(stage.strategy, session) > time {
                    continue;
                }
                let before = hold_of(session);
                let fired = session
                    .group
                    .fire(stage, session.window, PaneTiming::OnTime);
                session.ended = true;
                self.holds.replace(before, None);
                if let Some((output, stamp)) = fired {
                    room = room.saturating_sub(1);
                    out.emit(key.clone(), output, stamp)?;
                }
            }
            sessions
                .open
                .retain(|s| !(s.ended && stage.has_expired(s.window)));
            let next = sessions.open.iter().map(|s| due(stage.strategy, s)).min();
            match next {
                Some(next) => {
                    sessions.timer = next;
                    self.timers.push(Reverse((next, slot)));
                }
                None => {
                    self.keys.remove(slot);
                }
            }
        }
        Ok(true)
    }

    /// Returns the windows of all keys, to be saved when a bundle has ended.
    pub(super) fn records(&self) -> impl Iterator<Item = (&K, &[Session<A::Accumulator>])> {
        let keys = self.keys.iter();
        keys.map(|(key, sessions)| (key, sessions.open.as_slice()))
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
        let due = windows.iter().map(|s| due(strategy, s)).min();
        let timer = due.unwrap_or(Timestamp::MAX);
        let slot = self.keys.entry(key, || Sessions {
            open: windows.into(),
            timer,
        });
        self.timers.push(Reverse((timer, slot)));
    }

    /// Returns the number of keys.
    pub(super) fn entries(&self) -> u64 {
        self.keys.len() as u64
    }

    pub(super) fn open_groups(&self) -> u64 {
        let open = self.keys.iter().flat_map(|(_, s)| s.open.iter());
        open.filter(|s| s.group.dirty).count() as u64
    }

    pub(super) fn current_key(&self) -> Option<&K> {
        self.keys.key(self.current_slot)
    }
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
        let mut earliest = None;
        for (_, sessions) in self.keys.iter() {
            let due = sessions.open.iter().map(|s| due(stage.strategy, s)).min();
            assert!(due.is_some_and(|due| sessions.timer <= due));
            let mut queued = self.timers.iter().map(|Reverse((time, _))| *time);
            assert!(queued.any(|time| time == sessions.timer));
            for (at, session) in sessions.open.iter().enumerate() {
                let mut before = sessions.open[..at].iter();
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
        let windows = self.keys.iter().map(|(_, s)| s.open.len()).sum();
        (windows, self.timers.len())
    }
}
