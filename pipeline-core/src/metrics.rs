//! Counters: what went in and out of each transform, and what was dropped.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts one thing on one worker; adding is a plain store, since only that worker writes.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds to the count. Each clone of a counter must stay on one thread, or counts are lost.
    pub fn add(&self, count: u64) {
        let now = self.0.load(Ordering::Relaxed);
        self.0.store(now + count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Gathers the counters of a run, by transform and name, over all workers.
///
/// Counts are attempted values (RG, "metrics"): what a failed run had counted stays counted.
#[derive(Debug, Default)]
pub struct Metrics {
    paths: Vec<Arc<str>>,
    counters: Mutex<Vec<Entry>>,
    /// What earlier runs of the same job had counted.
    earlier: Vec<(String, String, u64)>,
}

#[derive(Debug)]
struct Entry {
    path: Arc<str>,
    name: &'static str,
    counter: Counter,
}

impl Metrics {
    /// Makes the counters of a run over the transforms at `paths`, in their order.
    pub(crate) fn new<'a>(paths: impl Iterator<Item = &'a Arc<str>>) -> Self {
        Metrics {
            paths: paths.map(Arc::clone).collect(),
            counters: Mutex::default(),
            earlier: Vec::new(),
        }
    }

    /// Goes on from what earlier runs of the same job had counted.
    pub(crate) fn resume(mut self, earlier: Vec<(String, String, u64)>) -> Self {
        self.earlier = earlier;
        self
    }

    /// Adds a counter of one worker that counts for a second transform as well.
    pub(crate) fn share(&self, path: &Arc<str>, name: &'static str, counter: &Counter) {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters.push(Entry {
            path: Arc::clone(path),
            name,
            counter: counter.clone(),
        });
    }

    /// Adds a counter of one worker.
    pub(crate) fn counter(&self, path: &Arc<str>, name: &'static str) -> Counter {
        let counter = Counter::default();
        self.share(path, name, &counter);
        counter
    }

    /// Returns the counts at this moment.
    pub fn snapshot(&self) -> MetricsSnapshot {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let mut places = HashMap::new();
        let mut snapshot = MetricsSnapshot::default();
        for path in &self.paths {
            places.insert(Arc::clone(path), snapshot.rows.len());
            snapshot.rows.push((path.to_string(), BTreeMap::new()));
        }
        for entry in counters.iter() {
            if let Some(&place) = places.get(&entry.path) {
                let counts = &mut snapshot.rows[place].1;
                *counts.entry(entry.name.into()).or_default() += entry.counter.get();
            }
        }
        for (path, name, count) in &self.earlier {
            if let Some(&place) = places.get(path.as_str()) {
                let counts = &mut snapshot.rows[place].1;
                *counts.entry(name.clone().into()).or_default() += count;
            }
        }
        snapshot
    }
}

/// The counts of a run at one moment, by transform in the order of the pipeline.
///
/// Printed, it is a table: one line a transform, a column for elements in and out, and what else
/// was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsSnapshot {
    rows: Vec<(String, BTreeMap<Cow<'static, str>, u64>)>,
}

/// Elements that went into a transform.
pub const ELEMENTS_IN: &str = "in";
/// Elements that a transform put out.
pub const ELEMENTS_OUT: &str = "out";
/// Elements that came after their window had expired.
pub const DROPPED_LATE: &str = "dropped_late";
/// Records that became dead letters.
pub const DEAD_LETTERS: &str = "dead_letters";
/// Elements that went to the worker that owns their key, itself or another.
pub const EXCHANGED: &str = "exchanged";

impl MetricsSnapshot {
    /// Returns one count of the transform at `path`, 0 where it was never counted.
    pub fn get(&self, path: &str, name: &str) -> u64 {
        self.rows
            .iter()
            .filter(|(p, _)| p == path)
            .filter_map(|(_, counts)| counts.get(name))
            .sum()
    }

    /// Returns the sum of a count over all transforms.
    pub fn total(&self, name: &str) -> u64 {
        self.rows.iter().filter_map(|(_, c)| c.get(name)).sum()
    }

    /// Visits (path, name, count) in the order of the pipeline.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        self.rows
            .iter()
            .flat_map(|(path, counts)| counts.iter().map(move |(n, c)| (path.as_str(), &**n, *c)))
    }
}

impl fmt::Display for MetricsSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|(p, _)| p.chars().count()).max();
        let width = width.unwrap_or(0).max("transform".len());
        writeln!(f, "{:width$}  {:>12}  {:>12}", "transform", "in", "out")?;
        for (path, counts) in &self.rows {
            let count = |name| match counts.get(name) {
                Some(count) => count.to_string(),
                None => String::from("-"),
            };
            let (elements_in, elements_out) = (count(ELEMENTS_IN), count(ELEMENTS_OUT));
            write!(f, "{path:width$}  {elements_in:>12}  {elements_out:>12}")?;
            for (name, count) in counts {
                if name != ELEMENTS_IN && name != ELEMENTS_OUT && *count > 0 {
                    write!(f, "  {name}={count}")?;
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
