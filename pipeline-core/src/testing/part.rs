//! One part of a source under the test's control.

use std::sync::Arc;

use crate::batch::Batch;
use crate::clock::SystemClock;
use crate::error::Result;
use crate::metrics::Metrics;
use crate::source::{Position, ReadBatch, ReadContext, ReadStatus, Reader, Source};
use crate::time::Timestamp;

/// Reads a part of a source without a pipeline: for tests of sources.
///
/// ```
/// use pipeline_core::prelude::*;
/// use pipeline_core::testing::TestPart;
///
/// let path = std::env::temp_dir().join(format!("test-part-{}.txt", std::process::id()));
/// std::fs::write(&path, "to\nbe\nor\n")?;
/// let text = Text::lines(path.display().to_string());
/// let open = |position| TestPart::open(&text, text.split(1)?.remove(0), position);
///
/// let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// let mut part = open(None)?;
/// assert_eq!(runtime.block_on(part.read(2))?.elements.len(), 2);
/// let position = part.position()?;
/// // Another life goes on there.
/// let read = runtime.block_on(open(Some(position))?.read(2))?;
/// assert_eq!(read.elements[0].0.bytes, "or");
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TestPart<S: Source> {
    reader: S::Reader,
    metrics: Arc<Metrics>,
}

/// What a read gave.
#[derive(Debug)]
pub struct TestRead<T, A> {
    /// The elements and their event times.
    pub elements: Vec<(T, Timestamp)>,
    /// What acknowledges them.
    pub acks: Vec<A>,
    /// The bytes that the acknowledgements stand for.
    pub ack_bytes: u64,
    /// Whether the part goes on.
    pub status: ReadStatus,
}

impl<S: Source> TestPart<S> {
    /// Opens a part, at its beginning or at a position.
    ///
    /// # Errors
    /// What the source says.
    pub fn open(source: &S, split: S::Split, position: Option<Position>) -> Result<Self> {
        let path: Arc<str> = "Part".into();
        let metrics = Arc::new(Metrics::new([&path].into_iter()));
        let context = ReadContext {
            path,
            metrics: Arc::clone(&metrics),
            clock: Arc::new(SystemClock::default()),
            position,
        };
        let reader = source.open(split, &context)?;
        Ok(TestPart { reader, metrics })
    }

    /// Reads at most `room` elements.
    ///
    /// # Errors
    /// What the reader says.
    pub async fn read(&mut self, room: usize) -> Result<TestRead<S::Item, S::Ack>> {
        let mut batch = ReadBatch {
            batch: Batch::default(),
            acks: Vec::new(),
            ack_bytes: 0,
            room,
        };
        let status = self.reader.read(&mut batch).await?;
        let elements = batch.batch.drain();
        Ok(TestRead {
            elements: elements
                .map(|(value, stamp)| (value, stamp.timestamp))
                .collect(),
            acks: batch.acks,
            ack_bytes: batch.ack_bytes,
            status,
        })
    }

    /// Returns where the reader is.
    ///
    /// # Errors
    /// What the reader says.
    pub fn position(&mut self) -> Result<Position> {
        self.reader.position()
    }

    /// Returns the reader's watermark.
    pub fn watermark(&self) -> Timestamp {
        self.reader.watermark()
    }

    /// Returns a counter of the reader.
    pub fn counter(&self, name: &str) -> u64 {
        self.metrics.snapshot().get("Part", name)
    }
}
