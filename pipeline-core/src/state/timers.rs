//! Event-time timers.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::cells::{StateContext, TimerRequest};
use super::key_table::SlotId;
use crate::error::Error;
use crate::time::Timestamp;

/// Calls the function back when the input watermark has passed a time (PG 11.3).
///
/// A key and window has one such timer; setting it again moves it. It fires once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventTimer {
    pub(super) index: usize,
}

impl EventTimer {
    pub(crate) fn numbered(index: usize) -> Self {
        EventTimer { index }
    }

    /// Sets the timer to fire when the input watermark is past `at`; what is emitted then has
    /// that timestamp.
    ///
    /// A time past the window's expiry is an error that ends the job: the state would be gone.
    pub fn set(&self, context: &mut StateContext<'_>, at: Timestamp) {
        self.set_with_output(context, at, at);
    }

    /// Sets the timer, and the timestamp of what is emitted when it fires; the watermark is held
    /// at that timestamp until then.
    ///
    /// The output timestamp must lie between that of the element or timer in process and `at`;
    /// anything else is an error that ends the job.
    pub fn set_with_output(
        &self,
        context: &mut StateContext<'_>,
        at: Timestamp,
        output: Timestamp,
    ) {
        if at > context.expiry {
            context.failed = Some(Error::connector(format!(
                "a timer was set to {at}, past the expiry of its window at {}",
                context.expiry
            )));
        } else if output > at || (output < at && output < context.stamp.timestamp) {
            context.failed = Some(Error::connector(format!(
                "a timer at {at} was given the output timestamp {output}, which must lie between \
                 {} and that",
                context.stamp.timestamp
            )));
        } else {
            context.requests.push(TimerRequest {
                timer: self.index,
                set: Some((at, output)),
            });
        }
    }

    /// Clears the timer: it does not fire until it is set again.
    pub fn clear(&self, context: &mut StateContext<'_>) {
        context.requests.push(TimerRequest {
            timer: self.index,
            set: None,
        });
    }
}

/// One timer of one key and window.
#[derive(Default)]
pub(crate) struct TimerState {
    /// When it fires, and the timestamp of what is emitted then.
    pub(crate) at: Option<(Timestamp, Timestamp)>,
    /// The time of its entry in the queue, at or before the time when it fires.
    queued: Option<Timestamp>,
}

impl TimerState {
    /// Returns the time at which it holds the watermark.
    pub(crate) fn hold(&self) -> Option<Timestamp> {
        self.at
            .and_then(|(at, output)| (output < at).then_some(output))
    }
}

/// The timers of one worker at one stage, in the order in which they fire. A timer that is moved
/// to later keeps its entry, which is queued again when it comes up.
#[derive(Default)]
pub(crate) struct TimerQueue {
    queue: BinaryHeap<Reverse<(Timestamp, SlotId, usize)>>,
}

impl TimerQueue {
    /// Makes sure that a timer that was set comes up in time.
    pub(crate) fn schedule(&mut self, slot: SlotId, index: usize, timer: &mut TimerState) {
        if let Some((at, _)) = timer.at
            && timer.queued.is_none_or(|queued| at < queued)
        {
            timer.queued = Some(at);
            self.queue.push(Reverse((at, slot, index)));
        }
    }

