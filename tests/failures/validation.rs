//! What is refused when a pipeline is built, and what the refusal says to do.

use std::time::Duration;

use pipeline_core::ErrorKind;
use pipeline_core::prelude::*;
use pipeline_core::testing::TestStream;
use serde::{Deserialize, Serialize};

const MINUTE: Duration = Duration::from_secs(60);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_000 * seconds)
}

/// Builds a pipeline that is refused, and returns the reasons.
fn refusals(construct: impl FnOnce(&Pipeline)) -> Vec<String> {
    let Err(error) = Pipeline::build(construct) else {
        panic!("the pipeline was not refused");
    };
    let ErrorKind::Invalid(reasons) = error.kind() else {
        panic!("another error: {error}");
    };
    for reason in reasons {
        assert!(error.to_string().contains(reason), "{error}");
    }
    reasons.clone()
}

/// Asserts that there is one refusal and that it holds all of `parts`.
fn assert_refused(parts: &[&str], construct: impl FnOnce(&Pipeline)) {
    let reasons = refusals(construct);
    assert_eq!(reasons.len(), 1, "{reasons:#?}");
    for part in parts {
        assert!(reasons[0].contains(part), "no {part:?} in {:?}", reasons[0]);
    }
}

#[test]
fn an_empty_pipeline() {
    assert_refused(
        &["no transforms", "begin with `pipeline.read` or `create`"],
        |_| {},
    );
}

#[test]
fn a_name_used_twice() {
    let expected = [
        "two transforms are named 'Same'",
        "give each a name of its own",
    ];
    assert_refused(&expected, |p| {
        let _a = p.create("Same", vec![1]);
        let _b = p.create("Same", vec![2]);
        let _c = p.create("Same", vec![3]);
    });
}

#[test]
fn a_composite_used_twice() {
    // What stands inside is not listed again.
    assert_refused(&["two transforms are named 'Twice'"], |p| {
        let numbers = p.create("Numbers", vec![1]);
        for _ in 0..2 {
            let _same = numbers.apply("Twice", |n: PCollection<i32>| n.map("Inside", |n| n));
        }
    });
    // The same name in two composites is two paths.
    let built = Pipeline::build(|p| {
        let numbers = p.create("Numbers", vec![1]);
        for name in ["One", "Other"] {
            let _apart = numbers.apply(name, |n: PCollection<i32>| n.map("Inside", |n| n));
        }
    });
    assert!(built.is_ok());
}

fn endless(p: &Pipeline) -> PCollection<(String, u64)> {
    p.read(
        "Endless",
        TestStream::new().element(("a".to_string(), 1), at(0)),
    )
}

