//! How far the parts of a source have come, on all workers, and which of them are idle.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::time::Timestamp;

/// What a part said last.
#[derive(Clone, Copy)]
pub(super) struct Pulse {
    pub(super) watermark: Timestamp,
    /// The wall time at which it last gave an element, or moved its watermark.
    pub(super) heard_at: Timestamp,
}

/// The pulses of the parts that are open, by their numbers. The workers share them: a worker all
/// of whose parts are idle would else hold back the others.
///
/// That a worker tells a watermark made of others' parts is sound: behind an exchange the minimum
/// over all workers counts, and each tells its own parts' only behind their elements.
#[derive(Default)]
pub(super) struct Pulses(Mutex<BTreeMap<usize, Pulse>>);

impl Pulses {
    pub(super) fn set(&self, part: usize, pulse: Pulse) {
        let mut pulses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pulses.insert(part, pulse);
    }

    pub(super) fn remove(&self, part: usize) {
        let mut pulses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pulses.remove(&part);
    }

    /// Returns the minimum over the parts that have been heard of within `limit`
    /// milliseconds. Where all are idle it is the furthest, on by what has elapsed since then.
    pub(super) fn watermark(&self, now: Timestamp, limit: i64) -> Option<Timestamp> {
        let pulses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut active: Option<Timestamp> = None;
        let mut idle: Option<Timestamp> = None;
        for pulse in pulses.values() {
            let quiet = now.millis() - pulse.heard_at.millis();
            if quiet < limit {
                active = Some(active.map_or(pulse.watermark, |a| a.min(pulse.watermark)));
                continue;
            }
            let watermark = match pulse.watermark {
                // Nothing is known of its time: there is no value to go on from.
                Timestamp::MIN => Timestamp::MIN,
                watermark => watermark.plus_millis(quiet),
            };
            idle = Some(idle.map_or(watermark, |i| i.max(watermark)));
        }
        active.or(idle)
    }
}
