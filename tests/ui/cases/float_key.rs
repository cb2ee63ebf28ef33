//! Floats have no exact equality.
//~ `f64` cannot be a key
//~ scale them to an integer, or use `to_bits()`

use pipeline_core::prelude::*;

pub fn build(p: &Pipeline) {
    let _pairs = p
        .create("Create", vec![1.5])
        .key_by("Key", |price: &f64| *price);
}
