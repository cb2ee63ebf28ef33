//! A composite.

use pipeline_core::prelude::*;

use crate::readings::Reading;
use crate::{BusyPeriods, Mean};

/// Computes the mean of each sensor and busy period.
pub struct MeanPerSensor {
    /// The periods.
    pub periods: BusyPeriods,
}

impl PTransform<PCollection<Reading>> for MeanPerSensor {
    type Output = PCollection<(String, i64)>;

    fn expand(self, readings: PCollection<Reading>) -> PCollection<(String, i64)> {
        readings
            .window_into("Periods", self.periods)
            .map("Pair", |(sensor, _, value): Reading| (sensor, value))
            .combine_per_key("Mean", Mean)
    }
}
