//! The pieces in a pipeline.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outsider::{BusyPeriods, MeanPerSensor, Readings, Shelf};
use pipeline_core::prelude::*;

#[test]
fn an_outsider_can_extend_the_library() -> Result<(), Error> {
    for workers in [1, 2] {
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let reading = |sensor: &str, millis, value| (sensor.to_string(), millis, value);
        let source = Readings {
            readings: vec![
                reading("a", 0, 10),
                reading("b", 5, 1),
                reading("a", 8, 20),
                // Within the gap, but the period would last longer than 25 ms.
                reading("a", 17, 60),
                // Behind the gap.
                reading("a", 100, 7),
                reading("a very long name of a sensor", 101, 7),
            ],
            acknowledged: Arc::clone(&acknowledged),
        };
        let periods = BusyPeriods {
            gap: Duration::from_millis(10),
            longest: Duration::from_millis(25),
        };
        let shelf = Shelf::default();
        let pipeline = Pipeline::build(|p| {
            p.read("Readings", source.clone())
                .apply(
                    "Means",
                    MeanPerSensor {
                        periods: periods.clone(),
                    },
                )
                .map("Line", |(sensor, mean): (String, i64)| {
                    format!("{sensor} {mean}")
                })
                .write("Shelve", shelf.clone())
                .refused
                .check("TooLong", |refused| assert_eq!(refused.len(), 1));
        })?;
        let result = DirectRunner::new().workers(workers).run(&pipeline)?;
        assert_eq!(result.end(), End::Finished);
        assert_eq!(shelf.lines(), ["a 15", "a 60", "a 7", "b 1"]);
        assert_eq!(acknowledged.load(Ordering::SeqCst), 6);
        assert!(pipeline.to_mermaid().contains("Means"));
    }
    Ok(())
}
