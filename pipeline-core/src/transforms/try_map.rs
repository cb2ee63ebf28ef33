//! `try_map` and `try_flat_map`: functions that may refuse a record.

use std::sync::Arc;

use crate::batch::{Batch, Stamp, Stamps};
use crate::clock::Clock;
use crate::coder::Element;
use crate::dead_letter::{BadRecord, Failure, Outcome};
use crate::do_fn::Out;
use crate::do_fn::sealed::Outputs;
use crate::error::Result;
use crate::graph::{Kind, Lowered, NodeSpec, Operator, Progress, Receiver};
use crate::metrics::{Counter, DEAD_LETTERS};
use crate::pcollection::PCollection;
use crate::user_code::{describe, guarded};

impl<T: Element> PCollection<T> {
    /// Replaces every element by `f(element)`, or puts it among the dead letters with the reason.
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// let pipeline = Pipeline::build(|p| {
    ///     let numbers = p.create("Texts", vec!["1".to_string(), "x".to_string()])
    ///         .try_map("Parse", |text| Ok(text.parse::<i64>()?));
    ///     numbers.ok.check("One", |numbers| assert_eq!(numbers, [1]));
    ///     numbers.dead_letters.check("Refused", |refused| assert_eq!(refused[0].original, "x"));
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn try_map<U: Element>(
        &self,
        name: &str,
        f: impl Fn(&T) -> Result<U, Failure> + Send + Sync + 'static,
    ) -> Outcome<U> {
        self.fallible(name, "try_map", move |value, out: &mut Out<U>| {
            out.emit(f(value)?);
            Ok(())
        })
    }

    /// Replaces every element by those that `f` returns for it, or puts it among the dead letters
    /// with the reason; an element that is refused puts out nothing else.
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// let pipeline = Pipeline::build(|p| {
    ///     let numbers = p.create("Lines", vec!["1,2".to_string(), "3,x".to_string()])
    ///         .try_flat_map("Parse", |line| {
    ///             Ok(line.split(',').map(str::parse::<i64>).collect::<Result<Vec<_>, _>>()?)
    ///         });
    ///     numbers.ok.check("FirstLine", |numbers| assert_eq!(numbers, [1, 2]));
    ///     numbers.dead_letters.check("Refused", |refused| assert_eq!(refused[0].original, "3,x"));
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn try_flat_map<U: Element, I: IntoIterator<Item = U>>(
        &self,
        name: &str,
        f: impl Fn(&T) -> Result<I, Failure> + Send + Sync + 'static,
    ) -> Outcome<U> {
        self.fallible(name, "try_flat_map", move |value, out: &mut Out<U>| {
            for value in f(value)? {
                out.emit(value);
            }
            Ok(())
        })
    }

    fn fallible<U: Element>(
        &self,
        name: &str,
        what: &'static str,
        f: impl Fn(&T, &mut Out<U>) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Outcome<U> {
        let path = self.pipeline().graph().path_of(name);
        let mut dead_letters = self.output_like::<BadRecord>().named("dead_letters");
        dead_letters.must_be_consumed = Some(format!(
            "nothing consumes the dead letters of '{path}': write `.dead_letters` somewhere, or \
             say why they may be lost with `.drop_dead_letters(\"reason\")`"
        ));
        let f = Arc::new(f);
        let spec = NodeSpec::new(
            name,
            Kind::ParDo,
            vec![self.id()],
            vec![self.output_like::<U>(), dead_letters],
            move |context, ports| {
                Ok(Lowered::driven(Fallible {
                    f: Arc::clone(&f),
                    what,
                    outputs: Outputs::connect(ports)?,
                    path: context.path(),
                    clock: Arc::clone(&context.worker.clock),
                    refused: context.counter(DEAD_LETTERS),
                }))
            },
        );
        let ids = self.pipeline().add(spec);
        Outcome {
            ok: self.pipeline().collection(ids[0]),
            dead_letters: self.pipeline().collection(ids[1]),
        }
    }
}

struct Fallible<U, F> {
    f: Arc<F>,
    what: &'static str,
    outputs: (Out<U>, Out<BadRecord>),
    path: Arc<str>,
    clock: Arc<dyn Clock>,
    refused: Counter,
}

impl<U: Element, F> Fallible<U, F> {
    /// Runs `f` over a batch; `at` counts the elements done.
    fn process<T: Element>(
        &mut self,
        batch: &Batch<T>,
        at: &mut usize,
    ) -> Result<(), crate::user_code::Fault>
    where
        F: Fn(&T, &mut Out<U>) -> Result<(), Failure>,
    {
        let same = match batch.stamps {
            Stamps::Same(stamp) => {
                self.outputs.begin_batch(stamp)?;
                true
            }
            Stamps::Each(_) => false,
        };
        for value in &batch.values {
            if !same {
                self.outputs.begin_element(Some(batch.stamp(*at)));
            }
            if let Err(failure) = (self.f)(value, &mut self.outputs.0) {
                self.refuse(value, batch.stamp(*at), failure);
            }
            self.outputs.check()?;
            *at += 1;
        }
        Ok(())
    }

    #[cold]
    fn refuse<T: Element>(&mut self, value: &T, stamp: Stamp, failure: Failure) {
        self.refused.add(1);
        let now = self.clock.now();
        let record = BadRecord::new(value, failure, &self.path, stamp.timestamp, now);
        self.outputs.1.emit(record);
    }
}

impl<T: Element, U: Element, F> Receiver<T> for Fallible<U, F>
where
    F: Fn(&T, &mut Out<U>) -> Result<(), Failure>,
{
    fn push(&mut self, batch: &mut Batch<T>) -> Result<()> {
        let mut at = 0;
        let done = guarded(|| self.process(batch, &mut at));
        done.map_err(|failed| {
            let element = batch.values.get(at).map(describe);
            failed.at(&self.path, self.what, element)
        })?;
        batch.clear();
        Ok(())
    }
}

impl<U: Element, F> Operator for Fallible<U, F> {
    fn end_bundle(&mut self, input: Progress) -> Result<Progress> {
        self.outputs.flush_all()?;
        Ok(input)
    }
}
