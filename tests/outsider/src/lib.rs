//! What somebody writes who has `pipeline-core` and nothing else: a source, a sink, a merging
//! window function, a combine function and a composite.

mod busy_periods;
mod mean;
mod readings;
mod report;
mod shelf;

pub use busy_periods::BusyPeriods;
pub use mean::Mean;
pub use readings::Readings;
pub use report::MeanPerSensor;
pub use shelf::Shelf;
