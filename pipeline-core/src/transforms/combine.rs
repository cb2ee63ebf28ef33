//! `combine_per_key` and `combine_globally`: many values into one.

use std::cell::Cell;
use std::sync::Arc;

use super::grouping::{GroupOperator, Grouping};
use super::lift::{Lift, Partial};
use crate::coder::{Element, Key, short_name};
use crate::graph::{Kept, Kind, Lowered, OutputSpec};
use crate::pcollection::PCollection;
use crate::state::key_table::partition;
use crate::window::WindowingStrategy;
use crate::window::groups::Aggregate;

/// Combines values into one through an accumulator (PG 4.2.4).
///
/// Values are added on the worker where they are, and accumulators merged on the one that owns
/// the key: adding and merging must be associative and commutative, and merging with a fresh
/// accumulator must change nothing.
///
/// ```
/// use pipeline_core::prelude::*;
///
/// /// The mean of numbers.
/// #[derive(Clone)]
/// struct Mean;
///
/// impl CombineFn for Mean {
///     type Input = f64;
///     type Accumulator = (f64, u64);
///     type Output = f64;
///
///     fn create_accumulator(&self) -> (f64, u64) {
///         (0.0, 0)
///     }
///     fn add_input(&self, (sum, count): &mut (f64, u64), input: f64) {
///         *sum += input;
///         *count += 1;
///     }
///     fn merge_accumulators(&self, (sum, count): &mut (f64, u64), other: (f64, u64)) {
///         *sum += other.0;
///         *count += other.1;
///     }
///     fn extract_output(&self, (sum, count): (f64, u64)) -> f64 {
///         sum / count as f64
///     }
/// }
///
/// let pipeline = Pipeline::build(|p| {
///     p.create("Prices", vec![("tea".to_string(), 2.0), ("tea".to_string(), 4.0)])
///         .combine_per_key("Mean", Mean)
///         .check("IsMean", |means| assert_eq!(means, [("tea".to_string(), 3.0)]));
/// })?;
/// DirectRunner::new().run(&pipeline)?;
/// # Ok::<(), Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `CombineFn`",
    note = "implement `CombineFn` for a type that is `Clone + Send + Sync + 'static`"
)]
pub trait CombineFn: Clone + Send + Sync + 'static {
    /// What is combined.
    type Input: Element;
    /// What is combined so far; it travels between workers.
    type Accumulator: Element;
    /// What comes out.
    type Output: Element;

    /// Makes an accumulator of nothing.
    fn create_accumulator(&self) -> Self::Accumulator;

    /// Adds a value.
    fn add_input(&self, accumulator: &mut Self::Accumulator, input: Self::Input);

    /// Adds all that `other` holds.
    fn merge_accumulators(&self, accumulator: &mut Self::Accumulator, other: Self::Accumulator);

    /// Makes the result.
    fn extract_output(&self, accumulator: Self::Accumulator) -> Self::Output;

    /// Returns the name by which snapshots know the function: accumulators of one are of no use to
    /// another, so that a run whose function has another name than that of its snapshot is refused.
    /// Default: the type's name, without paths; return the old one when the type is renamed.
    fn name(&self) -> String {
        short_name::<Self>()
    }
}

impl<K: Key, V: Element> PCollection<(K, V)> {
    /// Combines the values of each key, per window.
    ///
    /// Values are combined on each worker before the exchange, per key and window, and sent when
    /// a bundle ends or the table is full (32 MiB of table, not counting what accumulators own
    /// elsewhere).
    pub fn combine_per_key<F: CombineFn<Input = V>>(
        &self,
        name: &str,
        combine_fn: F,
    ) -> PCollection<(K, F::Output)> {
        self.apply(name, |input: PCollection<(K, V)>| {
            input.lifted_combine(combine_fn, None)
        })
    }

    /// Lifts, exchanges and merges; `default` gets the output of nothing if nothing comes.
    fn lifted_combine<F: CombineFn<Input = V>>(
        &self,
        combine_fn: F,
        default: Option<K>,
    ) -> PCollection<(K, F::Output)> {
        let strategy = self.windowing();
        let path = self.pipeline().graph().scope.join("/");
        self.hold_keys_to_their_law(&path);
        let assigned = strategy.clone();
        let (lift_fn, bounded) = (combine_fn.clone(), self.is_bounded());
        let lifted: PCollection<(K, Partial<F::Accumulator>)> =
            self.transform("Lift", Kind::CombineLift, move |context, out| {
                Ok(Lowered::driven(Lift::new(
                    context,
                    lift_fn.clone(),
                    &assigned,
                    bounded,
                    out,
                )))
            });
        lifted.merge_lifted(combine_fn, strategy, default)
    }
}

