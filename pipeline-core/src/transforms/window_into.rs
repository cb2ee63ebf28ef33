//! `window_into`: elements into windows.

use std::sync::Arc;

use crate::batch::{Batch, Stamp, Stamps};
use crate::coder::Element;
use crate::error::{Error, Result};
use crate::graph::{Kind, Lowered, OutputSpec, Port, Receiver};
use crate::pcollection::PCollection;
use crate::time::Timestamp;
use crate::user_code::{describe, guarded};
use crate::window::{Window, WindowInto, WindowingStrategy};

impl<T: Element> PCollection<T> {
    /// Puts every element into windows by its timestamp (PG 8.3), and says how the groups of
    /// those windows are emitted.
    ///
    /// Takes a [`WindowFn`](crate::window::WindowFn), or a [`WindowInto`] with options. An
    /// element in several windows becomes one element for each.
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// # use std::time::Duration;
    /// let pipeline = Pipeline::build(|p| {
    ///     let timed = [1_000, 59_000, 61_000].map(|ms| (ms, Timestamp::from_millis(ms)));
    ///     p.create_timestamped("Millis", timed.to_vec())
    ///         .window_into("PerMinute", FixedWindows::of(Duration::from_secs(60)))
    ///         .count_globally("Count")
    ///         .check("TwoAndOne", |mut counts| {
    ///             counts.sort();
    ///             assert_eq!(counts, [1, 2]);
    ///         });
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn window_into(&self, name: &str, windows: impl Into<WindowInto>) -> PCollection<T> {
        let strategy = windows.into().strategy;
        let detail = format!("{:?}", strategy.window_fn);
        let output = OutputSpec::of::<T>(strategy.clone(), self.is_bounded());
        let path = self.pipeline().graph().path_of(name);
        let spec = crate::graph::NodeSpec::new(
            name,
            Kind::WindowInto,
            vec![self.id()],
            vec![output],
            move |_, ports| {
                Ok(Lowered::passive(Assign {
                    strategy: strategy.clone(),
                    out: crate::graph::only_port::<T>(ports)?,
                    path: path.as_str().into(),
                    windows: Vec::new(),
                    assigned: Batch::default(),
                }))
            },
        );
        self.add(spec.detail(detail))
    }
}

struct Assign<T> {
    strategy: WindowingStrategy,
    out: Port<T>,
    path: Arc<str>,
    windows: Vec<Window>,
    assigned: Batch<T>,
}

impl<T: Element> Assign<T> {
    fn assign(&mut self, timestamp: Timestamp, value: Option<&T>) -> Result<()> {
        self.windows.clear();
        let Assign {
            strategy, windows, ..
        } = self;
        let done = guarded(|| {
            strategy.window_fn.assign(timestamp, windows);
            Ok(())
        });
        done.map_err(|failed| failed.at(&self.path, "assign", value.map(describe)))?;
        if self.windows.is_empty() {
            return Err(Error::user(
                &self.path,
                "assign",
                value.map(describe),
                format!("the WindowFn gave no window for {timestamp}"),
            ));
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.out.push(&mut self.assigned)?;
        self.assigned.clear();
        Ok(())
    }
}

impl<T: Element> Receiver<T> for Assign<T> {
    fn push(&mut self, batch: &mut Batch<T>) -> Result<()> {
        if let Stamps::Same(stamp) = batch.stamps {
            self.assign(stamp.timestamp, batch.values.first())?;
            if let [window] = self.windows[..] {
                batch.stamps = Stamps::Same(Stamp { window, ..stamp });
                return self.out.push(batch);
            }
        }
        for index in 0..batch.len() {
            let stamp = batch.stamp(index);
            self.assign(stamp.timestamp, Some(&batch.values[index]))?;
            for at in 0..self.windows.len() {
                let window = self.windows[at];
                let value = batch.values[index].clone();
                self.assigned.push(value, Stamp { window, ..stamp });
            }
            if self.assigned.len() >= Batch::<T>::LEN {
                self.flush()?;
            }
        }
        batch.clear();
        self.flush()
    }
}