    /// Returns the time of the next entry.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.queue.peek().map(|Reverse((time, ..))| *time)
    }

    /// Returns the number of entries, those included that were overtaken.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Forgets all entries: every timer must be [`requeue`](TimerQueue::requeue)d.
    pub(crate) fn clear(&mut self) {
        self.queue.clear();
    }

    /// Schedules a timer that has no entry, whatever it knows of one.
    pub(crate) fn requeue(&mut self, slot: SlotId, index: usize, timer: &mut TimerState) {
        timer.queued = None;
        self.schedule(slot, index, timer);
    }

    /// Returns the next entry that `watermark` has passed.
    pub(crate) fn pop(&mut self, watermark: Timestamp) -> Option<(Timestamp, SlotId, usize)> {
        let Reverse(next) = *self.queue.peek()?;
        if watermark <= next.0 {
            return None;
        }
        self.queue.pop();
        Some(next)
    }

    /// Decides about an entry that came up: returns the output timestamp if the timer fires now.
    pub(crate) fn fire(
        &mut self,
        entry: (Timestamp, SlotId, usize),
        timer: &mut TimerState,
    ) -> Option<Timestamp> {
        let (time, slot, index) = entry;
        if timer.queued != Some(time) {
            return None;
        }
        timer.queued = None;
        match timer.at {
            Some((at, output)) if at <= time => {
                timer.at = None;
                Some(output)
            }
            Some(_) => {
                self.schedule(slot, index, timer);
                None
            }
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// Sets the timer of a slot, to fire with its own time.
    fn set(queue: &mut TimerQueue, slot: SlotId, timer: &mut TimerState, to: i64) {
        timer.at = Some((at(to), at(to)));
        queue.schedule(slot, 0, timer);
    }

    /// Returns the times at which the timer fires up to a watermark.
    fn fired(queue: &mut TimerQueue, timer: &mut TimerState, watermark: i64) -> Vec<Timestamp> {
        let mut fired = Vec::new();
        while let Some(entry) = queue.pop(at(watermark)) {
            fired.extend(queue.fire(entry, timer));
        }
        fired
    }

    #[test]
    fn a_timer_fires_once_when_the_watermark_is_past_it() {
        let (mut queue, mut timer) = (TimerQueue::default(), TimerState::default());
        set(&mut queue, 7, &mut timer, 10);
        assert_eq!(fired(&mut queue, &mut timer, 10), []);
        assert_eq!(fired(&mut queue, &mut timer, 11), [at(10)]);
        assert_eq!(timer.at, None);
        assert_eq!(fired(&mut queue, &mut timer, 100), []);
    }

    #[test]
    fn a_timer_that_is_moved_later_keeps_one_entry() {
        let (mut queue, mut timer) = (TimerQueue::default(), TimerState::default());
        for to in [10, 10, 12, 12, 19] {
            set(&mut queue, 7, &mut timer, to);
        }
        assert_eq!(queue.queue.len(), 1);
        assert_eq!(fired(&mut queue, &mut timer, 19), []);
        assert_eq!(queue.queue.len(), 1);
        assert_eq!(fired(&mut queue, &mut timer, 20), [at(19)]);
        assert_eq!(queue.queue.len(), 0);
    }

    #[test]
    fn an_entry_that_was_overtaken_is_gone_when_it_comes_up() {
        let (mut queue, mut timer) = (TimerQueue::default(), TimerState::default());
        for to in (10..20).rev() {
            set(&mut queue, 7, &mut timer, to);
        }
        assert_eq!(fired(&mut queue, &mut timer, 11), [at(10)]);
        // Set anew, it must not be queued once for each entry of before.
        set(&mut queue, 7, &mut timer, 100);
        assert_eq!(fired(&mut queue, &mut timer, 50), []);
        assert_eq!(queue.queue.len(), 1);
        assert_eq!(fired(&mut queue, &mut timer, 101), [at(100)]);
    }

    #[test]
    fn a_timer_that_was_cleared_does_not_fire() {
        let (mut queue, mut timer) = (TimerQueue::default(), TimerState::default());
        set(&mut queue, 7, &mut timer, 10);
        timer.at = None;
        assert_eq!(fired(&mut queue, &mut timer, 11), []);
        set(&mut queue, 7, &mut timer, 20);
        assert_eq!(fired(&mut queue, &mut timer, 21), [at(20)]);
    }

    #[test]
    fn only_an_output_before_its_timer_holds_the_watermark() {
        let hold = |at| TimerState { at, queued: None }.hold();
        assert_eq!(hold(None), None);
        assert_eq!(hold(Some((at(10), at(10)))), None);
        assert_eq!(hold(Some((at(10), at(9)))), Some(at(9)));
    }
}
