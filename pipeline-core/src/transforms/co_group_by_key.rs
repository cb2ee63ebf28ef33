//! `co_group_by_key`: the values of two collections, by their common key.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::grouping::{GroupOperator, Grouping};
use crate::batch::Batch;
use crate::coder::{Element, Key, encode_to};
use crate::error::Result;
use crate::graph::{Kept, Kind, Lowered, NodeSpec, OutputSpec, Port, Receiver, only_port};
use crate::pcollection::PCollection;
use crate::window::groups::Aggregate;

/// Holds the values of one key and window from two collections, each in no particular order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoGrouped<A, B> {
    /// The values of the collection on which the method was called.
    pub left: Vec<A>,
    /// The values of its argument.
    pub right: Vec<B>,
}

impl<K: Key, A: Element> PCollection<(K, A)> {
    /// Gathers the values of each key and window from this collection and another (PG 4.2.3).
    ///
    /// A key of either collection comes out; where it is missing in one, that side is empty. Both
    /// must have equal window functions, or the pipeline is refused; the output takes the greater
    /// allowed lateness.
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// let pipeline = Pipeline::build(|p| {
    ///     let ages = p.create("Ages", vec![("ann".to_string(), 30)]);
    ///     let towns = p.create("Towns", vec![("ann".to_string(), "Ulm".to_string())]);
    ///     ages.co_group_by_key("Join", &towns).check("Ann", |people| {
    ///         let (name, of_ann) = &people[0];
    ///         assert_eq!((name.as_str(), of_ann.left[0]), ("ann", 30));
    ///         assert_eq!(of_ann.right, ["Ulm"]);
    ///     });
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn co_group_by_key<B: Element>(
        &self,
        name: &str,
        other: &PCollection<(K, B)>,
    ) -> PCollection<(K, CoGrouped<A, B>)> {
        let other = &other.of_the_same_pipeline(self.pipeline(), name);
        let inputs = [self.id(), other.id()];
        let strategy = super::flatten::common_windowing(self.pipeline(), name, &inputs);
        self.pipeline().scope(name, || {
            let left = self.exchange_by_key("ExchangeLeft", "co_group_by_key");
            let right = other.exchange_by_key("ExchangeRight", "co_group_by_key");
            let bounded = self.is_bounded() && other.is_bounded();
            let output = OutputSpec::of::<(K, CoGrouped<A, B>)>(strategy.after_grouping(), bounded);
            let inputs = vec![left.id(), right.id()];
            let spec = NodeSpec::new(
                "CoGroup",
                Kind::CoGroupByKey,
                inputs,
                vec![output],
                move |context, ports| {
                    let aggregate = CoGather(PhantomData);
                    let out: Port<(K, CoGrouped<A, B>)> = only_port(ports)?;
                    let operator = GroupOperator::new(context, strategy.clone(), aggregate, out);
                    let operator = Rc::new(RefCell::new(operator));
                    Ok(Lowered {
                        inputs: vec![
                            Port::new(Left(Rc::clone(&operator))).erase(),
                            Port::new(Right(Rc::clone(&operator))).erase(),
                        ],
                        operator: Some(operator),
                    })
                },
            );
            let kept = Kept::by_key::<K>();
            let kept = kept.with::<A>("left values").with::<B>("right values");
            self.add(spec.keeping(kept))
        })
    }
}

type Shared<K, A, B> = Rc<RefCell<GroupOperator<K, CoGather<A, B>>>>;

struct Left<K: Key, A: Element, B: Element>(Shared<K, A, B>);
struct Right<K: Key, A: Element, B: Element>(Shared<K, A, B>);

impl<K: Key, A: Element, B: Element> Receiver<(K, A)> for Left<K, A, B> {
    fn push(&mut self, batch: &mut Batch<(K, A)>) -> Result<()> {
        self.0.borrow_mut().take(batch, Side::Left)
    }
}

impl<K: Key, A: Element, B: Element> Receiver<(K, B)> for Right<K, A, B> {
    fn push(&mut self, batch: &mut Batch<(K, B)>) -> Result<()> {
        self.0.borrow_mut().take(batch, Side::Right)
    }
}

enum Side<A, B> {
    Left(A),
    Right(B),
}

struct CoGather<A, B>(PhantomData<(A, B)>);

impl<A: Element, B: Element> Aggregate for CoGather<A, B> {
    type Input = Side<A, B>;
    type Accumulator = CoGrouped<A, B>;
    type Output = CoGrouped<A, B>;

    fn create(&self) -> CoGrouped<A, B> {
        CoGrouped {
            left: Vec::new(),
            right: Vec::new(),
        }
    }

    fn add(&self, values: &mut CoGrouped<A, B>, value: Side<A, B>) {
        match value {
            Side::Left(value) => values.left.push(value),
            Side::Right(value) => values.right.push(value),
        }
    }

    fn write_input(value: &Side<A, B>, out: &mut Vec<u8>) -> bool {
        // What cannot be encoded is found out elsewhere.
        let _ = match value {
            Side::Left(value) => encode_to(value, out),
            Side::Right(value) => encode_to(value, out),
        };
        true
    }

    fn merge(&self, values: &mut CoGrouped<A, B>, mut other: CoGrouped<A, B>) {
        values.left.append(&mut other.left);
        values.right.append(&mut other.right);
    }

    fn extract(&self, values: CoGrouped<A, B>) -> CoGrouped<A, B> {
        values
    }

    fn peek(&self, values: &CoGrouped<A, B>) -> CoGrouped<A, B> {
        values.clone()
    }
}

impl<A: Element, B: Element> Grouping for CoGather<A, B> {}