#[test]
fn groups_that_never_end() {
    let never = |name: &str| {
        [
            format!("'{name}"),
            "unbounded input in the global window".to_owned(),
            "put `window_into` with windows that end in front".to_owned(),
        ]
    };
    let assert = |name: &str, construct: fn(&Pipeline)| {
        let parts = never(name);
        assert_refused(&parts.each_ref().map(String::as_str), construct);
    };
    assert("Group", |p| drop(endless(p).group_by_key("Group")));
    assert("Count", |p| drop(endless(p).count_per_key("Count")));
    assert("Sum", |p| {
        drop(endless(p).values("Values").sum_globally("Sum"))
    });
    assert("Join", |p| {
        let left = p.create("Left", vec![("a".to_string(), 1)]);
        drop(left.co_group_by_key("Join", &endless(p)));
    });
    // State per key needs no end (the model's rule 21).
    let built = Pipeline::build(|p| {
        let _spread = endless(p).reshuffle("Spread");
    });
    assert!(built.is_ok());
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Wrapped(f64);

impl Eq for Wrapped {}

impl std::hash::Hash for Wrapped {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Tags(std::collections::HashMap<String, u8>);

impl std::hash::Hash for Tags {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.len().hash(state);
    }
}

#[test]
fn keys_without_a_stable_encoding() {
    let expected = [
        "'Group' (group_by_key)",
        "Tags",
        "HashMap",
        "use a BTreeMap",
    ];
    assert_refused(&expected, |p| {
        let pairs = p.create("Pairs", vec![(Tags(Default::default()), 1)]);
        let _groups = pairs.group_by_key("Group");
    });
    let expected = ["'Count' (combine)", "Wrapped", "f64", "use an integer"];
    assert_refused(&expected, |p| {
        let pairs = p.create("Pairs", vec![(Wrapped(0.0), 1)]);
        let _counts = pairs.count_per_key("Count");
    });
}

#[test]
fn windows_that_do_not_go_together() {
    let expected = [
        "mixes 'Global' in windows GlobalWindows",
        "'Minutes'",
        "put the same `window_into`",
    ];
    let parts = |p: &Pipeline| {
        let global = p.create("Global", vec![(1, 1)]);
        let minutes = p.create("Pairs", vec![(1, 1)]);
        (
            global,
            minutes.window_into("Minutes", FixedWindows::of(MINUTE)),
        )
    };
    assert_refused(&expected, |p| {
        let (global, minutes) = parts(p);
        let _both = global.flatten("Both", &[minutes]);
    });
    assert_refused(&expected, |p| {
        let (global, minutes) = parts(p);
        let _both = global.co_group_by_key("Both", &minutes);
    });
    // Of one kind, but not equal.
    assert_refused(
        &["FixedWindows", "FixedWindows of 1m", "FixedWindows of 1s"],
        |p| {
            let pairs = p.create("Pairs", vec![(1, 1)]);
            let seconds = FixedWindows::of(Duration::from_secs(1));
            let seconds = pairs.window_into("Seconds", seconds);
            let minutes = pairs.window_into("Minutes", FixedWindows::of(MINUTE));
            let _both = seconds.flatten("Both", &[minutes]);
        },
    );
}

/// With equal functions the greater lateness holds: an element that only the other input's would
/// have admitted comes through in a late pane.
#[test]
fn the_greater_lateness_is_taken() {
    for (left, right, panes) in [(0, 0, 1), (3600, 0, 2), (0, 3600, 2)] {
        let windows = |lateness| {
            WindowInto::new(FixedWindows::of(MINUTE))
                .allowed_lateness(Duration::from_secs(lateness))
        };
        let pipeline = Pipeline::build(|p| {
            // The element of the second minute carries the watermark through the other input.
            let stream = TestStream::new()
                .element(("k".to_string(), 1), at(1))
                .watermark(at(120))
                .element(("k".to_string(), 2), at(2));
            let stream = p.read("Stream", stream);
            let a = stream
                .window_into("A", windows(left))
                .filter("Of A", |_| true);
            let b = stream
                .window_into("B", windows(right))
                .filter("Of B", |_| false);
            a.flatten("Both", std::slice::from_ref(&b))
                .group_by_key("Group")
                .check("Flattened", move |groups| {
                    assert_eq!(groups.len(), panes, "{left} {right}: {groups:?}")
                });
            a.co_group_by_key("Join", &b)
                .check("Joined", move |groups| {
                    assert_eq!(groups.len(), panes, "{left} {right}: {groups:?}");
                });
        })
        .unwrap();
        DirectRunner::new()
            .workers(2)
            .seed(1)
            .run(&pipeline)
            .unwrap();
    }
}

#[test]
fn dead_letters_that_nobody_takes() {
    let expected = [
        "nothing consumes the dead letters of 'Deep/Parse'",
        "write `.dead_letters` somewhere",
        ".drop_dead_letters(\"reason\")",
    ];
    assert_refused(&expected, |p| {
        p.create("Texts", vec!["1".to_string()])
            .apply("Deep", |texts: PCollection<String>| {
                let outcome = texts.try_map("Parse", |text| Ok(text.parse::<u64>()?));
                let _numbers = outcome.ok;
            });
    });
}

#[test]
fn everything_is_listed_at_once() {
    let reasons = refusals(|p| {
        let _a = endless(p).group_by_key("Group");
        let _b = p.create("Endless", vec![1]);
        let outcome = p
            .create("Texts", vec!["1".to_string()])
            .try_map("Parse", |_| Ok(1));
        let _numbers = outcome.ok;
        let pairs = p.create("Pairs", vec![(Wrapped(0.0), 1)]);
        let _counts = pairs.group_by_key("Floats");
    });
    assert_eq!(reasons.len(), 4, "{reasons:#?}");
    for part in ["'Group", "'Endless'", "'Parse'", "'Floats'"] {
        let hits = reasons.iter().filter(|r| r.contains(part)).count();
        assert_eq!(hits, 1, "{part}: {reasons:#?}");
    }
}

#[test]
fn collections_of_two_pipelines() {
    let elsewhere = std::cell::RefCell::new(None);
    Pipeline::build(|p| {
        let _ = p.create("Unused", vec![0_u64]).map("Same", |n| n);
        *elsewhere.borrow_mut() = Some(p.create("Elsewhere", vec![1_u64]));
    })
    .unwrap();
    let elsewhere = elsewhere.into_inner().unwrap();
    assert_refused(&["'Both' takes a collection of another pipeline"], |p| {
        let _ = p.create("Here", vec![2_u64]).flatten("Both", &[elsewhere]);
    });
}
