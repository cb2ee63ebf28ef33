//! A closure is no DoFn.
//~ is not a `DoFn`
//~ use `map`

use pipeline_core::prelude::*;

pub fn build(p: &Pipeline) {
    let _numbers = p.create("Create", vec![1_u64]).par_do("Close", |n: u64| n);
}
