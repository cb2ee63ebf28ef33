//! A window that is fired in parts, so that what is behind can keep up.

use super::aligned::{AlignedGroups, Table};
use super::{Aggregate, Emit, Stage};
use crate::coder::Key;
use crate::state::key_table::SlotId;
use crate::user_code::Fault;
use crate::window::{PaneTiming, Window};

/// How far the firing of a window has come.
pub(super) struct Firing<K, A: Aggregate> {
    pub(super) window: Window,
    table: Table<K, A>,
    /// The slots before it have been fired.
    next: SlotId,
}

impl<K: Key, A: Aggregate> Firing<K, A> {
    pub(super) fn new(window: Window, table: Table<K, A>) -> Self {
        Firing {
            window,
            table,
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
            if leaves {
                let Some((key, mut group)) = firing.table.take(slot) else {
                    continue;
                };
                self.entries -= 1;
                self.holds.replace(Some(group.output_time), None);
                if let Some((output, stamp)) = group.fire(stage, window, PaneTiming::OnTime) {
                    *room -= 1;
                    out.emit(key, output, stamp)?;
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
            self.ended.insert(window, firing.table);
        }
        Ok(true)
    }
}
