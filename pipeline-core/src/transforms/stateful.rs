//! `par_do_stateful`: elements through a function that keeps state per key.

mod away;
mod expiring;
mod firing;
mod held;
mod operator;
mod saved;

use std::sync::Arc;

use super::par_do::call;
use crate::coder::{Element, Key};
use crate::do_fn::Outputs;
use crate::do_fn::sealed::Outputs as _;
use crate::error::BoxError;
use crate::graph::{Kind, Lowered, NodeSpec};
use crate::pcollection::PCollection;
use crate::state::{EventTimer, StateCells, StateContext};
use operator::Stateful;

/// Processes pairs with state and event-time timers per key and window (PG 11).
///
/// All pairs of a key come to one worker, one at a time, in no particular order. State lives until
/// it is cleared or its window expires; an element that comes after that is dropped and counted.
/// Windows that merge are refused when the pipeline is built (Beam does the same). In the global
/// window state does not expire: set a timer that clears it.
///
/// What is kept for one key and window must fit into memory, whatever the limit, when an element or
/// a timer comes for it; see [`DirectRunner::memory_limit`](crate::runners::direct::DirectRunner::memory_limit).
///
/// A snapshot holds cells and timers, not the function's own fields: what must survive belongs in
/// a cell, and what is only gathered goes out in `finish_bundle`.
///
/// The life cycle is that of a [`DoFn`](crate::DoFn), with timers among the elements of a bundle.
///
/// ```
/// use std::time::Duration;
/// use pipeline_core::prelude::*;
///
/// /// Counts the visits of a key until it has been quiet for an hour.
/// #[derive(Clone)]
/// struct Visits {
///     count: ValueCell<u64>,
///     quiet: EventTimer,
/// }
///
/// impl StatefulDoFn for Visits {
///     type Key = String;
///     type Value = ();
///     type Outputs = Out<(String, u64)>;
///
///     fn process(
///         &mut self,
///         _key: &String,
///         _visit: (),
///         state: &mut StateContext<'_>,
///         _out: &mut Self::Outputs,
///     ) -> Result<(), BoxError> {
///         let count = self.count.read(state).copied().unwrap_or(0) + 1;
///         self.count.write(state, count);
///         let later = state.timestamp() + Duration::from_secs(3600);
///         self.quiet.set(state, later);
///         Ok(())
///     }
///
///     fn on_timer(
///         &mut self,
///         key: &String,
///         _timer: EventTimer,
///         state: &mut StateContext<'_>,
///         out: &mut Self::Outputs,
///     ) -> Result<(), BoxError> {
///         let count = self.count.take(state).unwrap_or(0);
///         out.emit((key.clone(), count));
///         Ok(())
///     }
/// }
///
/// let pipeline = Pipeline::build(|p| {
///     p.create("Visits", vec![("ann".to_string(), ()), ("ann".to_string(), ())])
///         .par_do_stateful("Count", |cells| Visits {
///             count: cells.value("count"),
///             quiet: cells.event_timer("quiet"),
///         })
///         .check("Twice", |counts| assert_eq!(counts, [("ann".to_string(), 2)]));
/// })?;
/// DirectRunner::new().run(&pipeline)?;
/// # Ok::<(), Error>(())
/// ```
pub trait StatefulDoFn: Clone + Send + Sync + 'static {
    /// The key.
    type Key: Key;
    /// The value that comes with it.
    type Value: Element;
    /// What comes out: [`Out`](crate::Out), or a tuple of up to six.
    type Outputs: Outputs;

    /// Prepares this instance, once, before its first bundle. Default: nothing.
    fn setup(&mut self) -> Result<(), BoxError> {
        Ok(())
    }

    /// Begins a bundle of elements and timers. Default: nothing.
    fn start_bundle(&mut self) -> Result<(), BoxError> {
        Ok(())
    }

    /// Processes one pair. What it emits takes the element's timestamp, window and pane.
    fn process(
        &mut self,
        key: &Self::Key,
        value: Self::Value,
        state: &mut StateContext<'_>,
        out: &mut Self::Outputs,
    ) -> Result<(), BoxError>;

    /// Handles a timer whose time the input watermark has passed. What it emits takes the timer's
    /// output timestamp and the state's window. Default: nothing.
    fn on_timer(
        &mut self,
        _key: &Self::Key,
        _timer: EventTimer,
        _state: &mut StateContext<'_>,
        _out: &mut Self::Outputs,
    ) -> Result<(), BoxError> {
        Ok(())
    }

    /// Ends a bundle. What it emits needs a timestamp and a window
    /// ([`Out::emit_in`](crate::Out::emit_in)). Default: nothing.
    fn finish_bundle(&mut self, _out: &mut Self::Outputs) -> Result<(), BoxError> {
        Ok(())
    }

    /// Lets go of what `setup` took, after the last bundle or a failure. Default: nothing.
    fn teardown(&mut self) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<K: Key, V: Element> PCollection<(K, V)> {
    /// Processes every pair with a function that keeps state per key and window.
    ///
    /// `declare` makes the function from the cells and timers that it declares; it is called once,
    /// when the pipeline is built. See [`StatefulDoFn`] for an example.
    pub fn par_do_stateful<F: StatefulDoFn<Key = K, Value = V>>(
        &self,
        name: &str,
        declare: impl FnOnce(&mut StateCells) -> F,
    ) -> <F::Outputs as crate::do_fn::sealed::Outputs>::Collections {
        let pipeline = self.pipeline().clone();
        pipeline.clone().scope(name, || {
            let mut cells = StateCells::default();
            let do_fn = declare(&mut cells);
            if let Some(repeated) = cells.repeated() {
                let path = pipeline.graph().scope.join("/");
                pipeline.refuse(format!(
                    "'{path}' declares two cells or timers named '{repeated}': rename one"
                ));
            }
            let strategy = self.windowing();
            if strategy.merges() {
                let path = pipeline.graph().scope.join("/");
                pipeline.refuse(format!(
                    "'{path}' keeps state in windows that merge ({:?}), where the state of two \
                     could not become one: put `window_into` with windows that do not merge, or \
                     a grouping, in front of it",
                    strategy.window_fn
                ));
            }
            let outputs = F::Outputs::specs(&strategy, self.is_bounded());
            let exchanged = self.exchange_by_key("Exchange", "par_do_stateful");
            let kept = cells.kept().with_key::<K>();
            let cells = Arc::new(cells);
            let spec = NodeSpec::new(
                "Process",
                Kind::StatefulParDo,
                vec![exchanged.id()],
                outputs,
                move |context, ports| {
                    let out = F::Outputs::connect(ports)?;
                    let mut do_fn = do_fn.clone();
                    call(&context.node.path, "setup", || do_fn.setup())?;
                    let cells = Arc::clone(&cells);
                    let operator = Stateful::new(context, do_fn, cells, strategy.clone(), out);
                    Ok(Lowered::driven(operator))
                },
            );
            let spec = spec.keeping(kept);
            let ids = pipeline.add(spec);
            F::Outputs::collections(&pipeline, &ids)
        })
    }
}
