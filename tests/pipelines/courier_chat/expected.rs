//! The expected table, byte for byte, however the pipeline is run.

use pipeline_core::DROPPED_LATE;
use pipeline_core::prelude::*;
use pipeline_examples::courier_chat::pipeline::Settings;
use pipeline_gcp::pubsub::LocalPubSub;

use super::harness::{EXPECTED, Ran, SAMPLE, batch, streaming};

fn check(ran: &Ran) {
    assert_eq!(ran.csv(), EXPECTED);
    assert!(ran.letters.is_empty());
    assert_eq!(ran.result.metrics().total(DROPPED_LATE), 0);
    let (view, table) = ran.view_and_table();
    assert_eq!(view, table);
}

#[test]
fn batch_gives_the_expected_table() {
    for workers in [1, 2, 4] {
        let runner = DirectRunner::new().workers(workers);
        check(&batch(SAMPLE, &runner, &Settings::default()));
    }
}

#[test]
fn streaming_gives_the_expected_table() {
    for workers in [1, 2, 4] {
        let runner = DirectRunner::new().workers(workers);
        let ran = streaming(SAMPLE, LocalPubSub::new(), &runner, &Settings::default());
        check(&ran);
    }
}
