//! A type without serde's traits.
//~ `Order` cannot be an element of a collection
//~ #[derive(Clone, serde::Serialize, serde::Deserialize)]

use pipeline_core::prelude::*;

#[derive(Clone)]
pub struct Order;

pub fn build(p: &Pipeline) {
    let _orders = p.create("Create", vec![1]).map("Order", |_: u64| Order);
}
