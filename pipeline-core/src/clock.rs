//! Wall time, as an argument: nothing below the runners reads the machine's clock.

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

/// Goes on from what the clock of an earlier run showed: time does not go back over a restart.
pub(crate) struct ResumedClock {
    pub(crate) clock: std::sync::Arc<dyn Clock>,
    pub(crate) at_least: Timestamp,
}

impl Clock for ResumedClock {
    fn now(&self) -> Timestamp {
        self.clock.now().max(self.at_least)
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
