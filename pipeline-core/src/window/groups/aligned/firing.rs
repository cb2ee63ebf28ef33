//! A window that is fired in parts, so that what is behind can keep up, and what was spilled need
//! not be in memory at once.

use super::{Aggregate, AlignedGroups, Stage, Table, spilled};
use crate::coder::Key;
use crate::state::key_table::SlotId;
use crate::user_code::Fault;
use crate::window::groups::Emit;
use crate::window::{PaneTiming, Window};

/// How far the firing of a window has come.
pub(super) struct Firing<K, A: Aggregate> {
    pub(super) window: Window,
    table: Table<K, A>,
    /// What of it was spilled: it goes first, each group with what is in memory of it.
    spilled: Option<Away>,
    /// There was something spilled.
    was_spilled: bool,
    /// The slots before it have been fired.
    next: SlotId,
}

/// What is in the store of a window.
pub(super) enum Away {
    Parts(spilled::Groups),
    Whole,
}

impl<K: Key, A: Aggregate> Firing<K, A> {
    pub(super) fn new(window: Window, table: Table<K, A>, spilled: Option<Away>) -> Self {
        Firing {
            window,
            table,
            was_spilled: spilled.is_some(),
            spilled,
            next: 0,
        }
    }
}

impl<K: Key, A: Aggregate> AlignedGroups<K, A> {
    /// Goes on with the window that is being fired; returns whether there is none any more.
    pub(super) fn fire_on(
        &mut self,
        stage: &Stage<'_, A>,
        out: &mut impl Emit<K, A::Output>,
        room: &mut usize,
    ) -> Result<bool, Fault> {
        if !self.fire_spilled(stage, out, room)? {
            return Ok(false);
        }
        let Some(firing) = &mut self.firing else {
            return Ok(true);
        };
        let window = firing.window;
        let leaves = stage.has_expired(window);
        while firing.next < firing.table.slots() {
            if *room == 0 {
                return Ok(false);
            }
            let slot = firing.next;
            firing.next += 1;
            if leaves || firing.was_spilled {
                let Some((key, mut group)) = firing.table.take_in_order(slot) else {
                    continue;
                };
                self.holds.replace(Some(group.output_time), None);
                let fired = group.fire(stage, window, PaneTiming::OnTime);
                let stays = (!leaves).then(|| key.clone());
                if let Some((output, stamp)) = fired {
                    *room -= 1;
                    out.emit(key, output, stamp)?;
                }
                match stays {
                    Some(key) => {
                        self.ended.entry(window).or_default().entry(key, || group);
                    }
                    None => self.entries -= 1,
                }
            } else if let Some((key, group)) = firing.table.get_mut(slot) {
                self.holds.replace(Some(group.output_time), None);
                if let Some((output, stamp)) = group.fire(stage, window, PaneTiming::OnTime) {
                    *room -= 1;
                    out.emit(key.clone(), output, stamp)?;
                }
            }
        }
        if let Some(firing) = self.firing.take()
            && !leaves
        {
            // What was spilled has been put there group by group, if there is anything left of it.
            let table = match firing.was_spilled {
                true => self.ended.remove(&window).unwrap_or_default(),
                false => firing.table,
            };
            self.ended.insert(window, table);
        }
        Ok(true)
    }

    /// Goes on with the groups that were spilled; returns whether there is none any more.
    fn fire_spilled(
        &mut self,
        stage: &Stage<'_, A>,
        out: &mut impl Emit<K, A::Output>,
        room: &mut usize,
    ) -> Result<bool, Fault> {
        while let Some(firing) = self.firing.as_mut().filter(|f| f.spilled.is_some()) {
            if *room == 0 {
                return Ok(false);
            }
            let window = firing.window;
            let found = match &mut firing.spilled {
                Some(Away::Parts(parts)) => parts.next::<K, A>(stage, window, &mut self.holds)?,
                _ => self.next_evicted(window)?,
            };
            let Some(firing) = &mut self.firing else {
                return Ok(true);
            };
            let Some(found) = found else {
                firing.spilled = None;
                self.spilled.forget(window)?;
                break;
            };
            let (key, mut group) = (found.key, found.group);
            let in_memory = firing.table.find(&key);
            if let Some((_, more)) = in_memory.and_then(|slot| firing.table.remove(slot)) {
                self.entries -= 1;
                self.holds.replace(Some(more.output_time), None);
                group.absorb(stage, window, more);
            }
            let stays = (!stage.has_expired(window)).then(|| key.clone());
            if let Some((output, stamp)) = group.fire(stage, window, PaneTiming::OnTime) {
                *room = room.saturating_sub(1 + found.bytes / ROOM_BYTES);
                out.emit(key, output, stamp)?;
            }
            if let Some(key) = stays {
                self.entries += 1;
                self.count_back(found.bytes);
                self.ended.entry(window).or_default().entry(key, || group);
            }
        }
        Ok(true)
    }
}

/// A group that is longer takes the room of several.
pub(in crate::window::groups) const ROOM_BYTES: usize = 4 << 10;
