//! Wall time, as an argument: nothing below the runners reads the machine's clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::time::Timestamp;

/// Tells the wall time.
pub trait Clock: Send + Sync + 'static {
    /// Returns the present instant; never less than what was returned before.
    fn now(&self) -> Timestamp;
}

/// Reads the machine's clock. The default of the embedded engine.
#[derive(Debug, Default)]
pub struct SystemClock {
    latest: AtomicI64,
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let millis = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(_) => 0,
        };
        let before = self.latest.fetch_max(millis, Ordering::Relaxed);
        Timestamp::from_millis(millis.max(before))
    }
}

/// Goes on from what the clock of an earlier run showed: time does not go back over a restart, nor
/// does it stand still until a machine that is behind has caught up.
pub(crate) struct ResumedClock {
    clock: Arc<dyn Clock>,
    behind: i64,
}

impl ResumedClock {
    /// Makes a clock that shows `at_least` now.
    pub(crate) fn new(clock: Arc<dyn Clock>, at_least: Timestamp) -> Self {
        let behind = at_least.millis().saturating_sub(clock.now().millis());
        ResumedClock {
            clock,
            behind: behind.max(0),
        }
    }
}

impl Clock for ResumedClock {
    fn now(&self) -> Timestamp {
        self.clock.now().plus_millis(self.behind)
    }
}

/// Stands still until it is told to go on: for tests.
#[derive(Debug, Default)]
pub struct ManualClock {
    millis: AtomicI64,
}

impl ManualClock {
    /// Makes a clock that stands at `start`.
    pub fn at(start: Timestamp) -> Self {
        ManualClock {
            millis: AtomicI64::new(start.millis()),
        }
    }

    /// Moves the clock on.
    pub fn advance(&self, by: std::time::Duration) {
        self.millis
            .fetch_add(crate::time::millis(by), Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.millis.load(Ordering::Relaxed))
    }
}
