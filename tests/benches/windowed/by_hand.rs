//! Loops without a library: tables per window; sessions by sorting everything, which is how one
//! can be sure of them, and what only an input that ends allows.

use std::collections::BTreeMap;
use std::error::Error;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::{Count, GAP, WINDOW, elements, events::event};
use crate::digest::digest;
use crate::measure::{Cost, Measured, Task, timed};

pub fn fixed(task: &Task<'_>) -> Result<Measured, Box<dyn Error>> {
    let (counts, cost) = timed(|| {
        let width = WINDOW.as_millis() as i64;
        let mut open: BTreeMap<i64, HashMap<u64, u64, FixedState>> = BTreeMap::new();
        let (mut counts, mut latest) = (Vec::new(), i64::MIN);
        for number in 0..elements(task) {
            let (key, millis) = event(number);
            let end = millis - millis.rem_euclid(width) + width;
            *open.entry(end).or_default().entry(key).or_default() += 1;
            latest = latest.max(millis);
            if number % 1024 == 0 {
                while let Some(window) = open.first_entry().filter(|w| *w.key() < latest - 1_000) {
                    emit(*window.key(), window.remove(), &mut counts);
                }
            }
        }
        for (end, keys) in open {
            emit(end, keys, &mut counts);
        }
        Ok::<_, Box<dyn Error>>(counts)
    })?;
    Ok(measured(counts, cost))
}

fn emit(end: i64, keys: HashMap<u64, u64, FixedState>, counts: &mut Vec<Count>) {
    counts.extend(keys.into_iter().map(|(key, count)| (key, end, count)));
}

pub fn sessions(task: &Task<'_>) -> Result<Measured, Box<dyn Error>> {
    let (counts, cost) = timed(|| {
        let gap = GAP.as_millis() as i64;
        let mut events: Vec<_> = (0..elements(task)).map(event).collect();
        events.sort_unstable();
        let mut counts: Vec<Count> = Vec::new();
        for (key, millis) in events {
            match counts.last_mut() {
                Some((last, end, count)) if *last == key && millis < *end => {
                    *end = millis + gap;
                    *count += 1;
                }
                _ => counts.push((key, millis + gap, 1)),
            }
        }
        Ok::<_, Box<dyn Error>>(counts)
    })?;
    Ok(measured(counts, cost))
}

pub fn measured(counts: Vec<Count>, cost: Cost) -> Measured {
    Measured {
        cost,
        elements: counts.iter().map(|(_, _, count)| count).sum(),
        digest: digest(counts),
    }
}
