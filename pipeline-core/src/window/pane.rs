//! Which firing of its window an element came from.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Says how the firing stood to the watermark (PG 9.4, `PaneInfo.Timing`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PaneTiming {
    /// The watermark had not passed the end of the window.
    Early,
    /// The one firing at the time when the watermark passed the end of the window.
    OnTime,
    /// A firing after that.
    Late,
    /// The element did not come from a group.
    Unknown,
}

/// Describes the firing of a group that an element came from.
///
/// `index` counts the firings of a (key, window) from 0; `on_time_index` (Beam's "non-speculative
/// index") counts from the on-time one and is −1 before it. Both stop at 2^29 − 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PaneInfo(u64);

const INDEX_BITS: u32 = 30;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;

impl PaneInfo {
    /// The pane of an element that no group has emitted: first, last, unknown timing, index 0.
    pub const NO_FIRING: PaneInfo = PaneInfo::pack(true, true, 3, 0, 0);

    const fn pack(first: bool, last: bool, timing: u64, index: u64, on_time: u64) -> PaneInfo {
        PaneInfo(
            first as u64
                | (last as u64) << 1
                | timing << 2
                | index << 4
                | on_time << (4 + INDEX_BITS),
        )
    }

    /// Makes the description of a firing; `on_time_index` is `None` before the on-time one.
    pub(crate) fn new(timing: PaneTiming, last: bool, index: u32, on_time_index: i32) -> PaneInfo {
        let timing = match timing {
            PaneTiming::Early => 0,
            PaneTiming::OnTime => 1,
            PaneTiming::Late => 2,
            PaneTiming::Unknown => 3,
        };
        let most = INDEX_MASK >> 1;
        let on_time = u64::try_from(i64::from(on_time_index) + 1).unwrap_or(0);
        PaneInfo::pack(
            index == 0,
            last,
            timing,
            u64::from(index).min(most),
            on_time.min(most),
        )
    }

    /// Tells whether this is the first firing of its (key, window).
    pub const fn is_first(self) -> bool {
        self.0 & 1 != 0
    }

    /// Tells whether this is known to be the last firing of its (key, window).
    pub const fn is_last(self) -> bool {
        self.0 & 2 != 0
    }

    /// Returns how the firing stood to the watermark.
    pub const fn timing(self) -> PaneTiming {
        match self.0 >> 2 & 3 {
            0 => PaneTiming::Early,
            1 => PaneTiming::OnTime,
            2 => PaneTiming::Late,
            _ => PaneTiming::Unknown,
        }
    }

    /// Returns the number of firings of this (key, window) before this one.
    pub const fn index(self) -> u32 {
        (self.0 >> 4 & INDEX_MASK) as u32
    }

    /// Returns the number of on-time and late firings before this one, −1 for an early one.
    pub const fn on_time_index(self) -> i32 {
        if matches!(self.timing(), PaneTiming::Unknown) {
            return 0;
        }
        (self.0 >> (4 + INDEX_BITS) & INDEX_MASK) as i32 - 1
    }
}

impl fmt::Debug for PaneInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.timing() == PaneTiming::Unknown {
            return f.write_str("no firing");
        }
        write!(f, "{:?} {}", self.timing(), self.index())?;
        if self.is_last() {
            f.write_str(" last")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_what_it_was_given() {
        let pane = PaneInfo::new(PaneTiming::Late, true, 7, 6);
        assert_eq!(
            (pane.index(), pane.on_time_index(), pane.timing()),
            (7, 6, PaneTiming::Late)
        );
        assert!(pane.is_last() && !pane.is_first());
        let early = PaneInfo::new(PaneTiming::Early, false, 0, -1);
        assert_eq!((early.on_time_index(), early.is_first()), (-1, true));
        assert_eq!(PaneInfo::NO_FIRING.timing(), PaneTiming::Unknown);
    }
}
