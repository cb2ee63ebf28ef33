//! `par_do`: elements through a [`DoFn`].

use std::sync::Arc;

use crate::batch::{Batch, Stamps};
use crate::coder::Element;
use crate::do_fn::{DoFn, ElementContext, sealed::Outputs};
use crate::error::{BoxError, Result};
use crate::graph::{Kind, Lowered, NodeSpec, Operator, Progress, Receiver};
use crate::pcollection::PCollection;
use crate::user_code::{Current, Fault, guarded};

impl<T: Element> PCollection<T> {
    /// Processes every element with a [`DoFn`], and returns its outputs: one collection, or a
    /// tuple of them, each of its own type.
    ///
    /// See [`DoFn`] for an example.
    pub fn par_do<F: DoFn<Input = T>>(
        &self,
        name: &str,
        do_fn: F,
    ) -> <F::Outputs as Outputs>::Collections {
        let outputs = F::Outputs::specs(&self.windowing(), self.is_bounded());
        let path = self.pipeline().graph().path_of(name);
        let spec = NodeSpec::new(
            name,
            Kind::ParDo,
            vec![self.id()],
            outputs,
            move |_, ports| {
                let mut do_fn = do_fn.clone();
                call(&path, "setup", || do_fn.setup())?;
                Ok(Lowered::driven(ParDo {
                    do_fn,
                    out: F::Outputs::connect(ports)?,
                    path: path.as_str().into(),
                    current: Current::none(),
                    in_bundle: false,
                }))
            },
        );
        let ids = self.pipeline().add(spec);
        F::Outputs::collections(self.pipeline(), &ids)
    }
}

/// Calls a method that works on no element.
pub(crate) fn call(
    path: &str,
    what: &'static str,
    f: impl FnOnce() -> Result<(), BoxError>,
) -> Result<()> {
    guarded(|| f().map_err(Fault::User)).map_err(|failed| failed.at(path, what, None))
}

struct ParDo<F: DoFn> {
    do_fn: F,
    out: F::Outputs,
    path: Arc<str>,
    current: Current<F::Input>,
    in_bundle: bool,
}

impl<F: DoFn> Receiver<F::Input> for ParDo<F> {
    fn push(&mut self, batch: &mut Batch<F::Input>) -> Result<()> {
        let ParDo { do_fn, out, .. } = self;
        if !self.in_bundle {
            call(&self.path, "start_bundle", || do_fn.start_bundle())?;
            self.in_bundle = true;
        }
        let current = &mut self.current;
        let done = guarded(|| {
            if let Stamps::Same(stamp) = batch.stamps {
                out.begin_batch(stamp)?;
                let context = ElementContext { stamp };
                for value in batch.values.drain(..) {
                    current.set(&value);
                    do_fn.process(value, &context, out).map_err(Fault::User)?;
                    out.check()?;
                }
            } else {
                for (value, stamp) in batch.drain() {
                    current.set(&value);
                    out.begin_element(Some(stamp));
                    let context = ElementContext { stamp };
                    do_fn.process(value, &context, out).map_err(Fault::User)?;
                    out.check()?;
                }
            }
            Ok(())
        });
        done.map_err(|failed| failed.at(&self.path, "process", self.current.describe()))
    }
}

impl<F: DoFn> Operator for ParDo<F> {
    fn end_bundle(&mut self, input: Progress) -> Result<Progress> {
        if self.in_bundle {
            self.in_bundle = false;
            self.current.clear();
            let ParDo { do_fn, out, .. } = self;
            out.begin_element(None);
            call(&self.path, "finish_bundle", || do_fn.finish_bundle(out))?;
            out.check()?;
        }
        self.out.flush_all()?;
        Ok(input)
    }

    fn teardown(&mut self) -> Result<()> {
        let do_fn = &mut self.do_fn;
        call(&self.path, "teardown", || do_fn.teardown())
    }
}
