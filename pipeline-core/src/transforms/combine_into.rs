//! `combine_into`: combines under keys that the elements lend.

use std::borrow::Borrow;
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;

use super::combine::CombineFn;
use super::lift::{Lift, Partial};
use crate::batch::Batch;
use crate::coder::{Element, Key};
use crate::error::Result;
use crate::graph::{Kind, Lowered, Operator, Progress, Receiver};
use crate::pcollection::PCollection;
use crate::time::Timestamp;
use crate::user_code::{Fault, describe, guarded};
use crate::window::Window;

impl<T: Element> PCollection<T> {
    /// Combines values per key and window as
    /// [`combine_per_key`](PCollection::combine_per_key) does, where `f` finds any number of keys
    /// and values in an element and adds them under keys that it only borrows.
    ///
    /// It gives what `flat_map_into` and `combine_per_key` together give, without the elements
    /// between them: a key is made (by `K::from`) only when it is new to the worker's table, not
    /// once per value. That is much cheaper where keys are texts and come again and again.
    ///
    /// ```
    /// use pipeline_core::prelude::*;
    ///
    /// let pipeline = Pipeline::build(|p| {
    ///     p.create("Lines", vec!["to be or not to be".to_string()])
    ///         .combine_into("Count", Count::new(), |line, words: &mut Keyed<'_, String, _>| {
    ///             for word in line.split(' ') {
    ///                 words.add(word, ());
    ///             }
    ///         })
    ///         .filter("Often", |(_, count)| *count > 1)
    ///         .map("Word", |(word, _)| word)
    ///         .check("ToBe", |mut words| {
    ///             words.sort();
    ///             assert_eq!(words, ["be", "to"]);
    ///         });
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn combine_into<K: Key, F: CombineFn>(
        &self,
        name: &str,
        combine_fn: F,
        f: impl Fn(&T, &mut Keyed<'_, K, F>) + Send + Sync + 'static,
    ) -> PCollection<(K, F::Output)> {
        self.apply(name, |input: PCollection<T>| {
            let path = input.pipeline().graph().scope.join("/");
            let (strategy, bounded) = (input.windowing(), input.is_bounded());
            let (assigned, lift_fn, f) = (strategy.clone(), combine_fn.clone(), Arc::new(f));
            let lifted: PCollection<(K, Partial<F::Accumulator>)> =
                input.transform("Lift", Kind::CombineLift, move |context, out| {
                    let lift = Lift::new(context, lift_fn.clone(), &assigned, bounded, out);
                    Ok(Lowered::driven(CombineInto {
                        element: PhantomData,
                        f: Arc::clone(&f),
                        lift,
                        path: context.path(),
                    }))
                });
            lifted.hold_keys_to_their_law(&path);
            lifted.merge_lifted(combine_fn, strategy, None)
        })
    }
}

/// Takes the keys and values that [`PCollection::combine_into`] combines.
pub struct Keyed<'a, K: Key, F: CombineFn> {
    lift: &'a mut Lift<K, F>,
    window: Window,
    output_time: Timestamp,
    in_combine_fn: &'a mut bool,
}

impl<K: Key, F: CombineFn> Keyed<'_, K, F> {
    /// Adds a value under a key, in the window of the element in process.
    ///
    /// `K` must be one that `key` is the borrowed form of: `str` of `String`, `[u8]` of
    /// `Vec<u8>`.
    #[inline]
    pub fn add<Q>(&mut self, key: &Q, value: F::Input)
    where
        K: Borrow<Q> + for<'q> From<&'q Q>,
        Q: Hash + Eq + ?Sized,
    {
        *self.in_combine_fn = true;
        self.lift
            .add_borrowed(key, value, self.window, self.output_time);
        *self.in_combine_fn = false;
    }
}

struct CombineInto<T, K, F: CombineFn, G> {
    element: PhantomData<fn(T)>,
    f: Arc<G>,
    lift: Lift<K, F>,
    path: Arc<str>,
}

impl<T, K, F, G> Receiver<T> for CombineInto<T, K, F, G>
where
    T: Element,
    K: Key,
    F: CombineFn,
    G: Fn(&T, &mut Keyed<'_, K, F>),
{
    fn push(&mut self, batch: &mut Batch<T>) -> Result<()> {
        let (f, lift) = (&self.f, &mut self.lift);
        let (mut in_combine_fn, mut next) = (false, 0);
        let done = guarded(|| {
            for value in &batch.values {
                let stamp = batch.stamp(next);
                next += 1;
                let output_time = lift.begin(stamp);
                lift.one_comes(value);
                let mut keyed = Keyed {
                    lift: &mut *lift,
                    window: stamp.window,
                    output_time,
                    in_combine_fn: &mut in_combine_fn,
                };
                f(value, &mut keyed);
                // An element may have any number of keys: the bound of the table is looked at
                // after each.
                lift.flush_if_full()?;
            }
            Ok::<(), Fault>(())
        });
        done.map_err(|failed| {
            if in_combine_fn {
                failed.at(&self.path, lift.what(), lift.describe_key())
            } else {
                let element = next.checked_sub(1).and_then(|at| batch.values.get(at));
                failed.at(&self.path, "combine_into", element.map(describe))
            }
        })?;
        batch.clear();
        Ok(())
    }
}

impl<T, K, F, G> Operator for CombineInto<T, K, F, G>
where
    T: Element,
    K: Key,
    F: CombineFn,
    G: Fn(&T, &mut Keyed<'_, K, F>),
{
    fn end_bundle(&mut self, input: Progress) -> Result<Progress> {
        self.lift.end_bundle(input)
    }
}
