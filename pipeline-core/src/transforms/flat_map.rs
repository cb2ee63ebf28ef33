//! `flat_map`: one element in, any number out.

use std::sync::Arc;

use crate::batch::{Batch, Stamps};
use crate::coder::Element;
use crate::do_fn::Out;
use crate::do_fn::sealed::Outputs;
use crate::error::Result;
use crate::graph::{Kind, Lowered, NodeContext, Operator, Port, Progress, Receiver};
use crate::pcollection::PCollection;
use crate::user_code::{Current, Fault, guarded};

impl<T: Element> PCollection<T> {
    /// Replaces every element by those that `f` returns for it; each takes the timestamp, window
    /// and pane of the element it came from.
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// let pipeline = Pipeline::build(|p| {
    ///     p.create("Lines", vec!["to be".to_string()])
    ///         .flat_map("Words", |line| {
    ///             line.split(' ').map(str::to_owned).collect::<Vec<_>>()
    ///         })
    ///         .check("ToBe", |words| assert_eq!(words, ["to", "be"]));
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn flat_map<U: Element, I: IntoIterator<Item = U>>(
        &self,
        name: &str,
        f: impl Fn(T) -> I + Send + Sync + 'static,
    ) -> PCollection<U> {
        let f = Arc::new(f);
        self.transform(name, Kind::ParDo, move |context, out| {
            let f = Arc::clone(&f);
            Ok(flat_map(context, "flat_map", out, move |value, out| {
                for value in f(value) {
                    out.emit(value);
                }
            }))
        })
    }

    /// Hands every element to `f` with the output to emit into: `flat_map` for results that
    /// borrow from the element, without a collection between.
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// let pipeline = Pipeline::build(|p| {
    ///     p.create("Lines", vec!["to be".to_string()])
    ///         .flat_map_into("Words", |line, out: &mut Out<String>| {
    ///             for word in line.split(' ') {
    ///                 out.emit(word.to_owned());
    ///             }
    ///         })
    ///         .check("ToBe", |words| assert_eq!(words, ["to", "be"]));
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn flat_map_into<U: Element>(
        &self,
        name: &str,
        f: impl Fn(T, &mut Out<U>) + Send + Sync + 'static,
    ) -> PCollection<U> {
        let f = Arc::new(f);
        self.transform(name, Kind::ParDo, move |context, out| {
            let f = Arc::clone(&f);
            Ok(flat_map(context, "flat_map_into", out, move |v, o| f(v, o)))
        })
    }
}

/// Makes the operator of a function that emits; `what` names it in errors.
pub(super) fn flat_map<T: Element, U: Element>(
    context: &NodeContext<'_>,
    what: &'static str,
    out: Port<U>,
    f: impl Fn(T, &mut Out<U>) + 'static,
) -> Lowered {
    Lowered::driven(FlatMap {
        f,
        what,
        out: Out::new(out),
        path: context.path(),
        current: Current::none(),
    })
}

struct FlatMap<T, U, F> {
    f: F,
    what: &'static str,
    out: Out<U>,
    path: Arc<str>,
    current: Current<T>,
}

impl<T: Element, U: Element, F: Fn(T, &mut Out<U>)> Receiver<T> for FlatMap<T, U, F> {
    fn push(&mut self, batch: &mut Batch<T>) -> Result<()> {
        let (f, out, current) = (&self.f, &mut self.out, &mut self.current);
        let done = guarded(|| {
            if let Stamps::Same(stamp) = batch.stamps {
                out.begin_batch(stamp)?;
                for value in batch.values.drain(..) {
                    current.set(&value);
                    f(value, out);
                    out.check()?;
                }
            } else {
                for (value, stamp) in batch.drain() {
                    current.set(&value);
                    out.begin_element(Some(stamp));
                    f(value, out);
                    out.check()?;
                }
            }
            Ok::<(), Fault>(())
        });
        done.map_err(|failed| failed.at(&self.path, self.what, self.current.describe()))
    }
}

impl<T: Element, U: Element, F: Fn(T, &mut Out<U>)> Operator for FlatMap<T, U, F> {
    fn end_bundle(&mut self, input: Progress) -> Result<Progress> {
        self.out.flush_all()?;
        Ok(input)
    }
}
