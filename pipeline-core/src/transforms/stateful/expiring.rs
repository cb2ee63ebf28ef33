//! When the state of windows is forgotten.

use std::collections::BTreeMap;

use crate::state::key_table::SlotId;
use crate::time::Timestamp;
use crate::window::Window;

/// The slots of state in windows that expire, by expiry; the global window's are not listed.
///
/// A slot whose state was cleared stays listed, and may be again: what takes it out must look at
/// its window, and it is listed anew when there are too many.
#[derive(Default)]
pub(super) struct Expiring {
    by_expiry: BTreeMap<Timestamp, Vec<(SlotId, Window)>>,
    listed: usize,
}

impl Expiring {
    pub(super) fn add(&mut self, expiry: Timestamp, slot: SlotId, window: Window) {
        if !window.is_global() {
            self.by_expiry
                .entry(expiry)
                .or_default()
                .push((slot, window));
            self.listed += 1;
        }
    }

    /// Takes out the slots that have expired the longest ago, if there are any.
    pub(super) fn pop(&mut self, watermark: Timestamp) -> Option<Vec<(SlotId, Window)>> {
        let entry = self.by_expiry.first_entry()?;
        if watermark <= *entry.key() {
            return None;
        }
        let slots = entry.remove();
        self.listed -= slots.len();
        Some(slots)
    }

    /// Returns the number of slots that are listed, several times perhaps.
    pub(super) fn len(&self) -> usize {
        self.listed
    }

    pub(super) fn clear(&mut self) {
        self.by_expiry.clear();
        self.listed = 0;
    }
}
