//! The functions of `transforms`: what may be emitted, when and where.

use pipeline_core::prelude::*;
use pipeline_core::window::Window;

type Pair = (u8, i64);

/// Emits every element at its own time and 25 ms later.
#[derive(Clone)]
pub struct Later;

impl DoFn for Later {
    type Input = Pair;
    type Outputs = Out<Pair>;

    fn process(
        &mut self,
        pair: Pair,
        context: &ElementContext,
        out: &mut Out<Pair>,
    ) -> Result<(), BoxError> {
        let time = context.timestamp();
        out.emit_at(pair, time);
        out.emit_at(pair, time.plus_millis(25));
        Ok(())
    }
}

/// Emits odd values at once and keeps even ones until the bundle ends.
#[derive(Clone, Default)]
pub struct Buffered(Vec<(Pair, Timestamp, Window)>);

impl DoFn for Buffered {
    type Input = Pair;
    type Outputs = Out<Pair>;

    fn process(
        &mut self,
        pair: Pair,
        context: &ElementContext,
        out: &mut Out<Pair>,
    ) -> Result<(), BoxError> {
        match pair.1 % 2 {
            0 => self.0.push((pair, context.timestamp(), context.window())),
            _ => out.emit(pair),
        }
        Ok(())
    }

    fn finish_bundle(&mut self, out: &mut Out<Pair>) -> Result<(), BoxError> {
        for (pair, timestamp, window) in self.0.drain(..) {
            out.emit_in(pair, timestamp, window);
        }
        Ok(())
    }
}

/// Counts the elements of each bundle.
#[derive(Clone, Default)]
pub struct Sizes(usize);

impl DoFn for Sizes {
    type Input = Pair;
    type Outputs = Out<usize>;

    fn process(&mut self, _: Pair, _: &ElementContext, _: &mut Out<usize>) -> Result<(), BoxError> {
        self.0 += 1;
        Ok(())
    }

    fn finish_bundle(&mut self, out: &mut Out<usize>) -> Result<(), BoxError> {
        out.emit_in(std::mem::take(&mut self.0), Timestamp::MIN, Window::GLOBAL);
        Ok(())
    }
}
