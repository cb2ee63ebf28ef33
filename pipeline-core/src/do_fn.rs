//! The functions that users write: [`DoFn`], its typed outputs, and what it is told.

use crate::batch::{Batch, Stamp, Stamps};
use crate::coder::Element;
use crate::error::{BoxError, Error, Result};
use crate::graph::Port;
use crate::time::Timestamp;
use crate::window::{PaneInfo, Window};

/// Processes elements one by one, with state of its own per worker and per bundle (PG 4.2.1).
///
/// The life cycle is Beam's: `setup`, then for each bundle `start_bundle`, `process` for each
/// element, `finish_bundle`, and at last `teardown`. Each worker has a clone of its own, which is
/// never used concurrently. A bundle is an arbitrary run of elements; it is the unit in which
/// results are committed.
///
/// When a job fails, bundles that are open stay without their `finish_bundle`, and every clone
/// whose `setup` succeeded is torn down, the failed one too: after an error or a panic `teardown`
/// is all that it sees. (User code that hangs for 5 s after that is left behind without it.)
///
/// An error that a method returns ends the job. A record that may be bad belongs into
/// [`try_map`](crate::PCollection::try_map), whose failures are data.
///
/// `Outputs` is [`Out<A>`] for one output, or a tuple of them for several: the transform then
/// gives as many collections, each of its own type.
///
/// ```
/// use pipeline_core::prelude::*;
///
/// /// Sends even and odd numbers separate ways.
/// #[derive(Clone)]
/// struct Parity;
///
/// impl DoFn for Parity {
///     type Input = u64;
///     type Outputs = (Out<u64>, Out<String>);
///
///     fn process(
///         &mut self,
///         element: u64,
///         _context: &ElementContext,
///         (even, odd): &mut Self::Outputs,
///     ) -> Result<(), BoxError> {
///         if element % 2 == 0 {
///             even.emit(element);
///         } else {
///             odd.emit(format!("{element} is odd"));
///         }
///         Ok(())
///     }
/// }
///
/// let pipeline = Pipeline::build(|p| {
///     let (even, odd) = p.create("Numbers", vec![2, 3]).par_do("Parity", Parity);
///     even.check("Two", |even| assert_eq!(even, [2]));
///     odd.check("Three", |odd| assert_eq!(odd, ["3 is odd"]));
/// })?;
/// DirectRunner::new().run(&pipeline)?;
/// # Ok::<(), Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `DoFn`",
    note = "implement `DoFn` for a type that is `Clone + Send + Sync + 'static`, or use `map`, \
            `flat_map` or `filter` with a closure"
)]
pub trait DoFn: Clone + Send + Sync + 'static {
    /// What goes in.
    type Input: Element;
    /// What comes out: [`Out<A>`], or a tuple of up to six.
    type Outputs: Outputs;

    /// Prepares this instance, once, before its first bundle. Default: nothing.
    fn setup(&mut self) -> Result<(), BoxError> {
        Ok(())
    }

    /// Begins a bundle. Default: nothing.
    fn start_bundle(&mut self) -> Result<(), BoxError> {
        Ok(())
    }

    /// Processes one element. What it emits takes the element's timestamp, window and pane.
    fn process(
        &mut self,
        element: Self::Input,
        context: &ElementContext,
        out: &mut Self::Outputs,
    ) -> Result<(), BoxError>;

    /// Ends a bundle. What it emits needs a timestamp and a window ([`Out::emit_in`]), since no
    /// element lends its own. Default: nothing.
    fn finish_bundle(&mut self, _out: &mut Self::Outputs) -> Result<(), BoxError> {
        Ok(())
    }

    /// Lets go of what `setup` took, after the last bundle or a failure. An error here fails the
    /// job, and keeps no other clone from being torn down. Default: nothing.
    fn teardown(&mut self) -> Result<(), BoxError> {
        Ok(())
    }
}

/// Tells a function about the element it is given.
#[derive(Clone, Copy, Debug)]
pub struct ElementContext {
    pub(crate) stamp: Stamp,
}

impl ElementContext {
    /// Returns the element's event time.
    pub fn timestamp(&self) -> Timestamp {
        self.stamp.timestamp
    }

    /// Returns the element's window.
    pub fn window(&self) -> Window {
        self.stamp.window
    }

