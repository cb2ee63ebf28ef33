//! `check` and `check_timed`: assertions on a collection.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::coder::Element;
use crate::do_fn::{DoFn, ElementContext, Out};
use crate::error::{BoxError, Error, Result};
use crate::pcollection::PCollection;
use crate::sink::{Rejected, Sink, WriteBatch, Writer};
use crate::time::Timestamp;
use crate::user_code::panic_message;
use crate::window::{PaneInfo, Window};

/// Pairs an element with its timestamp, window and pane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timed<T> {
    /// The element.
    pub value: T,
    /// Its event time.
    pub timestamp: Timestamp,
    /// Its window.
    pub window: Window,
    /// Its pane.
    pub pane: PaneInfo,
}

impl<T: Element> PCollection<T> {
    /// Calls `check` with all elements at the end of the run, in no particular order; a panic in
    /// it (a failed assertion) makes the run fail (Beam's `PAssert`).
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// let pipeline = Pipeline::build(|p| {
    ///     p.create("One", vec![1]).check("IsTwo", |all| assert_eq!(all, [2]));
    /// })?;
    /// let error = DirectRunner::new().run(&pipeline).unwrap_err();
    /// assert!(error.to_string().contains("IsTwo"));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn check(&self, name: &str, check: impl Fn(Vec<T>) + Send + Sync + 'static) {
        self.check_timed(name, move |timed| {
            check(timed.into_iter().map(|timed| timed.value).collect());
        });
    }

    /// Calls `check` with all elements and their timestamps, windows and panes at the end of the
    /// run, in no particular order; a panic in it makes the run fail.
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// # use std::time::Duration;
    /// let pipeline = Pipeline::build(|p| {
    ///     p.create_timestamped("Events", vec![((), Timestamp::from_millis(1_500))])
    ///         .window_into("Seconds", FixedWindows::of(Duration::from_secs(1)))
    ///         .check_timed("InItsWindow", |timed| {
    ///             assert_eq!(timed[0].window.end(), Timestamp::from_millis(2_000));
    ///         });
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn check_timed(&self, name: &str, check: impl Fn(Vec<Timed<T>>) + Send + Sync + 'static) {
        self.apply(name, |input: PCollection<T>| {
            let sink = Collect {
                name: name.to_owned(),
                check: Box::new(check),
                elements: Arc::default(),
            };
            let timed = Reify(std::marker::PhantomData);
            input.par_do("Timed", timed).write("Check", sink);
        });
    }
}

/// Makes timestamps, windows and panes part of the elements.
struct Reify<T>(std::marker::PhantomData<fn(T)>);

impl<T> Clone for Reify<T> {
    fn clone(&self) -> Self {
        Reify(std::marker::PhantomData)
    }
}

impl<T: Element> DoFn for Reify<T> {
    type Input = T;
    type Outputs = Out<Timed<T>>;

    fn process(
        &mut self,
        value: T,
        context: &ElementContext,
        out: &mut Self::Outputs,
    ) -> Result<(), BoxError> {
        out.emit(Timed {
            value,
            timestamp: context.timestamp(),
            window: context.window(),
            pane: context.pane(),
        });
        Ok(())
    }
}

type Elements<T> = Arc<Mutex<Vec<Timed<T>>>>;
type Check<T> = dyn Fn(Vec<Timed<T>>) + Send + Sync;

struct Collect<T> {
    name: String,
    check: Box<Check<T>>,
    elements: Elements<T>,
}

impl<T: Element> Sink for Collect<T> {
    type Item = Timed<T>;
    type Writer = CollectWriter<T>;

    fn open(&self, _worker: usize) -> Result<CollectWriter<T>> {
        Ok(CollectWriter(Arc::clone(&self.elements)))
    }

    async fn finish(&self, succeeded: bool) -> Result<()> {
        let mut elements = self.elements.lock().unwrap_or_else(PoisonError::into_inner);
        let elements = std::mem::take(&mut *elements);
        if !succeeded {
            return Ok(());
        }
        let checked = catch_unwind(AssertUnwindSafe(|| (self.check)(elements)));
        checked.map_err(|panic| {
            let message = panic_message(&*panic);
            Error::connector(format!("check '{}' failed: {message}", self.name))
        })
    }
}

struct CollectWriter<T>(Elements<T>);

impl<T: Element> Writer<Timed<T>> for CollectWriter<T> {
    async fn write(&mut self, batch: &WriteBatch<'_, Timed<T>>) -> Result<Vec<Rejected>> {
        let mut elements = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        elements.extend_from_slice(batch.records);
        Ok(Vec::new())
    }
}
