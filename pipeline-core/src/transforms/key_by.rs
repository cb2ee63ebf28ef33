//! `key_by`: elements get keys.

use std::sync::Arc;

use crate::batch::{Batch, Stamp, Stamps};
use crate::coder::{Element, Key};
use crate::error::Result;
use crate::graph::{Kind, Lowered, Port, Receiver};
use crate::pcollection::PCollection;
use crate::user_code::{describe, guarded};

impl<T: Element> PCollection<T> {
    /// Pairs every element with the key that `f` returns for it (Beam's `WithKeys`).
    ///
    /// ```
    /// # use pipeline_core::prelude::*;
    /// let pipeline = Pipeline::build(|p| {
    ///     p.create("Words", vec!["to".to_string()])
    ///         .key_by("Length", |word| word.len() as u64)
    ///         .check("Keyed", |pairs| assert_eq!(pairs, [(2, "to".to_string())]));
    /// })?;
    /// DirectRunner::new().run(&pipeline)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn key_by<K: Key>(
        &self,
        name: &str,
        f: impl Fn(&T) -> K + Send + Sync + 'static,
    ) -> PCollection<(K, T)> {
        let f = Arc::new(f);
        self.transform(name, Kind::ParDo, move |context, out| {
            Ok(Lowered::passive(KeyBy {
                f: Arc::clone(&f),
                out,
                path: context.path(),
                keys: Vec::new(),
            }))
        })
    }
}

struct KeyBy<K, T, F> {
    f: Arc<F>,
    out: Port<(K, T)>,
    path: Arc<str>,
    keys: Vec<K>,
}

impl<K: Key, T: Element, F: Fn(&T) -> K> Receiver<T> for KeyBy<K, T, F> {
    fn push(&mut self, batch: &mut Batch<T>) -> Result<()> {
        let keys = &mut self.keys;
        let keyed = guarded(|| {
            keys.extend(batch.values.iter().map(&*self.f));
            Ok(())
        });
        if let Err(failed) = keyed {
            let element = batch.values.get(self.keys.len()).map(describe);
            return Err(failed.at(&self.path, "key_by", element));
        }
        let mut keyed = Batch {
            values: self.keys.drain(..).zip(batch.values.drain(..)).collect(),
            stamps: std::mem::replace(&mut batch.stamps, Stamps::Same(Stamp::ROOT)),
        };
        self.out.push(&mut keyed)
    }
}
