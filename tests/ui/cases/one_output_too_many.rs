//! There are two outputs.
//~ mismatched types
//~ expected a tuple with 2 elements, found one with 3 elements

use pipeline_core::prelude::*;

#[derive(Clone)]
struct Route;

impl DoFn for Route {
    type Input = u64;
    type Outputs = (Out<u64>, Out<String>);

    fn process(
        &mut self,
        n: u64,
        _: &ElementContext,
        (numbers, texts): &mut Self::Outputs,
    ) -> Result<(), BoxError> {
        numbers.emit(n);
        texts.emit(n.to_string());
        Ok(())
    }
}

pub fn build(p: &Pipeline) {
    let (_numbers, _texts, _more) = p.create("Create", vec![1]).par_do("Route", Route);
}
