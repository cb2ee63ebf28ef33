//! A stream under the test's control.

use crate::coder::Element;
use crate::error::Result;
use crate::source::{Position, ReadBatch, ReadContext, ReadStatus, Reader, Resume, Source};
use crate::time::Timestamp;

/// Gives elements and watermarks in an order that the test writes down (Beam's `TestStream`).
///
/// Each step is taken when everything that the one before caused has come to rest, on all
/// workers; for that, run the pipeline with [`DirectRunner::seed`]. The collection is unbounded,
/// also in the eyes of the checks at construction. When the steps are over the watermark goes to
/// infinity.
///
/// [`DirectRunner::seed`]: crate::runners::direct::DirectRunner::seed
///
/// ```
/// use std::time::Duration;
/// use pipeline_core::prelude::*;
/// use pipeline_core::testing::TestStream;
/// use pipeline_core::window::PaneTiming;
///
/// let second = Timestamp::from_millis(1_000);
/// let pipeline = Pipeline::build(|p| {
///     let stream = TestStream::new()
///         .element("a".to_string(), Timestamp::from_millis(1))
///         .watermark(second)
///         .element("a".to_string(), Timestamp::from_millis(2));
///     let windows = WindowInto::new(FixedWindows::of(Duration::from_secs(1)))
///         .allowed_lateness(Duration::from_secs(1));
///     p.read("Stream", stream)
///         .window_into("Seconds", windows)
///         .count_per_element("Count")
///         .check_timed("OnTimeAndLate", |mut panes| {
///             panes.sort_by_key(|p| p.pane.index());
///             assert_eq!(panes[0].pane.timing(), PaneTiming::OnTime);
///             assert_eq!(panes[1].pane.timing(), PaneTiming::Late);
///         });
/// })?;
/// DirectRunner::new().workers(2).seed(7).run(&pipeline)?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct TestStream<T> {
    steps: Vec<TestStep<T>>,
}

/// One step of a [`TestStream`].
#[derive(Clone, Debug)]
enum TestStep<T> {
    Elements(Vec<(T, Timestamp)>),
    Watermark(Timestamp),
}

impl<T> Default for TestStream<T> {
    fn default() -> Self {
        TestStream { steps: Vec::new() }
    }
}

impl<T: Element> TestStream<T> {
    /// Begins a stream at the watermark [`Timestamp::MIN`].
    pub fn new() -> Self {
        TestStream::default()
    }

    /// Adds one element.
    pub fn element(self, value: T, timestamp: Timestamp) -> Self {
        self.elements([(value, timestamp)])
    }

    /// Adds elements that come together, in one batch.
    pub fn elements(mut self, elements: impl IntoIterator<Item = (T, Timestamp)>) -> Self {
        let elements = elements.into_iter().collect();
        self.steps.push(TestStep::Elements(elements));
        self
    }

    /// Moves the watermark; it never goes back.
    pub fn watermark(mut self, watermark: Timestamp) -> Self {
        self.steps.push(TestStep::Watermark(watermark));
        self
    }
}

impl<T: Element> Source for TestStream<T> {
    type Item = T;
    type Split = ();
    type Ack = ();
    type Reader = TestStreamReader<T>;

    fn is_bounded(&self) -> bool {
        false
    }

    fn split(&self, _: usize) -> Result<Vec<()>> {
        Ok(vec![()])
    }

    fn open(&self, (): (), context: &ReadContext) -> Result<TestStreamReader<T>> {
        let mut reader = TestStreamReader {
            steps: self.steps.clone().into_iter(),
            taken: 0,
            watermark: Timestamp::MIN,
        };
        for _ in 0..context.position::<usize>()?.unwrap_or_default() {
            reader.next();
        }
        Ok(reader)
    }

    fn resume(&self) -> Resume {
        Resume::Position
    }

    fn reads_at_rest(&self) -> bool {
        true
    }
}

/// Takes the steps of a [`TestStream`].
pub struct TestStreamReader<T> {
    steps: std::vec::IntoIter<TestStep<T>>,
    /// The steps that were taken.
    taken: usize,
    watermark: Timestamp,
}

impl<T> TestStreamReader<T> {
    /// Takes a step; returns its elements.
    fn next(&mut self) -> Option<Vec<(T, Timestamp)>> {
        let step = self.steps.next()?;
        self.taken += 1;
        match step {
            TestStep::Elements(elements) => Some(elements),
            TestStep::Watermark(watermark) => {
                self.watermark = self.watermark.max(watermark);
                Some(Vec::new())
            }
        }
    }
}

impl<T: Element> Reader<T, ()> for TestStreamReader<T> {
    async fn read(&mut self, batch: &mut ReadBatch<T, ()>) -> Result<ReadStatus> {
        let Some(elements) = self.next() else {
            return Ok(ReadStatus::Ended);
        };
        for (value, timestamp) in elements {
            batch.push(value, timestamp);
        }
        Ok(ReadStatus::More)
    }

    fn watermark(&self) -> Timestamp {
        self.watermark
    }

    fn position(&mut self) -> Result<Position> {
        Position::of(&self.taken)
    }
}
