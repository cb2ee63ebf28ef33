//! One pipeline that calls every kind of user code, and a fault that can be put anywhere in it.

mod connectors;
mod functions;

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::thread::ThreadId;

use pipeline_core::prelude::*;

pub use connectors::{Numbered, Parts};
pub use functions::{Chunks, Life, Remind, Tally};

/// A place where the engine calls user code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    Nowhere,
    Split,
    Open,
    Read,
    Acknowledge,
    Map,
    FlatMap,
    Filter,
    TryMap,
    WithTimestamps,
    Setup,
    StartBundle,
    Process,
    FinishBundle,
    Teardown,
    Assign,
    Merge,
    KeyBy,
    CreateAccumulator,
    AddInput,
    MergeAccumulators,
    ExtractOutput,
    StatefulProcess,
    OnTimer,
    SinkOpen,
    Write,
    Close,
    Finish,
}

/// How it fails there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Panic,
    Error,
}

/// An error with a source, to see that the whole chain is told.
#[derive(Debug)]
pub struct Boom(Inner);

#[derive(Debug)]
struct Inner;

impl fmt::Display for Boom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("boom")
    }
}

impl fmt::Display for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the fuse was lit")
    }
}

impl std::error::Error for Inner {}

impl std::error::Error for Boom {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// What all parts of the pipeline share: where it fails, and what was seen.
pub struct Kit {
    spot: Spot,
    how: How,
    pub dir: PathBuf,
    /// The threads on which the fault has struck.
    struck: Mutex<HashSet<ThreadId>>,
    /// Calls of user code on such a thread afterwards.
    pub violations: Mutex<Vec<String>>,
    pub setups: AtomicUsize,
    pub teardowns: AtomicUsize,
    pub finishes: Mutex<Vec<bool>>,
}

impl Kit {
    pub fn new(spot: Spot, how: How, dir: &Path) -> Arc<Kit> {
        silence_booms();
        Arc::new(Kit {
            spot,
            how,
            dir: dir.to_owned(),
            struck: Mutex::default(),
            violations: Mutex::default(),
            setups: AtomicUsize::new(0),
            teardowns: AtomicUsize::new(0),
            finishes: Mutex::default(),
        })
    }

    /// Is called at every place; fails at the chosen one, at the subject that ends in 17 if there
    /// is a subject.
    pub fn visit(&self, spot: Spot, subject: Option<&str>) -> Result<(), Boom> {
        let thread = std::thread::current().id();
        let may_follow = matches!(spot, Spot::Teardown | Spot::Finish);
        if !may_follow && self.struck.lock().unwrap().contains(&thread) {
            let violation = format!("{spot:?} was called after the failure");
            self.violations.lock().unwrap().push(violation);
        }
        if spot != self.spot || subject.is_some_and(|s| !s.ends_with("-17")) {
            return Ok(());
        }
        self.struck.lock().unwrap().insert(thread);
        match self.how {
            How::Panic => panic!("boom"),
            How::Error => Err(Boom(Inner)),
        }
    }

    /// The same for a connector, whose errors are the library's.
    pub fn visit_connector(&self, spot: Spot) -> Result<(), Error> {
        let visited = self.visit(spot, None);
        visited.map_err(|boom| Error::io("lighting", std::io::Error::other(boom)))
    }

    /// The same where there is no error to return.
    pub fn visit_infallible(&self, spot: Spot, subject: Option<&str>) {
        self.visit(spot, subject).expect("only panics are put here");
    }
}

/// Keeps the panics that these tests cause out of the output.
pub fn silence_booms() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&"boom") {
                print(info);
            }
        }));
    });
}

/// The pipeline; `ends` tells whether its source comes to an end.
pub fn pipeline(kit: &Arc<Kit>, bounded: bool, ends: bool) -> pipeline_core::BuiltPipeline {
    let at = |spot: Spot| {
        let kit = Arc::clone(kit);
        move |record: &str| kit.visit_infallible(spot, Some(record))
    };
    let (map, flat_map, filter) = (at(Spot::Map), at(Spot::FlatMap), at(Spot::Filter));
    let (try_map, with_timestamps) = (at(Spot::TryMap), at(Spot::WithTimestamps));
    let key_by = at(Spot::KeyBy);
    Pipeline::build(|p| {
        let source = Parts {
            kit: Arc::clone(kit),
            bounded,
            ends,
        };
        p.read("Read", source)
            .map("Map", move |record: String| {
                map(&record);
                record
            })
            .flat_map("FlatMap", move |record| {
                flat_map(&record);
                vec![record]
            })
            .filter("Filter", move |record| {
                filter(record);
                true
            })
            .try_map("TryMap", move |record| {
                try_map(record);
                Ok(record.clone())
            })
            .drop_dead_letters("none is expected")
            .with_timestamps("Timed", move |record| {
                with_timestamps(record);
                connectors::time_of(record)
            })
            .par_do("Life", Life(Arc::clone(kit)))
            .window_into("Window", Chunks(Arc::clone(kit)))
            .key_by("Key", move |record| {
                key_by(record);
                format!("key-{}", record.len())
            })
            .combine_per_key("Combine", Tally(Arc::clone(kit)))
            .par_do_stateful("Remind", |cells| Remind {
                kit: Arc::clone(kit),
                seen: cells.value("seen"),
                timer: cells.event_timer("timer"),
            })
            .write("Write", Numbered(Arc::clone(kit)));
    })
    .expect("the pipeline is well formed")
}

impl Kit {
    pub fn count_setup(&self) {
        self.setups.fetch_add(1, Ordering::SeqCst);
    }

    pub fn count_teardown(&self) {
        self.teardowns.fetch_add(1, Ordering::SeqCst);
    }
}
