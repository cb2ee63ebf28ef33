//! The expected table, byte for byte, however the pipeline is run.

use pipeline_core::prelude::*;
use pipeline_core::{DROPPED_LATE, ELEMENTS_IN};
use pipeline_examples::courier_chat::pipeline::{Settings, UNMATCHED};
use pipeline_gcp::pubsub::{LocalPubSub, Redelivery};

use super::harness::{EXPECTED, Ran, SAMPLE, batch, streaming};

fn check(ran: &Ran) {
    assert_eq!(ran.csv(), EXPECTED);
    assert!(ran.letters.is_empty());
    let metrics = ran.result.metrics();
    assert_eq!(metrics.total(DROPPED_LATE), 0);
    assert_eq!(metrics.get(UNMATCHED, ELEMENTS_IN), 0);
    let (view, table) = ran.view_and_table();
    assert_eq!(view.rows.len(), 400);
    assert_eq!(view, table);
}

/// The ways of running that must not matter.
fn runners() -> Vec<DirectRunner> {
    let plain = [1, 2, 4].map(|workers| DirectRunner::new().workers(workers));
    let tests = [1, 3].map(|workers| DirectRunner::new().workers(workers));
    let encoded = tests.clone().map(|runner| runner.encode_edges(true));
    let single = tests.map(|runner| runner.max_bundle(1));
    plain.into_iter().chain(encoded).chain(single).collect()
}

#[test]
fn batch_gives_the_expected_table() {
    for runner in runners() {
        check(&batch(SAMPLE, &runner, &Settings::default()));
    }
}

#[test]
fn streaming_gives_the_expected_table() {
    for runner in runners() {
        let ran = streaming(SAMPLE, LocalPubSub::new(), &runner, &Settings::default());
        check(&ran);
    }
}

#[test]
fn twenty_seeds_give_the_expected_table() {
    for seed in 0..20 {
        let runner = DirectRunner::new()
            .workers(1 + seed as usize % 4)
            .seed(seed);
        check(&batch(SAMPLE, &runner, &Settings::default()));
        let ran = streaming(SAMPLE, LocalPubSub::new(), &runner, &Settings::default());
        check(&ran);
    }
}

#[test]
fn each_message_may_come_one_to_three_times() {
    for seed in 0..6 {
        let service = LocalPubSub::new().with_redelivery(Redelivery::seeded(seed));
        let runner = DirectRunner::new().workers(1 + seed as usize % 3);
        let ran = streaming(SAMPLE, service, &runner, &Settings::default());
        check(&ran);
        assert!(ran.result.metrics().total("duplicates") > 1_000);
    }
}

#[test]
fn the_final_table_needs_no_base_tables() {
    let settings = Settings {
        base_tables: false,
        ..Settings::default()
    };
    let runner = DirectRunner::new().workers(2);
    assert_eq!(batch(SAMPLE, &runner, &settings).csv(), EXPECTED);
    let ran = streaming(SAMPLE, LocalPubSub::new(), &runner, &settings);
    assert_eq!(ran.csv(), EXPECTED);
}
