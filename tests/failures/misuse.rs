//! What user code may not do: the error names the transform, and the element where there is one.

use pipeline_core::prelude::*;
use pipeline_core::window::Window;
use serde::{Deserialize, Serialize, Serializer};

use super::support::Slow;

/// Runs a pipeline that fails on one and on three workers, and asserts what the error says.
fn assert_fails(parts: &[&str], construct: impl Fn(&Pipeline)) {
    let pipeline = Pipeline::build(construct).expect("it is well formed");
    for workers in [1, 3] {
        let runner = DirectRunner::new().workers(workers).encode_edges(true);
        let error = runner.run(&pipeline).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "no {part:?} in {error:?}");
        }
    }
}

#[test]
fn a_timestamp_before_the_elements() {
    let parts = [
        "with_timestamps failed in transform 'Early' on element \"x\"",
        "before the element in process",
    ];
    let parts = parts.map(|p| p.replace('"', ""));
    let parts = parts.each_ref().map(String::as_str);
    assert_fails(&parts, |p| {
        let at = Timestamp::from_millis(1_000);
        let timed = p.create_timestamped("Create", vec![("x".to_string(), at)]);
        let _early = timed.with_timestamps("Early", |_| Timestamp::from_millis(999));
    });
}

/// Emits at the end of a bundle as if an element were there.
#[derive(Clone)]
struct Rash;

impl DoFn for Rash {
    type Input = u64;
    type Outputs = Out<u64>;

    fn process(&mut self, _: u64, _: &ElementContext, _: &mut Out<u64>) -> Result<(), BoxError> {
        Ok(())
    }

    fn finish_bundle(&mut self, out: &mut Out<u64>) -> Result<(), BoxError> {
        out.emit(1);
        Ok(())
    }
}

#[test]
fn an_emit_without_a_stamp() {
    assert_fails(
        &["in transform 'Rash'", "finish_bundle", "use `emit_in`"],
        |p| {
            let _none = p.create("Create", vec![1]).par_do("Rash", Rash);
        },
    );
}

#[derive(Clone, Debug, PartialEq)]
struct NoWindow;

impl WindowFn for NoWindow {
    fn assign(&self, _: Timestamp, _: &mut Vec<Window>) {}
}

#[test]
fn an_element_without_a_window() {
    let parts = [
        "assign failed in transform 'Nowhere' on element 7",
        "gave no window",
    ];
    assert_fails(&parts, |p| {
        let _none = p.create("Create", vec![7]).window_into("Nowhere", NoWindow);
    });
}

#[derive(Clone, Debug, PartialEq)]
struct Forgetful;

impl WindowFn for Forgetful {
    fn assign(&self, t: Timestamp, windows: &mut Vec<Window>) {
        windows.push(Window::interval(t, t.plus_millis(10)));
    }

    fn is_merging(&self) -> bool {
        true
    }

    fn merge(&self, _: &[Window]) -> Vec<Window> {
        Vec::new()
    }
}

#[test]
fn a_merge_that_loses_a_window() {
    let parts = [
        "merge failed in transform 'Group",
        "of key 7",
        "the WindowFn returned no window that holds",
    ];
    assert_fails(&parts, |p| {
        let at = Timestamp::from_millis(0);
        let pairs = p.create_timestamped("Create", vec![((7, 8), at)]);
        let _groups = pairs.window_into("Window", Forgetful).group_by_key("Group");
    });
}

/// Refuses every record.
struct Closed;

impl Sink for Closed {
    type Item = String;
    type Writer = Closed;

    fn open(&self, _: usize) -> Result<Closed, Error> {
        Ok(Closed)
    }
}

impl Writer<String> for Closed {
    async fn write(&mut self, _: &WriteBatch<'_, String>) -> Result<Vec<Rejected>, Error> {
        let failure = Failure::new("closed");
        Ok(vec![Rejected { index: 0, failure }])
    }
}

#[test]
fn a_refused_record_that_nobody_takes() {
    let text = "long ".repeat(1_000);
    let parts = [
        "write failed in transform 'Write' on element long long",
        "(5000 bytes)",
        "write `.refused` somewhere",
    ];
    assert_fails(&parts, |p| {
        p.create("Create", vec![text.clone()])
            .write("Write", Closed);
    });
}

/// Panics when it is encoded.
#[derive(Clone, Deserialize)]
struct Brittle;

impl Serialize for Brittle {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("boom")
    }
}

#[test]
fn a_serialize_that_panics() {
    assert_fails(&["in transform '", "panic: boom"], |p| {
        let brittle = p
            .create("Create", vec![1_u64])
            .map("Make", |_: u64| Brittle);
        brittle
            .map("Number", |_| 1_u64)
            .write("Write", Slow::new(std::time::Duration::ZERO));
    });
}
