//! Batches: what moves between operators, a column of values and one of stamps.
//!
//! An element of a collection is a value with a timestamp, one window and a pane. An element that
//! a `WindowFn` puts into several windows becomes one element per window where it is assigned, as
//! Beam's runners may do ("exploding" windows). Most batches have one stamp for all their
//! elements (everything before the first timestamp is assigned, everything that one firing window
//! emits), and then carry it once.

use crate::time::Timestamp;
use crate::window::{PaneInfo, Window};

/// Says when and where an element is: timestamp, window and pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The element's event time.
    pub timestamp: Timestamp,
    /// The element's window.
    pub window: Window,
    /// Which firing of its group the element came from.
    pub pane: PaneInfo,
}

impl Stamp {
    /// The stamp of a root's elements: earliest time, global window, no firing.
    pub const ROOT: Stamp = Stamp {
        timestamp: Timestamp::MIN,
        window: Window::GLOBAL,
        pane: PaneInfo::NO_FIRING,
    };

    /// Returns the stamp of an element of a source: `timestamp` in the global window.
    pub const fn at(timestamp: Timestamp) -> Stamp {
        Stamp {
            timestamp,
            ..Stamp::ROOT
        }
    }
}

/// Holds the stamps of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stamps {
    /// All elements share one stamp.
    Same(Stamp),
    /// One stamp an element, in their order.
    Each(Vec<Stamp>),
}

impl Stamps {
    /// Returns the stamp of element `index`.
    pub fn get(&self, index: usize) -> Stamp {
        match self {
            Stamps::Same(stamp) => *stamp,
            Stamps::Each(stamps) => stamps[index],
        }
    }
}

/// Carries elements of one type: their values and their stamps.
#[derive(Clone, Debug)]
pub struct Batch<T> {
    /// The values.
    pub values: Vec<T>,
    /// The stamps: one for all, or as many as there are values.
    pub stamps: Stamps,
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Batch {
            values: Vec::new(),
            stamps: Stamps::Same(Stamp::ROOT),
        }
    }
}

impl<T> Batch<T> {
    /// The number of elements that a batch of `T` should have: about 16 KiB of values, 64 to
    /// 1,024 of them (measured: big elements want small batches, small ones gain nothing above).
    pub const LEN: usize = {
        let size = if size_of::<T>() == 0 {
            1
        } else {
            size_of::<T>()
        };
        let len = 16 * 1024 / size;
        if len < 64 {
            64
        } else if len > 1024 {
            1024
        } else {
            len
        }
    };

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Tells whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Removes all elements and keeps the capacity.
    pub fn clear(&mut self) {
        self.values.clear();
        if let Stamps::Each(stamps) = &mut self.stamps {
            stamps.clear();
        }
    }

    /// Adds an element at the end.
    #[inline]
    pub fn push(&mut self, value: T, stamp: Stamp) {
        match &mut self.stamps {
            Stamps::Each(stamps) => stamps.push(stamp),
            Stamps::Same(same) if *same == stamp => {}
            Stamps::Same(_) => self.push_other(stamp),
        }
        self.values.push(value);
    }

    /// Makes room for a stamp that is not that of the elements so far.
    #[cold]
    fn push_other(&mut self, stamp: Stamp) {
        match &mut self.stamps {
            Stamps::Same(same) if self.values.is_empty() => *same = stamp,
            Stamps::Same(same) => {
                let mut stamps = Vec::with_capacity(self.values.capacity().max(Self::LEN));
                stamps.resize(self.values.len(), *same);
                stamps.push(stamp);
                self.stamps = Stamps::Each(stamps);
            }
            Stamps::Each(stamps) => stamps.push(stamp),
        }
    }

    /// Returns the stamp of element `index`.
    pub fn stamp(&self, index: usize) -> Stamp {
        self.stamps.get(index)
    }

    /// Returns the earliest timestamp, or `None` of an empty batch.
    pub fn earliest(&self) -> Option<Timestamp> {
        match &self.stamps {
            _ if self.values.is_empty() => None,
            Stamps::Same(stamp) => Some(stamp.timestamp),
            Stamps::Each(stamps) => stamps.iter().map(|s| s.timestamp).min(),
        }
    }

    /// Moves all elements out, each with its stamp; the capacity of `self` stays.
    pub fn drain(&mut self) -> impl Iterator<Item = (T, Stamp)> + '_ {
        let (same, each) = match &mut self.stamps {
            Stamps::Same(stamp) => (*stamp, None),
            Stamps::Each(stamps) => (Stamp::ROOT, Some(stamps.drain(..))),
        };
        let mut each = each;
        self.values.drain(..).map(move |value| {
            let stamp = match &mut each {
                Some(stamps) => stamps.next().unwrap_or(same),
                None => same,
            };
            (value, stamp)
        })
    }

    /// Replaces every value by `f(value)`, in place where the layouts allow it.
    pub fn map<U>(&mut self, f: impl FnMut(T) -> U) -> Batch<U> {
        let values = std::mem::take(&mut self.values);
        let stamps = std::mem::replace(&mut self.stamps, Stamps::Same(Stamp::ROOT));
        Batch {
            values: values.into_iter().map(f).collect(),
            stamps,
        }
    }

    /// Keeps the elements for which `keep` holds, in their order.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        match &mut self.stamps {
            Stamps::Same(_) => self.values.retain(keep),
            Stamps::Each(stamps) => {
                let (mut read, mut write) = (0, 0);
                self.values.retain(|value| {
                    let kept = keep(value);
                    if kept {
                        stamps[write] = stamps[read];
                        write += 1;
                    }
                    read += 1;
                    kept
                });
                stamps.truncate(write);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Stamp {
        Stamp::at(Timestamp::from_millis(millis))
    }

    #[test]
    fn a_stamp_has_at_most_32_bytes() {
        assert!(size_of::<Stamp>() <= 32, "{}", size_of::<Stamp>());
    }

    #[test]
    fn pushing_another_stamp_gives_each_its_own() {
        let mut batch = Batch::default();
        for (value, millis) in [(1, 5), (2, 5), (3, 6)] {
            batch.push(value, at(millis));
        }
        assert_eq!(batch.stamps, Stamps::Each(vec![at(5), at(5), at(6)]));
        batch.retain(|v| *v != 2);
        let rest: Vec<_> = batch.drain().collect();
        assert_eq!(rest, [(1, at(5)), (3, at(6))]);
    }
}