    /// Returns which firing of its group the element came from.
    pub fn pane(&self) -> PaneInfo {
        self.stamp.pane
    }
}

/// Takes the elements of one output.
pub struct Out<T> {
    port: Port<T>,
    batch: Batch<T>,
    /// The stamp of the element in process; `None` at the end of a bundle.
    stamp: Option<Stamp>,
    /// The elements of the present input batch share their stamp, which the batch has already.
    uniform: bool,
    failed: Option<Error>,
}

impl<T: Element> Out<T> {
    pub(crate) fn new(port: Port<T>) -> Self {
        Out {
            port,
            batch: Batch::default(),
            stamp: None,
            uniform: false,
            failed: None,
        }
    }

    /// Emits an element with the timestamp, window and pane of the one in process.
    #[inline]
    pub fn emit(&mut self, value: T) {
        if self.uniform {
            self.batch.values.push(value);
            self.flush_if_full();
        } else {
            match self.stamp {
                Some(stamp) => self.emit_stamped(value, stamp),
                None => self.fail(
                    "`emit` was called in finish_bundle, where no element lends its timestamp and \
                     window: use `emit_in`",
                ),
            }
        }
    }

    /// Emits an element at a timestamp of its own.
    ///
    /// One earlier than that of the element in process is an error, since the watermark may have
    /// passed it (PG 4.5.2); the job ends.
    pub fn emit_at(&mut self, value: T, timestamp: Timestamp) {
        match self.stamp {
            Some(stamp) if timestamp < stamp.timestamp => self.fail(&format!(
                "an element was emitted at {timestamp}, before the element in process at {}",
                stamp.timestamp
            )),
            Some(stamp) => self.emit_stamped(value, Stamp { timestamp, ..stamp }),
            None => self.fail("`emit_at` was called in finish_bundle: use `emit_in`"),
        }
    }

    /// Emits an element at a timestamp in a window, as `finish_bundle` must.
    pub fn emit_in(&mut self, value: T, timestamp: Timestamp, window: Window) {
        let pane = self.stamp.map_or(PaneInfo::NO_FIRING, |s| s.pane);
        let stamp = Stamp {
            timestamp,
            window,
            pane,
        };
        self.emit_stamped(value, stamp);
    }

    pub(crate) fn emit_stamped(&mut self, value: T, stamp: Stamp) {
        self.uniform = self.uniform && self.stamp == Some(stamp);
        self.batch.push(value, stamp);
        self.flush_if_full();
    }

    #[inline]
    fn flush_if_full(&mut self) {
        if self.batch.values.len() >= Batch::<T>::LEN {
            self.flush();
        }
    }

    fn fail(&mut self, message: &str) {
        if self.failed.is_none() {
            self.failed = Some(Error::connector(message));
        }
    }

    fn flush(&mut self) {
        let len = self.batch.values.len();
        if self.failed.is_none() {
            self.failed = self.port.push(&mut self.batch).err();
        }
        let stamps = match (self.uniform, self.stamp) {
            (true, Some(stamp)) => Stamps::Same(stamp),
            _ => Stamps::Same(Stamp::ROOT),
        };
        self.batch.values.clear();
        if self.batch.values.capacity() == 0 {
            // Whoever took the values took their vector: the next one has room from the start.
            self.batch.values.reserve_exact(len);
        }
        self.batch.stamps = stamps;
    }
}

/// Is implemented by [`Out`] and by tuples of them: what a [`DoFn`] may put out.
pub trait Outputs: sealed::Outputs {}

pub(crate) mod sealed {
    use super::*;
    use crate::graph::{AnyPort, OutputSpec};
    use crate::pcollection::PCollection;
    use crate::pipeline::Pipeline;
    use crate::window::WindowingStrategy;

