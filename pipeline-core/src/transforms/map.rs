//! `map`: one element in, one out.

use std::sync::Arc;

use crate::batch::Batch;
use crate::coder::Element;
use crate::error::Result;
use crate::graph::{Kind, Lowered, Port, Receiver};
use crate::pcollection::PCollection;
use crate::user_code::{Current, guarded};

impl<T: Element> PCollection<T> {
    /// Replaces every element by `f(element)`; timestamp, window and pane stay.
    ///
    /// For a function that may fail, see [`try_map`](PCollection::try_map).
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// let pipeline = Pipeline::build(|p| {
    ///     p.create("Words", vec!["not".to_string()])
    ///         .map("Length", |word| word.len())
    ///         .check("Three", |lengths| assert_eq!(lengths, [3]));
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn map<U: Element>(
        &self,
        name: &str,
        f: impl Fn(T) -> U + Send + Sync + 'static,
    ) -> PCollection<U> {
        let f = Arc::new(f);
        self.transform(name, Kind::ParDo, move |context, out| {
            Ok(Lowered::passive(Map {
                f: Arc::clone(&f),
                out,
                path: context.path(),
                current: Current::none(),
            }))
        })
    }
}

impl<T: Element> PCollection<T> {
    /// Does what `map` does, for a function of the library that cannot fail: no call is guarded,
    /// and no element cloned to name it.
    pub(super) fn map_own<U: Element>(
        &self,
        name: &str,
        f: impl Fn(T) -> U + Copy + Send + Sync + 'static,
    ) -> PCollection<U> {
        self.transform(name, Kind::ParDo, move |_, out| {
            Ok(Lowered::passive(MapOwn { f, out }))
        })
    }
}

struct MapOwn<U, F> {
    f: F,
    out: Port<U>,
}

impl<T: Element, U: Element, F: Fn(T) -> U> Receiver<T> for MapOwn<U, F> {
    fn push(&mut self, batch: &mut Batch<T>) -> Result<()> {
        self.out.push(&mut batch.map(&self.f))
    }
}

struct Map<T, U, F> {
    f: Arc<F>,
    out: Port<U>,
    path: Arc<str>,
    current: Current<T>,
}

impl<T: Element, U: Element, F: Fn(T) -> U> Receiver<T> for Map<T, U, F> {
    fn push(&mut self, batch: &mut Batch<T>) -> Result<()> {
        let current = &mut self.current;
        let mapped = guarded(|| {
            Ok(batch.map(|value| {
                current.set(&value);
                (self.f)(value)
            }))
        });
        match mapped {
            Ok(mut mapped) => self.out.push(&mut mapped),
            Err(failed) => Err(failed.at(&self.path, "map", self.current.describe())),
        }
    }
}
