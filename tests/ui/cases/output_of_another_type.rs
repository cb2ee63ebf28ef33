//! The second output holds texts.
//~ expected `PCollection<u64>`, found `PCollection<String>`

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
    let (_numbers, texts) = p.create("Create", vec![1]).par_do("Route", Route);
    let _wrong: PCollection<u64> = texts;
}
