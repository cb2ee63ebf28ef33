//! What a fallible verb returns.

use super::BadRecord;
use crate::coder::Element;
use crate::graph::Kind;
use crate::metrics::DEAD_LETTERS;
use crate::pcollection::PCollection;

/// Holds both sides of a fallible transform: the good elements and the dead letters.
///
/// Dead letters without a consumer are refused when the pipeline is built. Write them somewhere,
/// or say with [`Outcome::drop_dead_letters`] why they may go.
#[must_use]
pub struct Outcome<T> {
    /// The elements that went well.
    pub ok: PCollection<T>,
    /// The records that did not, each with its reason.
    pub dead_letters: PCollection<BadRecord>,
}

impl<T: Element> Outcome<T> {
    /// Drops the dead letters, which are counted (`dead_letters` of a transform whose name has
    /// the reason), and returns the good elements.
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// let pipeline = Pipeline::build(|p| {
    ///     p.create("Texts", vec!["n".to_string(), "1".to_string()])
    ///         .try_map("Parse", |text| Ok(text.parse::<i64>()?))
    ///         .drop_dead_letters("headers are no numbers")
    ///         .check("One", |numbers| assert_eq!(numbers, [1]));
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn drop_dead_letters(self, reason: &str) -> PCollection<T> {
        let collections = self.dead_letters.pipeline().clone();
        let producer = {
            let graph = collections.graph();
            graph.collections[self.dead_letters.id()].path.clone()
        };
        let name = producer.rsplit('/').next().unwrap_or_default();
        let name = name.split('.').next().unwrap_or_default();
        let detail = format!("dropped: {reason}");
        self.dead_letters
            .end(&format!("{name}.Drop"), Kind::ParDo, detail, |context| {
                let dropped = context.counter(DEAD_LETTERS);
                move |batch| dropped.add(batch.len() as u64)
            });
        self.ok
    }
}
