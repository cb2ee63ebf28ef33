//! `create`: elements out of memory.

use super::{Position, ReadBatch, ReadContext, ReadStatus, Reader, Resume, Source};
use crate::coder::Element;
use crate::error::{Error, Result};
use crate::pcollection::PCollection;
use crate::pipeline::Pipeline;
use crate::time::Timestamp;

impl Pipeline {
    /// Makes a bounded collection of `elements`, at [`Timestamp::MIN`] (PG 3.1.2).
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// let pipeline = Pipeline::build(|p| {
    ///     p.create("Numbers", vec![1, 2, 3]).check_timed("AtMin", |numbers| {
    ///         assert_eq!(numbers.len(), 3);
    ///         assert_eq!(numbers[0].timestamp, Timestamp::MIN);
    ///     });
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn create<T: Element>(&self, name: &str, elements: Vec<T>) -> PCollection<T> {
        let timed = elements.into_iter().map(|e| (e, Timestamp::MIN)).collect();
        self.create_timestamped(name, timed)
    }

    /// Makes a bounded collection of elements with event times.
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// let pipeline = Pipeline::build(|p| {
    ///     let at = Timestamp::from_millis(1_000);
    ///     p.create_timestamped("Events", vec![("a".to_string(), at)])
    ///         .check_timed("AtItsTime", move |events| {
    ///             assert_eq!((events[0].value.as_str(), events[0].timestamp), ("a", at));
    ///         });
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn create_timestamped<T: Element>(
        &self,
        name: &str,
        elements: Vec<(T, Timestamp)>,
    ) -> PCollection<T> {
        self.read(name, Create { elements })
    }
}

struct Create<T> {
    elements: Vec<(T, Timestamp)>,
}

impl<T: Element> Source for Create<T> {
    type Item = T;
    type Split = Vec<(T, Timestamp)>;
    type Ack = ();
    type Reader = CreateReader<T>;

    fn is_bounded(&self) -> bool {
        true
    }

    fn split(&self, desired: usize) -> Result<Vec<Self::Split>> {
        let size = self.elements.len().div_ceil(desired.max(1)).max(1);
        Ok(self.elements.chunks(size).map(<[_]>::to_vec).collect())
    }

    fn open(&self, split: Self::Split, context: &ReadContext) -> Result<CreateReader<T>> {
        let length = split.len();
        let read: usize = context.position()?.unwrap_or_default();
        if read > length {
            return Err(Error::option(format!(
                "{read} elements were taken in before the snapshot, and there are {length} now; give the same elements, or \
                 begin anew with another folder for snapshots"
            )));
        }
        let mut rest = split.into_iter();
        rest.by_ref().take(read).for_each(drop);
        Ok(CreateReader { rest, length })
    }

    fn resume(&self) -> Resume {
        Resume::Position
    }
}

struct CreateReader<T> {
    rest: std::vec::IntoIter<(T, Timestamp)>,
    length: usize,
}

impl<T: Element> Reader<T, ()> for CreateReader<T> {
    async fn read(&mut self, batch: &mut ReadBatch<T, ()>) -> Result<ReadStatus> {
        for (value, timestamp) in self.rest.by_ref().take(batch.room()) {
            batch.push(value, timestamp);
        }
        Ok(if self.rest.len() == 0 {
            ReadStatus::Ended
        } else {
            ReadStatus::More
        })
    }

    fn position(&mut self) -> Result<Position> {
        Position::of(&(self.length - self.rest.len()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::testing::TestPart;

    #[test]
    fn a_list_goes_on_behind_what_was_taken_in() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let list = |length: u32| Create {
            elements: (0..length).map(|n| (n, Timestamp::MIN)).collect(),
        };
        assert_eq!(list(1).resume(), Resume::Position);
        let open = |length, position| {
            let list = list(length);
            TestPart::open(&list, list.split(2).unwrap().remove(1), position)
        };
        for taken in 0..=5 {
            let mut part = open(10, None).unwrap();
            runtime.block_on(part.read(taken)).unwrap();
            let position = part.position().unwrap();
            let mut part = open(10, Some(position.clone())).unwrap();
            let rest = runtime.block_on(part.read(10)).unwrap();
            let rest: Vec<u32> = rest.elements.into_iter().map(|e| e.0).collect();
            assert_eq!(rest, (5 + taken as u32..10).collect::<Vec<_>>());
            let shorter = open(2, Some(position));
            assert_eq!(shorter.is_err(), taken > 1, "{taken}");
        }
    }
}