impl<K: Key, A: Element> PCollection<(K, Partial<A>)> {
    /// Exchanges accumulators and merges those of a key; `default` gets the output of nothing if
    /// nothing comes.
    pub(super) fn merge_lifted<F: CombineFn<Accumulator = A>>(
        &self,
        combine_fn: F,
        strategy: WindowingStrategy,
        default: Option<K>,
    ) -> PCollection<(K, F::Output)> {
        let output = strategy.after_grouping();
        let output = OutputSpec::of::<(K, F::Output)>(output, self.is_bounded());
        let exchanged = self.exchange_by_key("Exchange", "combine");
        let default = Arc::new(default);
        let (name, kind) = ("Merge", Kind::CombineMerge);
        let kept = Kept::by_key::<K>().with::<A>("accumulator");
        let kept = kept.combined_by(combine_fn.name());
        exchanged.transform_keeping(name, kind, kept, output, move |context, out| {
            let aggregate = Merge {
                combine_fn: combine_fn.clone(),
                what: Cell::new("merge_accumulators"),
            };
            let worker = context.worker;
            let default = (*default).clone();
            let default = default.filter(|key| partition(key, worker.workers) == worker.index);
            let operator = GroupOperator::new(context, strategy.clone(), aggregate, out);
            let operator = operator.with_default(default);
            Ok(Lowered::driven::<(K, Partial<A>)>(operator))
        })
    }
}

impl<T: Element> PCollection<T> {
    /// Combines all elements, per window.
    ///
    /// In the global window of a bounded collection, an empty one gives the result of nothing
    /// (PG 4.2.4.4); other windows without an element give none.
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// # #[derive(Clone)] struct Longest;
    /// # impl CombineFn for Longest {
    /// #     type Input = String; type Accumulator = u64; type Output = u64;
    /// #     fn create_accumulator(&self) -> u64 { 0 }
    /// #     fn add_input(&self, a: &mut u64, s: String) { *a = (s.len() as u64).max(*a) }
    /// #     fn merge_accumulators(&self, a: &mut u64, b: u64) { *a = b.max(*a) }
    /// #     fn extract_output(&self, a: u64) -> u64 { a }
    /// # }
    /// let pipeline = Pipeline::build(|p| {
    ///     p.create("Words", vec!["or".to_string(), "not".to_string()])
    ///         .combine_globally("Longest", Longest)
    ///         .check("Three", |lengths| assert_eq!(lengths, [3]));
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn combine_globally<F: CombineFn<Input = T>>(
        &self,
        name: &str,
        combine_fn: F,
    ) -> PCollection<F::Output> {
        self.apply(name, |input: PCollection<T>| {
            let default = input.windowing().is_global().then_some(());
            input
                .map("Together", |value| ((), value))
                .lifted_combine(combine_fn, default)
                .values("Result")
        })
    }
}

/// Merges accumulators that were made before the exchange.
struct Merge<F> {
    combine_fn: F,
    /// The method that is running.
    what: Cell<&'static str>,
}

impl<F: CombineFn> Aggregate for Merge<F> {
    type Input = Partial<F::Accumulator>;
    type Accumulator = F::Accumulator;
    type Output = F::Output;

    fn create(&self) -> F::Accumulator {
        self.what.set("create_accumulator");
        self.combine_fn.create_accumulator()
    }

    fn first(&self, (partial, _): Partial<F::Accumulator>) -> F::Accumulator {
        partial
    }

    fn add(&self, accumulator: &mut F::Accumulator, (partial, _): Partial<F::Accumulator>) {
        self.merge(accumulator, partial);
    }

    fn merge(&self, accumulator: &mut F::Accumulator, other: F::Accumulator) {
        self.what.set("merge_accumulators");
        self.combine_fn.merge_accumulators(accumulator, other);
    }

    fn extract(&self, accumulator: F::Accumulator) -> F::Output {
        self.what.set("extract_output");
        self.combine_fn.extract_output(accumulator)
    }

    fn peek(&self, accumulator: &F::Accumulator) -> F::Output {
        self.extract(accumulator.clone())
    }
}

impl<F: CombineFn> Grouping for Merge<F> {
    fn elements((_, elements): &Partial<F::Accumulator>) -> u64 {
        *elements
    }

    fn what(&self) -> &'static str {
        self.what.get()
    }
}
