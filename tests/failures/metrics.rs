//! The counts of a run are exact, and print as a table.

use std::time::Duration;

use pipeline_core::prelude::*;
use pipeline_core::testing::TestStream;
use pipeline_core::{DEAD_LETTERS, DROPPED_LATE, ELEMENTS_IN, ELEMENTS_OUT, EXCHANGED};

#[test]
fn counts_of_a_bounded_run() {
    for workers in [1, 4] {
        let pipeline = Pipeline::build(|p| {
            let outcome = p
                .create("Create", (0..1_000).collect::<Vec<u64>>())
                .flat_map("Twice", |n| [n, n])
                .filter("Low", |n| *n < 500)
                .try_map("Parse", |n| {
                    if n % 10 == 0 {
                        return Err(Failure::new("round"));
                    }
                    Ok((n % 7, *n))
                });
            outcome
                .dead_letters
                .check("Refused", |refused| assert_eq!(refused.len(), 100));
            let pairs = outcome.ok;
            let _spread = pairs.reshuffle("Spread");
            pairs
                .group_by_key("Group")
                .check("Groups", |groups| assert_eq!(groups.len(), 7));
            pairs.count_per_key("Count").check("Counts", |counts| {
                assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), 900);
            });
        })
        .unwrap();
        let result = DirectRunner::new().workers(workers).run(&pipeline).unwrap();
        let metrics = result.metrics();
        let expected: &[(&str, &str, u64)] = &[
            ("Create", ELEMENTS_OUT, 1_000),
            ("Twice", ELEMENTS_IN, 1_000),
            ("Twice", ELEMENTS_OUT, 2_000),
            ("Low", ELEMENTS_IN, 2_000),
            ("Low", ELEMENTS_OUT, 1_000),
            ("Parse", ELEMENTS_IN, 1_000),
            // Good elements and dead letters are both outputs.
            ("Parse", ELEMENTS_OUT, 1_000),
            ("Parse", DEAD_LETTERS, 100),
            ("Spread", ELEMENTS_IN, 900),
            ("Spread", EXCHANGED, 900),
            ("Spread", ELEMENTS_OUT, 900),
            ("Group/Exchange", EXCHANGED, 900),
            ("Count/Lift", ELEMENTS_IN, 900),
            ("Count/Merge", ELEMENTS_OUT, 7),
            ("Counts/Check", ELEMENTS_IN, 7),
        ];
        for (path, name, count) in expected {
            assert_eq!(metrics.get(path, name), *count, "{path} {name}\n{metrics}");
        }
        let groups: Vec<_> = metrics
            .iter()
            .filter(|(p, ..)| p.starts_with("Group/"))
            .collect();
        let out = groups
            .iter()
            .filter(|(_, name, _)| *name == ELEMENTS_OUT)
            .map(|g| g.2)
            .min();
        assert_eq!(out, Some(7), "{metrics}");
        // Lifted: at most an accumulator for each key and bundle crosses, not an element.
        let lifted = metrics.get("Count/Exchange", EXCHANGED);
        assert!((7..900).contains(&lifted), "{lifted}\n{metrics}");
        assert_table(metrics);
    }
}

fn assert_table(metrics: &pipeline_core::MetricsSnapshot) {
    let table = metrics.to_string();
    let mut lines = table.lines();
    let head: Vec<_> = lines.next().unwrap_or("").split_whitespace().collect();
    assert_eq!(head, ["transform", "in", "out"]);
    let row = |path: &str| -> Vec<String> {
        let line = table
            .lines()
            .find(|line| line.split_whitespace().next() == Some(path));
        let line = line.unwrap_or_else(|| panic!("no {path} in\n{table}"));
        line.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(row("Create"), ["Create", "-", "1000"]);
    assert_eq!(row("Parse"), ["Parse", "1000", "1000", "dead_letters=100"]);
    assert_eq!(row("Spread"), ["Spread", "900", "900", "exchanged=900"]);
}

#[test]
fn dropped_and_drops_are_counted() {
    let at = |seconds: i64| Timestamp::from_millis(1_000 * seconds);
    for workers in [1, 3] {
        let pipeline = Pipeline::build(|p| {
            let late: Vec<_> = (0..13).map(|n| (format!("{n}"), at(n))).collect();
            let stream = TestStream::new()
                .element("x".to_string(), at(5))
                .watermark(at(60))
                .elements(late);
            let texts = p.read("Stream", stream);
            texts
                .window_into("Minutes", FixedWindows::of(Duration::from_secs(60)))
                .count_per_element("Count")
                .check("Counts", |counts| {
                    assert_eq!(counts, [("x".to_string(), 1)])
                });
            let _numbers = texts
                .try_map("Parse", |text| Ok(text.parse::<u64>()?))
                .drop_dead_letters("letters are no numbers");
        })
        .unwrap();
        let runner = DirectRunner::new().workers(workers).seed(3);
        let result = runner.run(&pipeline).unwrap();
        let metrics = result.metrics();
        assert_eq!(metrics.total(DROPPED_LATE), 13, "{metrics}");
        assert_eq!(metrics.get("Parse", DEAD_LETTERS), 1, "{metrics}");
        assert_eq!(metrics.get("Parse.Drop", DEAD_LETTERS), 1, "{metrics}");
        assert!(metrics.to_string().contains("dropped_late=13"), "{metrics}");
    }
}
