//! The control: typed outputs, consumed as what they are.

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
    let (numbers, texts) = p.create("Create", vec![1]).par_do("Route", Route);
    let _groups = numbers.key_by("Key", |n: &u64| *n).group_by_key("Group");
    let _lengths: PCollection<usize> = texts.map("Length", |text: String| text.len());
}