    #[allow(private_interfaces, unreachable_pub)]
    pub trait Outputs: Sized + 'static {
        /// What the transform gives: a collection, or a tuple of them.
        type Collections;
        fn specs(windowing: &WindowingStrategy, bounded: bool) -> Vec<OutputSpec>;
        fn collections(pipeline: &Pipeline, ids: &[usize]) -> Self::Collections;
        fn connect(ports: Vec<AnyPort>) -> Result<Self>;
        /// All elements until the next call share this stamp.
        fn begin_batch(&mut self, stamp: Stamp) -> Result<()>;
        /// The elements until the next call have this stamp; `None`: none lends its own.
        fn begin_element(&mut self, stamp: Option<Stamp>);
        /// Returns what went wrong since the last call.
        fn check(&mut self) -> Result<()>;
        fn flush_all(&mut self) -> Result<()>;
    }

    #[allow(private_interfaces)]
    impl<T: Element> Outputs for Out<T> {
        type Collections = PCollection<T>;

        fn specs(windowing: &WindowingStrategy, bounded: bool) -> Vec<OutputSpec> {
            vec![OutputSpec::of::<T>(windowing.clone(), bounded)]
        }

        fn collections(pipeline: &Pipeline, ids: &[usize]) -> PCollection<T> {
            pipeline.collection(ids[0])
        }

        fn connect(ports: Vec<AnyPort>) -> Result<Self> {
            let mut ports = ports.into_iter();
            match (ports.next(), ports.next()) {
                (Some(port), None) => Ok(Out::new(port.typed()?)),
                _ => Err(Error::internal("one output has not one port")),
            }
        }

        fn begin_batch(&mut self, stamp: Stamp) -> Result<()> {
            if self.batch.stamps != Stamps::Same(stamp) {
                if !self.batch.is_empty() {
                    self.uniform = false;
                    self.flush();
                }
                self.batch.stamps = Stamps::Same(stamp);
            }
            self.stamp = Some(stamp);
            self.uniform = true;
            self.check()
        }

        #[inline]
        fn begin_element(&mut self, stamp: Option<Stamp>) {
            self.stamp = stamp;
            self.uniform = false;
        }

        #[inline]
        fn check(&mut self) -> Result<()> {
            match self.failed.take() {
                Some(error) => Err(error),
                None => Ok(()),
            }
        }

        fn flush_all(&mut self) -> Result<()> {
            self.uniform = false;
            self.flush();
            self.check()
        }
    }

    macro_rules! outputs_of_tuple {
        ($($name:ident $index:tt $label:literal),+) => {
            #[allow(private_interfaces)]
            impl<$($name: Element),+> Outputs for ($(Out<$name>,)+) {
                type Collections = ($(PCollection<$name>,)+);

                fn specs(windowing: &WindowingStrategy, bounded: bool) -> Vec<OutputSpec> {
                    vec![$(OutputSpec::of::<$name>(windowing.clone(), bounded).named($label)),+]
                }

                fn collections(pipeline: &Pipeline, ids: &[usize]) -> Self::Collections {
                    ($(pipeline.collection(ids[$index]),)+)
                }

                fn connect(ports: Vec<AnyPort>) -> Result<Self> {
                    let mut ports = ports.into_iter();
                    let mut next = || {
                        ports.next().ok_or_else(|| Error::internal("an output has no port"))
                    };
                    Ok(($(Out::<$name>::connect(vec![next()?])?,)+))
                }

                fn begin_batch(&mut self, stamp: Stamp) -> Result<()> {
                    $(self.$index.begin_batch(stamp)?;)+
                    Ok(())
                }

                #[inline]
                fn begin_element(&mut self, stamp: Option<Stamp>) {
                    $(self.$index.begin_element(stamp);)+
                }

                #[inline]
                fn check(&mut self) -> Result<()> {
                    $(self.$index.check()?;)+
                    Ok(())
                }

                fn flush_all(&mut self) -> Result<()> {
                    $(self.$index.flush_all()?;)+
                    Ok(())
                }
            }

            impl<$($name: Element),+> super::Outputs for ($(Out<$name>,)+) {}
        };
    }

    outputs_of_tuple!(A 0 "0", B 1 "1");
    outputs_of_tuple!(A 0 "0", B 1 "1", C 2 "2");
    outputs_of_tuple!(A 0 "0", B 1 "1", C 2 "2", D 3 "3");
    outputs_of_tuple!(A 0 "0", B 1 "1", C 2 "2", D 3 "3", E 4 "4");
    outputs_of_tuple!(A 0 "0", B 1 "1", C 2 "2", D 3 "3", E 4 "4", F 5 "5");
}

impl<T: Element> Outputs for Out<T> {}
