//! How timers fire: in the order of their times, whether their state is in memory or not.

use super::StatefulDoFn;
use super::operator::Stateful;
use crate::batch::Stamp;
use crate::state::EventTimer;
use crate::state::key_table::SlotId;
use crate::time::Timestamp;
use crate::user_code::Fault;
use crate::window::PaneInfo;

/// State that is longer takes the room of several.
const ROOM_BYTES: usize = 4 << 10;

impl<F: StatefulDoFn> Stateful<F> {
    /// Fires the timers that the watermark has passed, as many as there is room for, and forgets
    /// what has expired when that is all.
    ///
    /// State that is not in memory comes back when its first timer is before those that are. Of
    /// timers of the same time those in memory go first: never all that fires then is in memory
    /// at once.
    pub(super) fn fire_on(&mut self, mut room: usize) -> Result<(), Fault> {
        self.firing = true;
        self.what = "on_timer";
        let mut fired = false;
        while room > 0 {
            let next = self.timers.next().unwrap_or(Timestamp::MAX);
            let before = next.min(self.watermark);
            if self.evicted.earliest_due() < before
                && let Some(due) = self.evicted.pop_due(before)?
            {
                room = room.saturating_sub(1 + due.value.len() / ROOM_BYTES);
                self.come_back(&due)?;
            } else if let Some(entry) = self.timers.pop(self.watermark) {
                if self.fire(entry)? {
                    room -= 1;
                    fired = true;
                    self.relieve_early()?;
                }
            } else {
                self.firing = false;
                self.expire();
                self.relieve()?;
                return Ok(());
            }
        }
        if fired {
            // Else what has just come back would go before it has fired.
            self.relieve()?;
        }
        Ok(())
    }

    /// Fires a timer, if its entry in the queue holds; returns whether it does.
    fn fire(&mut self, entry: (Timestamp, SlotId, usize)) -> Result<bool, Fault> {
        let (_, slot, index) = entry;
        let Some(((_, window), state)) = self.entries.get_mut(slot) else {
            return Ok(false);
        };
        let window = *window;
        let timer = &mut state.timers[index];
        let before = timer.hold();
        let fired = self.timers.fire(entry, timer);
        self.holds.replace(before, timer.hold());
        let Some(timestamp) = fired else {
            return Ok(false);
        };
        let stamp = Stamp {
            timestamp,
            window,
            pane: PaneInfo::NO_FIRING,
        };
        self.slot = slot;
        self.start_bundle()?;
        self.with_state(slot, stamp, |do_fn, key, state, out| {
            do_fn.on_timer(key, EventTimer::numbered(index), state, out)
        })?;
        Ok(true)
    }
}
